"""Corruption of inputs: what a denoising autoencoder learns to undo.

Noise is drawn for the whole batch (see `processes`), inside the compiled step, and is a function of seed and step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .processes import batch_normal, batch_uniform

__all__ = ["Corruption", "GaussianNoise", "Masking"]


class Corruption(Protocol):
    """Rows in, corrupted rows of the same shape out."""

    def __call__(self, x: Tensor) -> Tensor:
        """Corrupt rows (B, F)."""
        ...


@dataclass(frozen=True)
class Masking:
    r"""Set each feature to zero with probability `fraction`, independently, :math:`\tilde x_j = x_j b_j`.

    Args:
        fraction: of the features that are lost, in [0, 1).

    Raises:
        ValueError: fraction out of range.

    References:
        Vincent et al. (2008). Extracting and composing robust features with denoising autoencoders. ICML, sec. 2.3,
        where a fixed number of features is lost in each example.

    Example:
        >>> x = Masking(0.25)(torch.ones(100, 100))
        >>> sorted(set(x.flatten().tolist())), bool(abs(x.mean() - 0.75) < 0.02)
        ([0.0, 1.0], True)
    """

    fraction: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise ValueError(f"Expected a fraction in [0, 1), got {self.fraction}.")

    def __call__(self, x: Tensor) -> Tensor:
        """Corrupt rows (B, F)."""
        return torch.where(batch_uniform(x) < self.fraction, 0.0, x)


@dataclass(frozen=True)
class GaussianNoise:
    r"""Add Gaussian noise, :math:`\tilde x = x + \sigma\epsilon`.

    Args:
        scale: standard deviation of the noise, in the model's units (pixels in [0, 1]).

    Raises:
        ValueError: scale out of range.

    References:
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11, sec. 3.3.

    Example:
        >>> x = GaussianNoise(0.5)(torch.zeros(100, 100))
        >>> bool(abs(x.std() - 0.5) < 0.02)
        True
    """

    scale: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.scale < float("inf"):
            raise ValueError(f"Expected a finite scale >= 0, got {self.scale}.")

    def __call__(self, x: Tensor) -> Tensor:
        """Corrupt rows (B, F)."""
        return x + self.scale * batch_normal(x, x.shape)

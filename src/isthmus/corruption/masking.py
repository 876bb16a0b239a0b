"""Corruptions that replace some features of an example by a value that says nothing of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Corruption, Strength, check_strength, draw_uniform

__all__ = ["FixedMasking", "Masking", "SaltAndPepper"]


@dataclass(frozen=True)
class Masking(Corruption):
    r"""Set each feature to zero with probability `fraction`, independently, :math:`\tilde x_j = x_j b_j`.

    Use it for data that may be incomplete, and for features that explain one another.

    Args:
        fraction: of the features that are lost, in [0, 1); two numbers: for each example drawn between them.

    Raises:
        ValueError: fraction out of range.

    References:
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11, sec. 3.3.

    Example:
        >>> x = Masking(0.25)(torch.ones(100, 100))
        >>> sorted(set(x.flatten().tolist())), bool(abs(x.mean() - 0.75) < 0.02)
        ([0.0, 1.0], True)
    """

    fraction: Strength = 0.25

    def __post_init__(self) -> None:
        check_strength("fraction", self.fraction, below=1)

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where."""
        fraction, noise = draw_uniform(self.fraction, x, x.shape[-1])
        lost = noise < fraction
        return torch.where(lost, 0.0, x), lost


@dataclass(frozen=True)
class FixedMasking(Corruption):
    r"""Set the same number of features to zero in each example, :math:`n = \mathrm{round}(\mathrm{fraction} \cdot F)`.

    Which ones is drawn anew for each example, all choices alike. Use it where the number that `Masking` loses by chance
    should not vary, as with few features. Choosing takes longer than `Masking`: 2 ms for 128 rows of 784 on one core.

    Args:
        fraction: of the features that are lost, in [0, 1); two numbers: for each example drawn between them.

    Raises:
        ValueError: fraction out of range.

    References:
        Vincent et al. (2008). Extracting and composing robust features with denoising autoencoders. ICML, sec. 2.3.

    Example:
        >>> FixedMasking(0.25)(torch.ones(3, 8)).sum(-1)
        tensor([6., 6., 6.])
    """

    fraction: Strength = 0.25

    def __post_init__(self) -> None:
        check_strength("fraction", self.fraction, below=1)

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where."""
        n_features = x.shape[-1]
        fraction, noise = draw_uniform(self.fraction, x, n_features)
        number = (fraction * n_features).round() if isinstance(fraction, Tensor) else round(fraction * n_features)
        most = round(n_features * (self.fraction[1] if isinstance(self.fraction, (tuple, list)) else self.fraction))
        # Features in random order, as many as may be lost: by their places, so that equal noise is no tie.
        order = noise.topk(most, dim=-1).indices
        chosen = (torch.arange(most, device=x.device) < number).expand_as(order)
        lost = torch.zeros_like(x, dtype=torch.bool).scatter(-1, order, chosen)
        return torch.where(lost, 0.0, x), lost


@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    r"""Set each feature with probability `fraction` to the lowest or the highest value, as a fair coin says.

    Use it for black and white pixels and others near their limits: unlike `Masking`, what was lost is not told apart
    from what is so.

    Args:
        fraction: of the features that are replaced, in [0, 1); two numbers: for each example drawn between them.
        low, high: the two values.

    Raises:
        ValueError: fraction out of range, or low above high.

    References:
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11, sec. 3.3.

    Example:
        >>> x = SaltAndPepper(0.5)(torch.full((100, 100), 0.5))
        >>> sorted(set(x.flatten().tolist())), bool(abs(x.mean() - 0.5) < 0.02)
        ([0.0, 0.5, 1.0], True)
    """

    fraction: Strength = 0.25
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_strength("fraction", self.fraction, below=1)
        if not self.low <= self.high:
            raise ValueError(f"Expected a low end below the high one, got {self.low} and {self.high}.")

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where."""
        fraction, noise = draw_uniform(self.fraction, x, x.shape[-1])
        replaced = noise < fraction
        extremes = torch.where(noise < fraction / 2, self.low, torch.full_like(x, self.high))
        return torch.where(replaced, extremes, x), replaced

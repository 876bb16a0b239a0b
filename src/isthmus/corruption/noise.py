"""Noise that is added to every feature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Corruption, Strength, check_strength, draw_normal, draw_uniform

__all__ = ["GaussianNoise", "UniformNoise"]


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    r"""Add Gaussian noise, :math:`\tilde x = x + \sigma\epsilon`.

    Use it for real-valued data. Nothing is clipped: pixels may leave [0, 1].

    Args:
        scale: standard deviation of the noise, in the units of the rows (pixels in [0, 1]); two numbers: for each
            example drawn between them.

    Raises:
        ValueError: scale out of range.

    References:
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11, sec. 3.3.

    Example:
        >>> x = GaussianNoise(0.5)(torch.zeros(100, 100))
        >>> bool(abs(x.std() - 0.5) < 0.02)
        True
    """

    scale: Strength = 0.1

    def __post_init__(self) -> None:
        check_strength("scale", self.scale)

    @property
    def everywhere(self) -> bool:
        """Noise leaves no feature clean."""
        return True

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where: everywhere."""
        scale, noise = draw_normal(self.scale, x, x.shape[-1])
        return x + scale * noise, torch.ones_like(x, dtype=torch.bool)


@dataclass(frozen=True)
class UniformNoise(Corruption):
    r"""Add noise uniform in [0, scale) and clip, :math:`\tilde x = \min(\max(x + s u, l), h)` with u ~ U(0, 1).

    Use it for pixels that get brighter by light that strays in, none of them darker; with scale 1/2 it is what
    lectures write as `clamp(x + u / 2, 0, 1)`. The noise has mean scale / 2.

    Args:
        scale: largest noise, in the units of the rows (pixels in [0, 1]); two numbers: for each example drawn between
            them.
        low, high: the range that rows are clipped to, and where they should be themselves.

    Raises:
        ValueError: scale out of range, or low above high.

    Example:
        >>> x = UniformNoise(0.5)(torch.full((100, 100), 0.75))
        >>> bool(x.min() >= 0.75), x.max()
        (True, tensor(1.))
    """

    scale: Strength = 0.5
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_strength("scale", self.scale)
        if not self.low <= self.high:
            raise ValueError(f"Expected a low end below the high one, got {self.low} and {self.high}.")

    @property
    def everywhere(self) -> bool:
        """Noise leaves no feature clean."""
        return True

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where: everywhere."""
        scale, uniform = draw_uniform(self.scale, x, x.shape[-1])
        noise = scale * uniform
        noisy = (x + noise).clamp(self.low, self.high)
        return torch.where(noise == 0, x, noisy), torch.ones_like(x, dtype=torch.bool)

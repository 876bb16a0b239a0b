"""Occlusion of images: a rectangle of each is lost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Corruption, Strength, check_strength, draw_uniform

__all__ = ["Blocks"]


@dataclass(frozen=True)
class Blocks(Corruption):
    r"""Hide a rectangle of each image, of height :math:`H a^t` and width :math:`W a^{1-t}` for an area fraction a.

    Its shape (t uniform in [0, 1]) and its place are drawn for each image; a pixel is hidden, in all channels, where
    its centre is inside. Use it to learn what neighbouring pixels can't tell, as they can of single lost ones.

    Args:
        shape: of the images, channels, height and width, that rows are flattened from.
        fraction: a, of the area that is hidden, in [0, 1); two numbers: for each example drawn between them.
        value: of hidden pixels.

    Raises:
        ValueError: fraction out of range, a shape that is no image's; when called, rows of another size.

    References:
        Zhong et al. (2020). Random erasing data augmentation. AAAI, algorithm 1, where images hide a rectangle of
        random area with probability one half.

    Example:
        >>> Blocks((1, 8, 8), 0.25)(torch.ones(5, 64)).shape
        torch.Size([5, 64])
    """

    shape: tuple[int, ...]
    fraction: Strength = 0.25
    value: float = 0.0

    def __post_init__(self) -> None:
        check_strength("fraction", self.fraction, below=1)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"Expected a shape of channels, height and width, each >= 1, got {self.shape}.")

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where."""
        channels, height, width = self.shape
        if x.shape[-1] != channels * height * width:
            raise ValueError(f"Expected rows of {self.shape[0]} x {height} x {width} pixels, got {x.shape[-1]}.")
        fraction, noise = draw_uniform(self.fraction, x, 3)
        elongation, top, left = noise.unsqueeze(-1).unbind(1)
        area = torch.as_tensor(fraction).to(x)
        rows = _inside(height, area**elongation, top)
        columns = _inside(width, area ** (1 - elongation), left)
        hidden = (rows.unsqueeze(-1) & columns.unsqueeze(-2)).flatten(1).repeat(1, channels)
        return torch.where(hidden, self.value, x), hidden


def _inside(length: int, share: Tensor, place: Tensor) -> Tensor:
    """Which pixels of a side have their centre in a stretch that is so long a share of it, (B, length)."""
    start = place * length * (1 - share)
    centres = torch.arange(length, device=place.device) + 0.5
    return (centres >= start) & (centres < start + share * length)

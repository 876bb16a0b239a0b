"""What every corruption shares: rows in, corrupted rows out, and which of their features were corrupted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from ..processes import batch_normal, batch_uniform

__all__ = ["Corruption", "Rescaled", "Strength", "check_strength", "draw_normal", "draw_uniform"]

Strength = float | tuple[float, float]
"""How strong a corruption is: the same for all examples, or for each drawn uniformly between two numbers."""


@dataclass(frozen=True)
class Corruption:
    """Rows in, corrupted rows of the same shape out; to be subclassed, as a frozen dataclass of plain fields.

    What is done to an example depends on no other one. Noise comes from `isthmus.processes`, and with a strength of
    zero rows come out as they are, to the bit.
    """

    @property
    def everywhere(self) -> bool:
        """Whether every feature is corrupted, so that no clean ones are left to tell from the corrupted ones."""
        return False

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where: features drawn for it are True, whether or not their value changed."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        """Corrupt rows (B, F)."""
        return self.draw(x)[0]


@dataclass(frozen=True, eq=False)
class Rescaled(Corruption):
    r"""A corruption on another scale than that of the rows, :math:`\tilde x = (c(s x + m) - m) / s`.

    Use it where black is 0 and white is 1, but the model sees pixels that are centred and scaled. What is not
    corrupted stays as it is, to the bit.

    Args:
        corruption: on its own scale.
        shift: m, one number a feature, (F,), or one for all.
        scale: s.

    Example:
        >>> from isthmus.corruption import Masking
        >>> Rescaled(Masking(0.999), shift=torch.tensor([0.5, 0.25]), scale=0.5)(torch.zeros(1, 2))
        tensor([[-1.0000, -0.5000]])
    """

    corruption: Corruption
    shift: Tensor | float
    scale: float

    @property
    def everywhere(self) -> bool:
        """As the corruption on its own scale."""
        return self.corruption.everywhere

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where."""
        shift = torch.as_tensor(self.shift).to(x.dtype).to(x.device)  # in this order: not every device has float64
        rows = x * self.scale + shift
        corrupted, where = self.corruption.draw(rows)
        return torch.where(corrupted == rows, x, (corrupted - shift) / self.scale), where


def check_strength(name: str, strength: Strength, below: float = math.inf) -> None:
    """Hold a strength against its range.

    Raises:
        ValueError: not in [0, below), or two numbers that don't ascend.
    """
    ends = tuple(strength) if isinstance(strength, (tuple, list)) else (strength, strength)
    numbers = len(ends) == 2 and all(isinstance(end, Real) and not isinstance(end, bool) for end in ends)
    if not (numbers and 0 <= ends[0] <= ends[1] < below):
        limit = "infinity" if below == math.inf else f"{below:g}"
        raise ValueError(f"Expected a {name} in [0, {limit}), or the lowest and the highest of one, got {strength!r}.")


def draw_uniform(strength: Strength, x: Tensor, n: int) -> tuple[Tensor | float, Tensor]:
    """Strengths for rows (B, F), one number or (B, 1), and for each row n numbers uniform in [0, 1), (B, n).

    Both are of one draw: a compiler may put two that don't depend on each other in another order.
    """
    if not isinstance(strength, (tuple, list)):
        return strength, batch_uniform(x.new_empty(len(x), n))
    noise = batch_uniform(x.new_empty(len(x), n + 1))
    return _between(strength, noise[:, :1]), noise[:, 1:]


def draw_normal(strength: Strength, x: Tensor, n: int) -> tuple[Tensor | float, Tensor]:
    """The same with standard normal numbers, (B, n)."""
    if not isinstance(strength, (tuple, list)):
        return strength, batch_normal(x, (len(x), n))
    noise = batch_normal(x, (len(x), n + 1))
    return _between(strength, torch.special.ndtr(noise[:, :1])), noise[:, 1:]


def _between(ends: tuple[float, float], uniform: Tensor) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * uniform

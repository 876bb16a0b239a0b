"""Training data as it came, resident on the device: gathered by index, scaled inside the step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..model import Batch

__all__ = ["Rows", "Scaling", "epoch_order"]


class Scaling(NamedTuple):
    """From the data as it came to the model's units: (x - shift) / scale.

    Attributes:
        shift: subtracted from each feature, (F,), or None.
        scale: one divisor for all features, so that the geometry of the data is kept.
    """

    shift: Tensor | None = None
    scale: float = 1.0

    def __call__(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Rows in the model's units and dtype; float64 data are centred before they are rounded."""
        x = x if x.is_floating_point() else x.to(dtype)
        x = x if self.shift is None else x - self.shift
        return (x if self.scale == 1 else x / self.scale).to(dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Back to the units in which the data came."""
        x = x * self.scale
        return x if self.shift is None else x + self.shift

    def to(self, device: torch.device) -> Scaling:
        """The same on a device."""
        return self._replace(shift=None if self.shift is None else self.shift.to(device))


class Rows(NamedTuple):
    """Rows of data: features (n, F) of any dtype, conditions (n, C) or None, weights (n,) or None."""

    x: Tensor
    condition: Tensor | None = None
    weight: Tensor | None = None

    def take(self, index: Tensor) -> Rows:
        """The rows at these indices."""
        return Rows(*(None if part is None else part.index_select(0, index) for part in self))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Rows:
        """The same on a device."""
        return Rows(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]

    def batch(self, scaling: Scaling, dtype: torch.dtype = torch.float32, step: Tensor | None = None) -> Batch:
        """What the model sees of these rows."""
        x = scaling(self.x, dtype)
        return Batch(x, x, self.condition, self.weight, step)


def epoch_order(seed: int, epoch: int, n_rows: int) -> Tensor:
    """The order of the rows in an epoch: a permutation that is a pure function of (seed, epoch), (n,)."""
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(mix(seed, epoch)))


def mix(seed: int, counter: int) -> int:
    """A 63-bit seed from two integers (the finaliser of splitmix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + counter * 0xD1B54A32D192ED03 + 0x2545F4914F6CDD1D) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 1

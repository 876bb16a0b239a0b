"""Columns brought to mean zero and variance one inside a model, and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Standardisation"]


class Standardisation(NamedTuple):
    """Means and scales of columns, in float64.

    Attributes:
        mean: (F,).
        scale: standard deviations, (F,); 1 for a constant column.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, rows: np.ndarray, weight: np.ndarray | None = None) -> Standardisation:
        """That of some rows, (n, F), which may have weights (n,)."""
        rows = rows.astype(np.float64)
        mean = np.average(rows, axis=0, weights=weight)
        variance = np.average(np.square(rows - mean), axis=0, weights=weight)
        # What rounding leaves of a constant column is no spread.
        constant = variance <= np.square(1e-7 * np.abs(mean)) + 1e-300
        return cls(torch.from_numpy(mean), torch.from_numpy(np.where(constant, 1.0, np.sqrt(variance))))

    def __call__(self, rows: np.ndarray) -> Tensor:
        """Rows (n, F) standardised, in float64."""
        return (torch.from_numpy(np.asarray(rows, dtype=np.float64)) - self.mean) / self.scale

    def named(self, name: str) -> dict[str, Tensor]:
        """As a file has it."""
        return {f"{name}.mean": self.mean, f"{name}.scale": self.scale}

    @classmethod
    def taken(cls, tensors: dict[str, Tensor], name: str, width: int | None = None) -> Standardisation:
        """From a file's tensors, which lose it.

        Raises:
            KeyError, ValueError: it is not there, or of another width, or none.
        """
        made = cls(tensors.pop(f"{name}.mean"), tensors.pop(f"{name}.scale"))
        shape = made.mean.shape
        if len(shape) != 1 or made.scale.shape != shape or (width is not None and shape != (width,)):
            raise ValueError(f"{name} of shape {tuple(shape)}")
        if made.mean.dtype != torch.float64 or made.scale.dtype != torch.float64 or not (made.scale > 0).all():
            raise ValueError(f"{name} that is no standardisation")
        return made

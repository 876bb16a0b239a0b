"""Codes as whole numbers: a uniform grid along each dimension, and a level of its own for exact zeros."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np

__all__ = ["MOST_BITS", "Quantiser", "Ranges"]

MOST_BITS = 16
"""Finest grid: 65,536 levels."""

Ranges = Literal["each", "shared"]
"""Whose range a step is a share of: that of each dimension, or the widest one's for all of them."""

_SMALLEST = float(np.finfo(np.float64).tiny)  # below it, halves of numbers are no longer exact


@dataclass(frozen=True, eq=False)
class Quantiser:
    r"""A uniform quantiser along each dimension of a code.

    The range :math:`[a_j, b_j]` of dimension j is cut into :math:`2^{bits}` cells of width
    :math:`s_j = (b_j - a_j) / 2^{bits}`, and a code becomes the middle of its cell:
    :math:`|z_j - \hat z_j| \le s_j / 2`, up to the rounding of floating point. With `ranges="shared"` all dimensions
    have the widest one's step, and narrow ones fewer cells: for codes whose axes are a rotation of the data's, such as
    those of PCA, that is what equal squared error asks for (Gersho, Gray 1992, section 8.3). An exact zero, of which
    sparse codes are full, is a level beside the grid, comes back as zero, and is no part of the range.

    Args:
        low: smallest code along each dimension but zeros, (n_components,), in the dtype of the codes.
        high: the largest.
        bits: binary logarithm of the number of cells, 1 to 16.
        ranges: "each" or "shared".

    Raises:
        ValueError: other bits or ranges, or limits that are none.

    References:
        Gersho, Gray (1992). Vector quantization and signal compression. Kluwer.

    Example:
        >>> codes = np.array([[-1.0, 0.0], [0.2, 5.0], [1.0, 7.0]])
        >>> quantiser = Quantiser.of([codes], bits=2)
        >>> quantiser.levels(codes)  # 0 is an exact zero
        array([[1, 0],
               [3, 1],
               [4, 4]], dtype=int32)
        >>> quantiser.values(quantiser.levels(codes))
        array([[-0.75,  0.  ],
               [ 0.25,  5.25],
               [ 0.75,  6.75]])
    """

    low: np.ndarray
    high: np.ndarray
    bits: int
    ranges: Ranges = "each"

    def __post_init__(self) -> None:
        check_bits(self.bits)
        if self.ranges not in ("each", "shared"):
            raise ValueError(f"Expected ranges 'each' or 'shared', got {self.ranges!r}.")
        if self.low.ndim != 1 or self.low.shape != self.high.shape or self.low.dtype != self.high.dtype:
            raise ValueError(f"Expected limits (n_components,), got {self.low.shape} and {self.high.shape}.")
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all() and (self.low <= self.high).all()):
            raise ValueError("Expected finite limits, low <= high, got others.")

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], bits: int, ranges: Ranges = "each") -> Self:
        """The quantiser whose ranges just hold these codes, (n, n_components) in one or several blocks.

        Raises:
            ValueError: no codes, or not finite ones.
        """
        check_bits(bits)
        low: np.ndarray | None = None
        high = np.empty(0)
        for block in blocks:
            if not np.isfinite(block).all():
                raise ValueError("Expected finite codes, got NaN or infinity.")
            zero, infinity = block == 0, block.dtype.type(np.inf)
            smallest = np.where(zero, infinity, block).min(axis=0)
            largest = np.where(zero, -infinity, block).max(axis=0)
            low = smallest if low is None else np.minimum(low, smallest)
            high = np.maximum(high, largest) if len(high) else largest
        if low is None:
            raise ValueError("Expected at least one code, got none.")
        nothing = low > high  # but zeros
        zeros = np.zeros_like(low)
        return cls(np.where(nothing, zeros, low), np.where(nothing, zeros, high), bits, ranges)

    @cached_property
    def _half_step(self) -> np.ndarray:
        # Halves throughout: the range of finite numbers need not be finite.
        half = (self.high.astype(np.float64) / 2 - self.low.astype(np.float64) / 2) / 2**self.bits
        return np.maximum(half if self.ranges == "each" else np.full_like(half, half.max()), _SMALLEST)

    @property
    def step(self) -> np.ndarray:
        """Width of a cell along each dimension, (n_components,) float64: errors are at most half of it."""
        return 2 * self._half_step

    @cached_property
    def n_levels(self) -> np.ndarray:
        """Cells along each dimension, (n_components,): 2^bits, or as many as its range takes."""
        half = self.high.astype(np.float64) / 2 - self.low.astype(np.float64) / 2
        return np.clip(np.ceil(half / self._half_step), 1, 2**self.bits).astype(np.int64)

    @cached_property
    def _centre(self) -> np.ndarray:
        return self.low.astype(np.float64) / 2 + self.high.astype(np.float64) / 2

    def levels(self, codes: np.ndarray) -> np.ndarray:
        """Codes (n, n_components) as levels, int32: 0 for an exact zero, else its cell from 1 to `n_levels`."""
        within = np.where(codes == 0, self._centre, codes)  # zeros may be far from a narrow range
        from_centre = (within / 2 - self._centre / 2) / self._half_step
        cell = np.clip(np.floor(from_centre + self.n_levels / 2), 0, self.n_levels - 1)
        return np.where(codes == 0, 0, cell + 1).astype(np.int32)

    def values(self, levels: np.ndarray) -> np.ndarray:
        """Levels (n, n_components) as codes: the middles of cells, in the dtype that codes had."""
        middles = self._centre + (np.maximum(levels, 1) - 0.5 - self.n_levels / 2) * self.step
        within = np.clip(middles, self.low.astype(np.float64), self.high.astype(np.float64))
        return np.where(levels == 0, 0.0, within).astype(self.low.dtype)


def check_bits(bits: int) -> None:
    """1 to 16.

    Raises:
        ValueError: other bits.
    """
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= MOST_BITS:
        raise ValueError(f"Expected bits from 1 to {MOST_BITS}, got {bits!r}.")

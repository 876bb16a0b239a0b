"""Range, mean and variance of rows that come block by block, in one pass and in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .shards import Shards

__all__ = ["Statistics", "find_statistics"]


class Statistics(NamedTuple):
    """What is known of all numbers of some rows (n, ...) after one pass.

    Attributes:
        minimum, maximum: of all numbers.
        mean: of each feature, flattened, (F,) float64.
        variance: of each feature, (F,) float64: the mean of squared differences from the mean.
    """

    minimum: float
    maximum: float
    mean: np.ndarray
    variance: np.ndarray


def find_statistics(shards: Shards, weight: np.ndarray | None = None) -> Statistics:
    r"""One pass over all rows, a block at a time.

    Blocks A and B with weights W, means m and sums of squared differences S are put together by

    .. math:: m = m_A + \frac{W_B}{W}(m_B - m_A), \qquad S = S_A + S_B + \frac{W_A W_B}{W}(m_B - m_A)^2,

    which loses nothing to cancellation, wherever the data stand.

    Args:
        shards: the rows.
        weight: how much each counts, (n,); alike if not given.

    Raises:
        ValueError: a number that is not finite, with its place.

    References:
        Chan, Golub, LeVeque (1983). Algorithms for computing the sample variance. The American Statistician 37.
    """
    lowest, highest, total, start = np.inf, -np.inf, 0.0, 0
    origin = mean = squares = np.zeros(())
    for block in shards.blocks():
        low, high = float(block.min()), float(block.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            _refuse(shards, block, start)
        lowest, highest = min(lowest, low), max(highest, high)
        rows = block.reshape(len(block), -1).astype(np.float64)
        if start == 0:  # counted from the first row, a constant column has no rounding error
            origin = rows[0].copy()
            mean, squares = np.zeros_like(origin), np.zeros_like(origin)
        share = np.ones(len(rows)) if weight is None else weight[start : start + len(rows)]
        start += len(rows)
        here = float(share.sum())
        if here == 0:
            continue
        with np.errstate(over="ignore", invalid="ignore"):  # squares too large for float64 are told where they matter
            rows -= origin
            centre = share @ rows / here
            rows -= centre
            difference, total = centre - mean, total + here
            squares = squares + share @ np.square(rows, out=rows) + difference**2 * ((total - here) / total * here)
            mean = mean + difference * (here / total)
    return Statistics(lowest, highest, origin + mean, squares / total)


def _refuse(shards: Shards, block: np.ndarray, start: int) -> None:
    row, *place = (int(i) for i in np.argwhere(~np.isfinite(block))[0])
    where = f"column {place[0]}" if len(place) == 1 else f"position {tuple(place)}"
    raise ValueError(
        f"Expected finite numbers in {shards.name}, got {block[(row, *place)]} in {shards.place(start + row)}, "
        f"{where}, counted from 0; use data without missing values, or drop or fill those rows first."
    )

"""Rows as EM reads them many times: where their middle is, and how far they vary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["QUARTILE_ROWS", "Prepared", "filled", "usual_variances"]

BLOCK_NUMBERS = 2**20

QUARTILE_ROWS = 2**12
"""Rows, evenly spaced over all, that quartiles are taken of."""
QUARTILES_APART = 1.3489795
"""Of a normal distribution, in deviations."""
LEAST_SHARE = 1e-6
"""Of a variance that quartiles may leave."""


@dataclass(frozen=True)
class Prepared:
    """Rows, what each counts, and what of them is the same in all steps of EM.

    Args:
        rows: (n, F), float32 or float64; not copied.
        weight: how many rows each row counts as, (n,); None for one each.

    Raises:
        ValueError: no rows, rows of another shape, or weights that are none.

    Example:
        >>> data = Prepared(torch.tensor([[9999.0], [0.0]]))
        >>> data.center, data.variances
        (tensor([4999.5000], dtype=torch.float64), tensor([24995000.2500], dtype=torch.float64))
    """

    rows: Tensor
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or not len(self.rows) or not self.rows.dtype.is_floating_point:
            raise ValueError(f"Expected rows (n, F) of floats, got {tuple(self.rows.shape)} of {self.rows.dtype}.")
        if self.weight is not None and (
            self.weight.shape != self.rows.shape[:1] or not (self.weight >= 0).all() or not self.weight.sum() > 0
        ):
            raise ValueError(f"Expected weights >= 0 with a positive sum, ({len(self.rows)},), got others.")

    def blocks(self) -> list[slice]:
        """Slices of rows of bounded memory."""
        size = max(1, BLOCK_NUMBERS // self.rows.shape[1])
        return [slice(start, min(start + size, len(self.rows))) for start in range(0, len(self.rows), size)]

    def shares(self, here: slice) -> Tensor:
        """How many rows each of some rows counts as, (m,) float64."""
        rows = self.rows[here]
        return rows.new_ones(len(rows)).double() if self.weight is None else self.weight[here].double()

    @cached_property
    def has_gaps(self) -> bool:
        """Whether a value is missing, NaN."""
        return any(bool(self.rows[here].isnan().any()) for here in self.blocks())

    @cached_property
    def total(self) -> float:
        """How many rows there are, by their weights."""
        return float(len(self.rows) if self.weight is None else self.weight.sum(dtype=torch.float64))

    @cached_property
    def center(self) -> Tensor:
        """The mean of the rows, as a number of their dtype, (F,) float64: a difference from it is exact nearby."""
        origin = self.rows[0].double()
        added = sum((self.shares(here) @ (self.rows[here].double() - origin) for here in self.blocks()), 0 * origin)
        return (origin + added / self.total).to(self.rows.dtype).double()

    @cached_property
    def variances(self) -> Tensor:
        """Mean square of each feature's difference from the centre, (F,) float64; of a constant feature 0."""
        squares = ((self.rows[here].double() - self.center).square_() for here in self.blocks())
        found = sum((self.shares(here) @ part for here, part in zip(self.blocks(), squares, strict=True)), 0.0)
        return torch.as_tensor(found) / self.total

    @cached_property
    def scatter(self) -> Tensor:
        """Sum of products of differences from the centre, (F, F) float64."""
        found = torch.zeros(2 * self.rows.shape[1:], dtype=torch.float64, device=self.rows.device)
        for here in self.blocks():
            centred = self.rows[here].double() - self.center
            found.addmm_((centred * self.shares(here)[:, None]).T, centred)
        return found


def filled(rows: Tensor, weight: Tensor | None = None) -> tuple[Prepared, Tensor]:
    """Rows whose missing values, NaN, are the means of their columns, to start from; and the variances of what is seen.

    Args:
        rows: (n, F), each column with a value in some row that counts.
        weight: how many rows each row counts as, (n,).

    Example:
        >>> data, variances = filled(torch.tensor([[1.0], [float("nan")], [3.0]]))
        >>> data.rows[1], variances
        (tensor([2.]), tensor([1.], dtype=torch.float64))
    """
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    seen = share @ (~rows.isnan()).double()
    means = (share @ rows.double().nan_to_num(0.0)) / seen
    data = Prepared(torch.where(rows.isnan(), means.to(rows.dtype), rows), weight)
    return data, data.variances * data.total / seen


def usual_variances(rows: Tensor, variances: Tensor, weight: Tensor | None = None) -> Tensor:
    """Variances without what a few far rows add to them: as the distance of the quartiles says, where that is less.

    They stay as they are of a feature with half of its values equal, and are not below a millionth of what they were.

    Args:
        rows: (n, F), NaN where a value is missing.
        variances: of the features, (F,) float64.
        weight: how many rows each row counts as, (n,).

    Example:
        >>> rows = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1e6]])
        >>> usual_variances(rows, torch.tensor([1e5]))
        tensor([2.1981], dtype=torch.float64)
    """
    counted = torch.arange(len(rows), device=rows.device) if weight is None else weight.nonzero()[:, 0]
    some = counted[:: -(-len(counted) // QUARTILE_ROWS)]
    share = rows.new_ones(len(some)).double() if weight is None else weight[some].double()
    found, order = rows[some].double().nan_to_num(nan=torch.inf).sort(dim=0)
    reached = (share[order] * found.isfinite()).cumsum(dim=0).T.contiguous()
    place = torch.searchsorted(reached, reached[:, -1:] * reached.new_tensor([0.25, 0.75])).clamp_max(len(some) - 1)
    low, high = found.T.gather(1, place).unbind(dim=1)
    usual = ((high - low) / QUARTILES_APART).square()
    variances = variances.to(usual)
    return torch.where(usual > 0, usual.maximum(LEAST_SHARE * variances).minimum(variances), variances)

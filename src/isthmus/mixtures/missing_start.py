"""Where EM begins for rows with missing values: filled in several ways, of which the likeliest start goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .covariance_rule import CovarianceRule
from .gaussian import Gaussians, unstacked
from .missing import draw_missing, fit_missing, impute
from .prepared import Prepared, filled

__all__ = ["likeliest_start"]

SOME_ROWS = 2**12
"""Rows that starts are compared on."""
SHORT_STEPS = 15
ONE_STEPS = 10
"""Of one Gaussian for all rows, from which they are filled."""
MOST_FEATURES = 64
"""With more, its covariance for each pattern of gaps would take longer than the fit."""


def likeliest_start(
    rows: Tensor,
    weight: Tensor | None,
    starts: Callable[[Prepared], Gaussians],
    rule: CovarianceRule,
    generator: torch.Generator,
) -> Gaussians:
    """The start that is likeliest of what is seen, after some steps of EM, of those from rows filled in three ways.

    Gaps are filled with means of columns, and with conditional means and draws of one Gaussian for all rows. Means
    put rows where none are; draws don't, but none of the three is the best for all data.

    Args:
        rows: (n, F), NaN where a value is missing.
        weight: how many rows each row counts as, (n,).
        starts: from rows without gaps to mixtures to begin with, on a leading axis.
        rule: what keeps covariances from collapsing.
        generator: of the draws, on the CPU.

    Returns:
        One mixture, after those steps.
    """
    if len(rows) > SOME_ROWS:
        some = torch.randperm(len(rows), generator=generator)[:SOME_ROWS].to(rows.device)
        few = None if weight is None else weight[some]
        if _sees_all(rows[some], few):
            rows, weight = rows[some], few
    found = [
        fit_missing(rows, one, weight=weight, rule=rule, tolerance=0.0, max_iter=SHORT_STEPS)
        for whole in _filled(rows, weight, rule, generator)
        for one in unstacked(starts(whole))
    ]
    best: Gaussians = max(found, key=lambda run: run.bounds[-1]).parameters
    return best


def _sees_all(rows: Tensor, weight: Tensor | None) -> bool:
    """Whether each column has values enough in rows that count."""
    counted = rows if weight is None else rows[weight > 0]
    return len(counted) >= SOME_ROWS // 2 and bool((~counted.isnan()).any(dim=0).all())


def _filled(
    rows: Tensor, weight: Tensor | None, rule: CovarianceRule, generator: torch.Generator
) -> Iterator[Prepared]:
    data, variances = filled(rows, weight)
    yield data
    if rows.shape[1] > MOST_FEATURES:
        return
    variances = torch.where(variances > 0, variances, 1.0)
    one = Gaussians(torch.ones_like(variances[:1]), data.center[None], torch.diag(variances)[None], "full")
    one = fit_missing(rows, one, weight=weight, rule=rule, max_iter=ONE_STEPS).parameters
    yield Prepared(impute(rows, one), weight)
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    drawn = draw_missing(rows, one, torch.Generator(device=rows.device).manual_seed(seed))[0]
    yield Prepared(drawn, weight)

"""EM for mixtures of Gaussians from data that come a block at a time: in steps of mini-batches, or in whole passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor

from .covariance_rule import CovarianceRule, log_prior
from .em import EMResult, em
from .gaussian import Gaussians
from .missing import expected_moments
from .moments import Moments, maximised

__all__ = ["OnlineMixture", "fit_in_batches", "fit_in_passes", "online_start", "online_step"]

Blocks = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Rows (m, F) and their weights (m,), block after block, all over again at each call."""


class OnlineMixture(NamedTuple):
    """A mixture that goes on learning, and all that it needs to know of the rows it has seen.

    Attributes:
        gaussians: the mixture as it is.
        moments: decaying averages of counts, means and scatters, which its parameters follow from.
        n_seen: rows seen, by weight.
    """

    gaussians: Gaussians
    moments: Moments
    n_seen: float


def online_start(rows: Tensor, gaussians: Gaussians, weight: Tensor | None = None) -> OnlineMixture:
    """A mixture to go on from, and the rows that it was found on, (n, F): they count as seen.

    Raises:
        ValueError: rows of another width, or without weight.
    """
    weight = rows.new_ones(len(rows)) if weight is None else weight
    moments, _ = expected_moments(rows, gaussians, weight)
    total = float(weight.sum())
    return OnlineMixture(gaussians, moments.times(1 / total), total)


def online_step(
    state: OnlineMixture,
    rows: Tensor,
    weight: Tensor | None = None,
    *,
    decay: float = 0.6,
    rule: CovarianceRule | None = None,
) -> tuple[OnlineMixture, float]:
    r"""One step of stepwise EM: the moments of a mini-batch are blended into the average of those before.

    .. math:: s \leftarrow (1 - \eta) s + \eta \bar s(\mathrm{batch}; \theta), \quad
        \eta = \left(\frac{m}{N + m}\right)^\alpha, \quad \theta \leftarrow \mathrm{M}(s)

    with m rows in the batch and N before it. With alpha = 1 all rows count alike for ever, those of the first
    parameters too; towards 1/2 old ones are forgotten sooner.

    Args:
        state: the mixture before.
        rows: the mini-batch, (m, F); NaN where a value is missing.
        weight: how much each row counts, (m,).
        decay: alpha, above 1/2 and up to 1.
        rule: what keeps covariances from collapsing; nothing by default.

    Returns:
        The mixture after, and the mean log-likelihood of the batch's rows before they were learnt from, in nats.

    Raises:
        ValueError: a decay out of range, rows of another width, or without weight.

    References:
        Cappe, Moulines (2009). On-line expectation-maximization algorithm for latent data models. JRSS B 71, 593-613.
        Liang, Klein (2009). Online EM for unsupervised models. NAACL, 611-619.
    """
    if not 0.5 < decay <= 1:
        raise ValueError(f"Expected 0.5 < decay <= 1, got {decay}.")
    weight = rows.new_ones(len(rows)) if weight is None else weight
    total = float(weight.sum())
    if not total > 0:
        raise ValueError("Expected a mini-batch with weight, got none.")
    moments, likelihood = expected_moments(rows, state.gaussians, weight)
    step = (total / (state.n_seen + total)) ** decay
    blended = state.moments.blended(moments.times(1 / total), step)
    n_seen = state.n_seen + total
    gaussians = maximised(blended.times(n_seen), CovarianceRule() if rule is None else rule)
    return OnlineMixture(gaussians, blended, n_seen), float(likelihood)


def fit_in_batches(
    batches: Blocks,
    start: OnlineMixture,
    *,
    decay: float = 0.6,
    rule: CovarianceRule | None = None,
    tolerance: float = 1e-3,
    max_iter: int = 100,
) -> EMResult:
    """Stepwise EM over the data again and again, until a pass gains too little.

    It learns within one pass what EM needs many for: use it for data too large for many passes, and end with one or
    two passes of `fit_in_passes`, which take the noise of the last mini-batches away.

    Args:
        batches: rows and weights, best in another order each time.
        start: the mixture before; see `online_start`.
        decay: see `online_step`.
        rule: what keeps covariances from collapsing; nothing by default.
        tolerance: gain of a pass, in nats a row, at which it has converged.
        max_iter: most passes.

    Returns:
        The last state as `parameters`. Its `bounds` are mean log-likelihoods of rows before they were learnt from, one
        a pass; they may fall.
    """
    state, bounds, fall, converged = start, [], 0.0, False
    while len(bounds) < max_iter and not converged:
        likelihood, total = 0.0, 0.0
        for rows, weight in batches():
            here = float(weight.sum())
            if here > 0:
                state, found = online_step(state, rows, weight, decay=decay, rule=rule)
                likelihood, total = likelihood + here * found, total + here
        if not total > 0:
            raise ValueError("Expected mini-batches with weight, got none.")
        bounds.append(likelihood / total)
        if len(bounds) > 1:
            fall = max(fall, bounds[-2] - bounds[-1])
            converged = bounds[-1] - bounds[-2] <= tolerance
    return EMResult(state, bounds, len(bounds), converged, fall)


def fit_in_passes(
    blocks: Blocks,
    start: Gaussians,
    *,
    rule: CovarianceRule | None = None,
    tolerance: float = 1e-3,
    max_iter: int = 100,
) -> EMResult:
    """EM as it is, with one pass over the data for each step: they need not fit in memory.

    Args:
        blocks: rows, NaN where a value is missing, and weights; the same ones each time.
        start: where EM begins.
        rule: what keeps covariances from collapsing; nothing by default.
        tolerance: gain of the mean log-likelihood a row, in nats, at which EM has converged.
        max_iter: most steps.

    Returns:
        The mixture and how it was found; see `EMResult`.

    Raises:
        ValueError: no rows, or none with weight.
    """
    rule = CovarianceRule() if rule is None else rule

    def e_step(gaussians: Gaussians) -> tuple[Moments, float]:
        moments, likelihood, total = None, 0.0, 0.0
        for rows, weight in blocks():
            here = float(weight.sum())
            if here > 0:
                found, mean = expected_moments(rows, gaussians, weight)
                moments = found if moments is None else Moments.total([moments, found])
                likelihood, total = likelihood + here * float(mean), total + here
        if moments is None:
            raise ValueError("Expected rows with weight, got none.")
        return moments, (likelihood + float(log_prior(gaussians, rule))) / total

    return em(e_step, lambda moments: maximised(moments, rule), start, tolerance=tolerance, max_iter=max_iter)

"""Mixtures of independent Bernoullis, for binary images: densities, and EM that leaves out what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .em import EMResult, em
from .kmeans import closest, k_means_plus_plus, lloyd

__all__ = [
    "BernoulliStatistics",
    "Bernoullis",
    "bernoulli_log_joint",
    "fit_bernoullis",
    "maximised_bernoullis",
    "start_bernoullis",
]

CHUNK_NUMBERS = 2**20
"""Of a chunk of rows: 4 MB in float32."""

LLOYD_STEPS = 5
START_ROWS = 10_000
"""Rows that a start is looked for in, and steps of k-means from there."""


class Bernoullis(NamedTuple):
    """Parameters of a mixture.

    Attributes:
        weights: probabilities of the components, (K,).
        means: of each feature in each component, (K, F), in (0, 1).
    """

    weights: Tensor
    means: Tensor


class BernoulliStatistics(NamedTuple):
    """What an M-step needs, in float64.

    Attributes:
        counts: responsibilities added up, (K,).
        sums: of the rows by responsibility, (K, F); what is missing counts as 0.
        seen: of the values that are there, (K, F), or (K, 1) where all are.
    """

    counts: Tensor
    sums: Tensor
    seen: Tensor


def bernoulli_log_joint(rows: Tensor, model: Bernoullis) -> Tensor:
    r"""Log of the joint density of rows and components, in one matrix product.

    .. math:: \log p(x, k) = \log \pi_k + \sum_f \log(1 - \mu_{kf}) + x_f \log\frac{\mu_{kf}}{1 - \mu_{kf}}

    Args:
        rows: (n, F) in [0, 1]; grey values count as probabilities. NaN leaves a feature out, which is exact.
        model: weights and means.

    Returns:
        Nats, (n, K).

    Example:
        >>> model = Bernoullis(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.9], [0.2, 0.5]]))
        >>> bernoulli_log_joint(torch.tensor([[1.0, torch.nan]]), model).exp()
        tensor([[0.4500, 0.1000]])
    """
    off = (-model.means).log1p()
    # In the parameters' own precision: 1 - mu may be too small for that of the rows.
    logits, off, log_weights = (part.to(rows.dtype) for part in (model.means.log() - off, off, model.weights.log()))
    missing = rows.isnan()
    if not missing.any():
        return torch.addmm(log_weights + off.sum(dim=1), rows, logits.T)
    known = torch.cat([rows.nan_to_num(0.0), (~missing).to(rows.dtype)], dim=1)
    return torch.addmm(log_weights, known, torch.cat([logits, off], dim=1).T)


def _chunks(rows: Tensor) -> Iterator[slice]:
    size = max(1, CHUNK_NUMBERS // rows.shape[1])
    for start in range(0, len(rows), size):
        yield slice(start, start + size)


def _added(rows: Tensor, shares: Tensor, has_missing: bool) -> BernoulliStatistics:
    """Statistics of some rows by the share of each component in each, (n, K)."""
    counts = shares.sum(dim=0, dtype=torch.float64)
    if not has_missing:
        return BernoulliStatistics(counts, (shares.T @ rows).double(), counts[:, None])
    seen = (shares.T @ (~rows.isnan()).to(rows.dtype)).double()
    return BernoulliStatistics(counts, (shares.T @ rows.nan_to_num(0.0)).double(), seen)


def _expected(rows: Tensor, model: Bernoullis, share: Tensor, has_missing: bool) -> tuple[BernoulliStatistics, Tensor]:
    """The E-step, a chunk at a time: statistics, and the log-likelihood of all rows, each counted by its share."""
    parts, likelihood = [], torch.zeros((), dtype=torch.float64, device=rows.device)
    for here in _chunks(rows):
        joint = bernoulli_log_joint(rows[here], model)
        total = joint.logsumexp(dim=1, keepdim=True)
        likelihood += share[here] @ total.squeeze(1).double()
        shares = (joint - total).exp_() * share[here, None].to(rows.dtype)
        added = _added(rows[here], shares, has_missing)
        parts = [added] if not parts else [BernoulliStatistics(*map(torch.add, parts[0], added))]
    return parts[0], likelihood


def maximised_bernoullis(statistics: BernoulliStatistics, prior_count: float) -> Bernoullis:
    r"""The M-step: the most probable parameters with a prior :math:`\mathrm{Beta}(1 + c, 1 + c)` of every mean.

    .. math:: \mu_{kf} = \frac{\sum_n r_{nk} x_{nf} + c}{\sum_n r_{nk} + 2 c}

    Args:
        statistics: of the E-step.
        prior_count: c > 0, rows with a 1 and rows with a 0 that every component is taken to have had before.

    Returns:
        Weights and means, float64.
    """
    sums = statistics.sums.clamp_min(0.0).minimum(statistics.seen)  # but for rounding, which a small prior feels
    means = (sums + prior_count) / (statistics.seen + 2 * prior_count)
    limits = torch.finfo(means.dtype)
    return Bernoullis(statistics.counts / statistics.counts.sum(), means.clamp(limits.tiny, 1 - limits.eps))


def start_bernoullis(
    rows: Tensor, n_components: int, generator: torch.Generator, share: Tensor, prior_count: float, kmeans: bool = True
) -> Bernoullis:
    """A start: clusters of some rows by a few steps of k-means; or, without them, by the nearest of K random rows."""
    known = torch.nonzero(share > 0).squeeze(1)
    some = known[torch.randperm(len(known), generator=generator)[: max(START_ROWS, n_components)].to(rows.device)]
    x, part = rows[some], share[some]
    missing = x.isnan()
    seen = ((~missing).double() * part[:, None]).sum(dim=0)
    average = (x.nan_to_num(0.0).double() * part[:, None]).sum(dim=0) / seen.clamp_min(1e-300)
    filled = torch.where(missing, average.to(x.dtype), x)
    if kmeans:
        centers = k_means_plus_plus(filled, n_components, generator, part)
        labels = lloyd(filled, centers, weight=part, max_iter=LLOYD_STEPS).labels
    else:
        labels = closest(filled, filled[:n_components])[0]
    shares = torch.nn.functional.one_hot(labels, n_components).to(x.dtype) * part[:, None].to(x.dtype)
    return maximised_bernoullis(_added(x, shares, bool(missing.any())), max(prior_count, 1.0))


def fit_bernoullis(
    rows: Tensor,
    start: Bernoullis,
    *,
    weight: Tensor | None = None,
    prior_count: float = 1.0,
    tolerance: float = 1e-3,
    max_iter: int = 100,
) -> EMResult:
    r"""EM for a mixture of Bernoullis.

    The bound is that of the posterior of the means: mean log-likelihood of a row, plus the log prior
    :math:`\sum_{kf} \log \mathrm{Beta}(\mu_{kf}; 1 + c, 1 + c)` divided by the number of rows. It never falls.

    Args:
        rows: (n, F) in [0, 1]; NaN is left out.
        start: weights and means to begin with.
        weight: how many rows each row counts as, (n,).
        prior_count: c > 0, so that no value of any feature is impossible.
        tolerance: gain of the bound, in nats a row, at which it has converged.
        max_iter: most steps.

    Returns:
        `Bernoullis` in float64, and how they were found.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, section 9.3.3.

    Example:
        >>> rows = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]])
        >>> start = Bernoullis(torch.tensor([0.5, 0.5]), torch.tensor([[0.6, 0.5, 0.5], [0.5, 0.5, 0.5]]))
        >>> fit_bernoullis(rows, start, prior_count=0.1, tolerance=1e-6).parameters.weights.round(decimals=2)
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    has_missing, total = bool(rows.isnan().any()), share.sum()
    beta_constant = 2 * math.lgamma(1 + prior_count) - math.lgamma(2 + 2 * prior_count)

    def e_step(model: Bernoullis) -> tuple[BernoulliStatistics, Tensor]:
        statistics, likelihood = _expected(rows, model, share, has_missing)
        log_prior = (prior_count * (model.means.log() + (-model.means).log1p()) - beta_constant).sum()
        return statistics, (likelihood + log_prior) / total

    return em(
        e_step,
        lambda statistics: maximised_bernoullis(statistics, prior_count),
        start,
        tolerance=tolerance,
        max_iter=max_iter,
        rounding=1e-9 if rows.dtype == torch.float64 else 1e-6,
    )

"""The bound of variational Bayes for mixtures of Gaussians, fits by it, and what the posteriors predict."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.special import multigammaln

from .em import EMResult, em
from .gaussian import log_determinants, precisions_cholesky, whitened
from .moments import Moments
from .variational_gaussian import (
    GaussianPrior,
    VariationalGaussians,
    chunks_of,
    expected_log_excess,
    expected_moments,
    posterior_of,
)

__all__ = ["divergence", "fit_variational", "predictive_log_joint", "student_parameters"]


TRIAL_STEPS = 50
LEAST_GAIN = 1e-3  # nats of all rows together, for which a component is left out
"""By which a model without a component has to be better than with it."""


def divergence(posterior: VariationalGaussians, prior: GaussianPrior) -> Tensor:
    """KL divergence of all parameters' posteriors from the prior, in nats: what the bound pays for them."""
    return (
        _of_weights(posterior, prior)
        + _of_means(posterior, prior)
        + (_of_wisharts if prior.kind in ("full", "tied") else _of_gammas)(posterior, prior)
    )


def _of_weights(posterior: VariationalGaussians, prior: GaussianPrior) -> Tensor:
    """Of a Dirichlet distribution; of a process, of two numbers for each stick."""
    found = posterior.concentration
    before = torch.full_like(found, prior.concentration)
    if prior.process:
        before[0] = 1.0
    total, total_before = found.sum(dim=0), before.sum(dim=0)
    norm = total.lgamma() - found.lgamma().sum(dim=0) - total_before.lgamma() + before.lgamma().sum(dim=0)
    return (norm + ((found - before) * (found.digamma() - total.digamma())).sum(dim=0)).sum()


def _of_means(posterior: VariationalGaussians, prior: GaussianPrior) -> Tensor:
    n_features, ratio = posterior.means.shape[1], prior.mean_precision / posterior.mean_precision
    apart = whitened(prior.mean[None], posterior.means, precisions_cholesky(posterior.gaussians), posterior.kind)
    pulled = prior.mean_precision * apart.square().sum(dim=(1, 2))
    return 0.5 * (n_features * (ratio - 1 - ratio.log()) + pulled).sum()


def _of_wisharts(posterior: VariationalGaussians, prior: GaussianPrior) -> Tensor:
    n_components, n_features = posterior.means.shape
    covariances, freedom = posterior.covariances, posterior.wishart_freedom
    before, scatter = prior.degrees_of_freedom, prior.covariance
    excess = expected_log_excess(posterior)
    if posterior.kind == "tied":  # one precision, for which the prior counts once for each component
        covariances, freedom, excess = covariances[None], freedom[:1], excess[:1]
        before, scatter = before * n_components, scatter * n_components
    log_det, log_det_before = torch.linalg.slogdet(covariances)[1], torch.linalg.slogdet(scatter)[1]
    trace = torch.linalg.solve(covariances, scatter.expand_as(covariances)).diagonal(dim1=1, dim2=2).sum(dim=1)
    # log B(W, nu) = -nu / 2 log|W| - nu F / 2 log 2 - log Gamma_F(nu / 2), with W^-1 = nu C.
    norm = freedom / 2 * (n_features * (freedom / 2).log() + log_det) - multigammaln(freedom / 2, n_features)
    half = torch.as_tensor(before / 2, dtype=freedom.dtype, device=freedom.device)
    norm_before = half * (log_det_before - n_features * math.log(2)) - multigammaln(half, n_features)
    expected = excess - log_det
    return (norm - norm_before + 0.5 * ((freedom - before) * expected - freedom * n_features + trace)).sum()


def _of_gammas(posterior: VariationalGaussians, prior: GaussianPrior) -> Tensor:
    """Of the precision of each feature, or of one for all of them."""
    n_features = posterior.means.shape[1]
    spherical = posterior.kind == "spherical"
    times = n_features if spherical else 1
    freedom = posterior.degrees_of_freedom if spherical else posterior.degrees_of_freedom[:, None]
    shape, shape_before = (
        times * freedom / 2,
        times * torch.as_tensor(prior.degrees_of_freedom / 2, dtype=freedom.dtype),
    )
    rate, rate_before = shape * posterior.covariances, times * prior.covariance / 2
    each = (
        (shape - shape_before) * shape.digamma()
        - shape.lgamma()
        + shape_before.lgamma()
        + shape_before * (rate.log() - rate_before.log())
        + shape * (rate_before - rate) / rate
    )
    return each.sum()


def fit_variational(
    rows: Tensor,
    start: VariationalGaussians,
    prior: GaussianPrior,
    *,
    weight: Tensor | None = None,
    tolerance: float = 1e-3,
    max_iter: int = 100,
    prune: bool = True,
) -> EMResult:
    r"""Variational Bayes: responsibilities and posteriors in turn, and then components that are better done without.

    .. math:: L = \sum_n \log\sum_k e^{E[\log p(x_n, k)]} - KL(q(\pi, \mu, \Lambda) \| p(\pi, \mu, \Lambda))
              \le \log p(x_1, \ldots, x_n)

    with all constants, so that bounds of models of different sizes can be compared; it never falls. A component that
    shares its rows with another one loses them too slowly for its steps to tell, which is why the number of components
    hardly follows the prior in other programs: each is left out in turn, and stays out where that raises the bound.

    Args:
        rows: (n, F).
        start: posteriors to begin with.
        prior: of the parameters.
        weight: how many rows each row counts as, (n,).
        tolerance: gain of the bound, in nats a row, at which it has converged.
        max_iter: most steps from a start.
        prune: leave out components where that is better.

    Returns:
        `VariationalGaussians` and how they were found; bounds in nats a row.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, section 10.2.
        Hughes, Sudderth (2013). Memoized online variational inference for Dirichlet process mixture models. NeurIPS.
    """
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    total = share.sum()

    def e_step(posterior: VariationalGaussians) -> tuple[Moments, Tensor]:
        moments, likelihood = expected_moments(rows, posterior, share)
        return moments, (likelihood - divergence(posterior, prior)) / total

    def run(start: VariationalGaussians, steps: int) -> EMResult:
        return em(e_step, lambda moments: posterior_of(moments, prior), start, tolerance=tolerance, max_iter=steps)

    found = run(start, max_iter)
    better: Any = found if prune else None
    while better is not None:
        found, better = better, None
        counts = found.parameters.degrees_of_freedom - prior.degrees_of_freedom
        if prior.kind == "tied":
            counts = expected_moments(rows, found.parameters, share)[0].counts
        for left_out in _candidates(counts, prior):
            moments = expected_moments(rows, found.parameters, share, left_out)[0]
            trial = run(posterior_of(_by_size(moments) if prior.process else moments, prior), TRIAL_STEPS)
            last: Any = (found.bounds[-1], trial.bounds[-1])
            # More than rounding, of all rows together: else trials would follow each other without end.
            if (last[1] - last[0]) * float(total) > LEAST_GAIN + 1e-9 * abs(last[0]) * float(total):
                better = _joined(found, run(trial.parameters, max_iter), trial.n_steps)
                break
    return found


def _joined(before: EMResult, after: EMResult, n_steps: int) -> EMResult:
    """A fit that went on elsewhere, by so many steps in between."""
    bounds: Any = [*before.bounds, *after.bounds]
    fall = max(before.largest_fall, after.largest_fall)
    return EMResult(after.parameters, bounds, before.n_steps + n_steps + after.n_steps, after.converged, fall)


def _candidates(counts: Tensor, prior: GaussianPrior) -> list[int | None]:
    """Components with rows, the smallest first; before them, for a process, none: its order alone may be better."""
    order = counts.argsort().tolist()
    with_rows = [k for k in order if counts[k] > 1e-6 * counts.sum()]
    whole: list[int | None] = [None] if prior.process and (counts.diff() > 0).any() else []
    return [*whole, *(with_rows if len(with_rows) > 1 else [])]


def _by_size(moments: Moments) -> Moments:
    """Components in the order that a process finds most probable: the largest first."""
    order = moments.counts.argsort(descending=True, stable=True)
    scatters = moments.scatters if moments.kind == "tied" else moments.scatters[order]
    return Moments(moments.counts[order], moments.means[order], scatters, moments.kind)


def predictive_log_joint(rows: Tensor, posterior: VariationalGaussians, roots: Tensor | None = None) -> Tensor:
    r"""Log of what the posteriors predict, a mixture of Student's t: :math:`\log E[\pi_k] + \log E[p(x \mid k)]`.

    A density that integrates to 1, with the tails of what few rows leave open.

    Args:
        rows: (n, F).
        posterior: of the parameters.
        roots: `precisions_cholesky` of its mixture, where they are known already.

    Returns:
        Nats, (n, K), float64.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, eq. 10.81.
    """
    mixture = posterior.gaussians
    roots = precisions_cholesky(mixture) if roots is None else roots
    log_det, n_features = log_determinants(roots, mixture.kind, rows.shape[1]), rows.shape[1]
    freedom, scale = student_parameters(posterior)
    result = torch.empty(len(rows), len(mixture.means), dtype=torch.float64, device=rows.device)
    for here in chunks_of(rows, len(mixture.means)):
        squares = whitened(rows[here].double(), mixture.means, roots, mixture.kind).square()
        if mixture.kind == "diag":  # each feature has a precision of its own
            joint, width = ((squares / (freedom * scale)[:, None, None]).log1p().sum(dim=2)), 1
        else:
            joint, width = (squares.sum(dim=2) / (freedom * scale)[:, None]).log1p(), n_features
        norm = ((freedom + width) / 2).lgamma() - (freedom / 2).lgamma() - width / 2 * (freedom * math.pi * scale).log()
        density = n_features / width * norm + log_det - ((freedom + width) / 2) * joint.T
        result[here] = density + mixture.weights.log()
    return result


def student_parameters(posterior: VariationalGaussians) -> tuple[Tensor, Tensor]:
    """Degrees of freedom of what each component predicts, and by how much it is wider than its covariance, (K,)."""
    freedom, n_features = posterior.wishart_freedom, posterior.means.shape[1]
    wider = 1 + 1 / posterior.mean_precision
    if posterior.kind in ("full", "tied"):
        left = freedom + 1 - n_features
        return left, wider * freedom / left
    return freedom * (n_features if posterior.kind == "spherical" else 1), wider

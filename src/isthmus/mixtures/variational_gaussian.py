"""Variational Bayes for mixtures of Gaussians: posteriors of weights, means and precisions, and their bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .gaussian import Gaussians, component_log_densities
from .moments import CHUNK_NUMBERS, Moments, moments_of

__all__ = [
    "GaussianPrior",
    "VariationalGaussians",
    "expected_log_joint",
    "expected_moments",
    "expected_weights",
    "posterior_of",
]


class GaussianPrior(NamedTuple):
    r"""What is believed of a mixture before there are rows.

    Precisions :math:`\Lambda_k \sim W(\nu_0, C_0^{-1})` and means :math:`\mu_k \sim N(m_0, (\beta_0 \Lambda_k)^{-1})`,
    of K components.

    Attributes:
        concentration: of the weights: Dirichlet(c, ..., c), or of a Dirichlet process.
        mean_precision: beta_0 > 0, rows that the prior mean counts as.
        mean: m_0, (F,).
        degrees_of_freedom: nu_0 > F - 1, rows that the prior covariance counts as.
        covariance: C_0, a scatter of as many rows: (F, F), variances (F,) for "diag", one for "spherical". Gamma priors
            with the shape nu_0 / 2 and the rate C_0 / 2 for "diag", F times as much for "spherical"; "tied" counts the
            prior once for each component.
        kind: of the covariances, as in `Gaussians`.
        process: a Dirichlet process, whose first components are more probable, in place of a Dirichlet distribution.
    """

    concentration: float
    mean_precision: float
    mean: Tensor
    degrees_of_freedom: float
    covariance: Tensor
    kind: str
    process: bool


class VariationalGaussians(NamedTuple):
    """Posteriors of the parameters of a mixture, which are independent of each other but for means and precisions.

    Attributes:
        concentration: of the Dirichlet distribution, (K,); of the sticks' Beta distributions, (2, K), for a process.
        mean_precision: beta, (K,).
        means: of the components' means, (K, F).
        degrees_of_freedom: nu, (K,); of each component's share in the one covariance for "tied".
        covariances: one over the mean precision, E[Lambda]^-1, shaped as in `Gaussians`.
        kind: of the covariances.
    """

    concentration: Tensor
    mean_precision: Tensor
    means: Tensor
    degrees_of_freedom: Tensor
    covariances: Tensor
    kind: str

    @property
    def gaussians(self) -> Gaussians:
        """The mixture at the posteriors' means."""
        return Gaussians(expected_weights(self.concentration), self.means, self.covariances, self.kind)

    @property
    def wishart_freedom(self) -> Tensor:
        """Degrees of freedom of each component's precision: all of them for the one that "tied" has."""
        return self.degrees_of_freedom * len(self.means) if self.kind == "tied" else self.degrees_of_freedom


def expected_weights(concentration: Tensor) -> Tensor:
    """E[pi], (K,); what a process leaves for further components is shared out among these."""
    if concentration.ndim == 1:
        return concentration / concentration.sum()
    broken, left = concentration / concentration.sum(dim=0)
    weights = broken * torch.cat([torch.ones_like(left[:1]), left[:-1].cumprod(0)])
    return weights / weights.sum()


def expected_log_weights(concentration: Tensor) -> Tensor:
    """E[log pi], (K,)."""
    if concentration.ndim == 1:
        return concentration.digamma() - concentration.sum().digamma()
    broken, left = concentration.digamma() - concentration.sum(dim=0).digamma()
    return broken + torch.cat([torch.zeros_like(left[:1]), left[:-1].cumsum(0)])


def expected_log_excess(posterior: VariationalGaussians) -> Tensor:
    """E[log det Lambda] - log det E[Lambda], (K,)."""
    freedom, n_features = posterior.wishart_freedom, posterior.means.shape[1]
    if posterior.kind in ("full", "tied"):
        each = torch.arange(n_features, dtype=freedom.dtype, device=freedom.device)
        return (((freedom[:, None] - each) / 2).digamma() - (freedom[:, None] / 2).log()).sum(dim=1)
    shape = freedom / 2 * (n_features if posterior.kind == "spherical" else 1)
    return n_features * (shape.digamma() - shape.log())


def expected_log_joint(rows: Tensor, posterior: VariationalGaussians) -> Tensor:
    r"""E[log p(x, k | parameters)] of rows, whose softmax are the responsibilities.

    .. math:: E[\log\pi_k] + \tfrac12 E[\log|\Lambda_k|] - \tfrac F2\log 2\pi - \tfrac F{2\beta_k}
              - \tfrac12 (x - m_k)^T E[\Lambda_k] (x - m_k)

    Args:
        rows: (n, F).
        posterior: of the parameters.

    Returns:
        Nats, (n, K), float64.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, eq. 10.46.
    """
    densities = component_log_densities(rows, posterior.gaussians)
    spread = rows.shape[1] / posterior.mean_precision
    return densities + (expected_log_weights(posterior.concentration) + 0.5 * (expected_log_excess(posterior) - spread))


def chunks_of(rows: Tensor, n_components: int) -> Iterator[slice]:
    """Slices of rows of which no array is larger than a chunk."""
    size = max(1, CHUNK_NUMBERS // (rows.shape[1] * n_components))
    for start in range(0, len(rows), size):
        yield slice(start, start + size)


def expected_moments(
    rows: Tensor, posterior: VariationalGaussians, share: Tensor, without: int | None = None
) -> tuple[Moments, Tensor]:
    """The E-step in chunks: moments by responsibility, and the sum of log sum_k exp E[log p(x, k)] over the rows.

    Args:
        rows: (n, F).
        posterior: of the parameters.
        share: how many rows each row counts as, (n,) float64.
        without: a component whose rows the others take over.
    """
    parts, total = [], torch.zeros((), dtype=torch.float64, device=rows.device)
    for here in chunks_of(rows, len(posterior.means)):
        joint = expected_log_joint(rows[here], posterior)
        if without is not None:
            joint[:, without] = -torch.inf
        each = joint.logsumexp(dim=1)
        total += share[here] @ each
        shares = (joint - each[:, None]).exp_() * share[here, None]
        parts.append(moments_of(rows[here], shares, posterior.kind))
        parts = parts if len(parts) == 1 else [Moments.total(parts)]
    return parts[0], total


def posterior_of(moments: Moments, prior: GaussianPrior) -> VariationalGaussians:
    """The M-step: the posteriors of the parameters, given the responsibilities by their moments.

    Args:
        moments: counts, means and scatters.
        prior: of the parameters.

    Returns:
        Posteriors, conjugate to the prior.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, eqs. 10.58 to 10.63.
        Blei, Jordan (2006). Variational inference for Dirichlet process mixtures. Bayesian Analysis 1.
    """
    counts, kind = moments.counts, moments.kind
    later = counts.flip(0).cumsum(0).flip(0) - counts
    concentration = (
        torch.stack([1 + counts, prior.concentration + later]) if prior.process else (prior.concentration + counts)
    )
    precision = prior.mean_precision + counts
    means = (prior.mean_precision * prior.mean + counts[:, None] * moments.means) / precision[:, None]
    apart, pull = moments.means - prior.mean, prior.mean_precision * counts / precision
    if kind == "tied":
        freedom = prior.degrees_of_freedom + counts.sum() / len(counts)
        scatter = prior.covariance + (moments.scatters + (pull[:, None] * apart).T @ apart) / len(counts)
        covariances, freedom = scatter / freedom, freedom.expand(len(counts)).clone()
    else:
        freedom = prior.degrees_of_freedom + counts
        if kind == "full":
            added = pull[:, None, None] * apart[:, :, None] * apart[:, None, :]
            covariances = (prior.covariance + moments.scatters + added) / freedom[:, None, None]
        else:
            added = moments.scatters + pull[:, None] * apart.square()
            scatter = prior.covariance + (added.mean(dim=1) if kind == "spherical" else added)
            covariances = scatter / (freedom if kind == "spherical" else freedom[:, None])
    if kind in ("full", "tied"):
        covariances = (covariances + covariances.mT) / 2
    return VariationalGaussians(concentration, precision, means, freedom, covariances, kind)

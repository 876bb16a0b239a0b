"""What keeps covariances from collapsing: a floor, a Wishart prior, or an amount added to the variances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .gaussian import Gaussians, log_determinants, precisions_cholesky

__all__ = ["CovarianceRule", "log_prior", "regularised"]


class CovarianceRule(NamedTuple):
    r"""How covariances are found from scatters, beside their likelihood.

    Without any, a component on one row, or on equal ones, has an infinite likelihood. The first two are exact: EM with
    them maximises a likelihood under a constraint, or a posterior, and its bound never falls.

    Attributes:
        floor: smallest variance along each feature, (F,): covariances are the most likely of those with
            :math:`\Sigma - \mathrm{diag}(floor)` positive semidefinite. Of no effect where data vary more.
        prior_rows: as if each component had seen so many rows more, of covariance diag(prior_variances): an inverse
            Wishart prior, :math:`\log p(\Sigma) = -\tfrac12 m (\log\det\Sigma + \mathrm{tr}\,V \Sigma^{-1})`.
        prior_variances: V, (F,).
        added: to the variances, a number or one a feature (F,): scikit-learn's `reg_covar`. A likelihood may fall by
            it.

    References:
        Fraley, Raftery (2007). Bayesian regularization for normal mixture estimation and model-based clustering.
        Journal of Classification 24.
    """

    floor: Tensor | None = None
    prior_rows: float = 0.0
    prior_variances: Tensor | None = None
    added: float | Tensor = 0.0


def regularised(counts: Tensor, scatters: Tensor, kind: str, rule: CovarianceRule) -> Tensor:
    """Covariances from scatters of components with so many rows.

    Args:
        counts: rows of each component, (..., K), all above 0.
        scatters: (..., K, F, F), (..., F, F) of all components together for "tied", (..., K, F) for "diag" and
            "spherical".
        kind: of the covariances.
        rule: what else counts.

    Returns:
        (..., K, F, F), (..., F, F), (..., K, F) or (..., K).

    Example:
        >>> rule = CovarianceRule(floor=torch.tensor([0.5]))
        >>> regularised(torch.tensor([2.0, 1.0]), torch.tensor([[4.0], [0.1]]), "diag", rule)
        tensor([[2.0000],
                [0.5000]])
    """
    matrices = kind in ("full", "tied")
    counts = counts.sum(dim=-1) if kind == "tied" else counts
    if rule.prior_rows and rule.prior_variances is not None:
        more = rule.prior_rows * rule.prior_variances.to(scatters)
        scatters, counts = scatters + (torch.diag(more) if matrices else more), counts + rule.prior_rows
    found = scatters / (counts[..., None, None] if matrices else counts[..., None])
    found = (found + found.mT) / 2 if matrices else found
    found = found.mean(dim=-1) if kind == "spherical" else found
    if rule.floor is not None:
        found = _above(found, rule.floor.to(found), kind)
    added = torch.as_tensor(rule.added, dtype=found.dtype, device=found.device)
    if matrices:
        return found + torch.diag(added.expand(found.shape[-1]))
    return found + (added.mean() if kind == "spherical" else added)


def _above(covariances: Tensor, floor: Tensor, kind: str) -> Tensor:
    """The most likely covariances above a floor: in units of the floor, eigenvalues below 1 become 1."""
    if kind == "spherical":
        return covariances.clamp_min(floor.mean())
    if kind == "diag":
        return torch.maximum(covariances, floor)
    below = torch.linalg.cholesky_ex(covariances - torch.diag(floor)).info != 0
    if not below.any():
        return covariances
    unit = floor.sqrt()
    unit = unit[:, None] * unit
    values, vectors = torch.linalg.eigh(covariances / unit)
    raised = (vectors * values.clamp_min(1.0)[..., None, :]) @ vectors.mT * unit
    return torch.where(below[..., None, None], (raised + raised.mT) / 2, covariances)


def log_prior(gaussians: Gaussians, rule: CovarianceRule) -> Tensor:
    """Log-density of the covariances under the rule's prior, up to a constant, in nats, (...): 0 without one."""
    if not rule.prior_rows or rule.prior_variances is None:
        return gaussians.means.new_zeros(gaussians.means.shape[:-2])
    roots, kind = precisions_cholesky(gaussians), gaussians.kind
    variances = rule.prior_variances.to(roots)
    if kind == "spherical":
        trace = roots.square() * variances.sum()
    elif kind == "diag":
        trace = roots.square() @ variances
    else:
        trace = roots.square().sum(dim=-1) @ variances
        trace = trace[..., None] if kind == "tied" else trace
    log_determinant = -2 * log_determinants(roots, kind, gaussians.n_features)
    return -0.5 * rule.prior_rows * (log_determinant + trace).sum(dim=-1)

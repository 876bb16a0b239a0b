"""Gaussian mixtures of rows with missing values: likelihood of what is there, EM, and what the rest may be."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .covariance_rule import CovarianceRule, log_prior
from .em import EMResult, em
from .gaussian import Gaussians, log_determinants, precisions_cholesky
from .gaussian_sums import expectations
from .moments import Moments, maximised
from .patterns import Block, blocks_by_pattern
from .prepared import Prepared

__all__ = [
    "check_seen",
    "draw_missing",
    "fit_missing",
    "impute",
    "missing_component_log_densities",
    "missing_moments",
    "expected_moments",
]


class _Completed(NamedTuple):
    """Rows of a block given what is seen of them and the component: Gaussian, exact where values are seen.

    Attributes:
        log_densities: log p(x_seen | k), (P, K, m).
        deviations: E[x | x_seen, k] from the component's mean, (P, K, m, F).
        left: covariance of x given x_seen and k, 0 where values are seen: (P, K or 1, F, F), or variances (P, K, F).
        regression: B with E[x - mean] = B (x - mean)_seen, (P, K or 1, F, F); None where features are independent.
    """

    log_densities: Tensor
    deviations: Tensor
    left: Tensor
    regression: Tensor | None


def missing_component_log_densities(rows: Tensor, gaussians: Gaussians) -> Tensor:
    r"""Log-density of what is seen of each row under each component; the weights are not in it.

    .. math:: \log p(x_o \mid k) = \log N(x_o; \mu_{k,o}, \Sigma_{k,oo})

    Args:
        rows: (n, F), NaN where a value is missing; a row without any value has log-density 0.
        gaussians: the mixture.

    Returns:
        Nats, (n, K).

    Example:
        >>> mixture = Gaussians(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2), "diag")
        >>> missing_component_log_densities(torch.tensor([[0.0, 0.0], [0.0, math.nan]]), mixture)
        tensor([[-1.8379],
                [-0.9189]])
    """
    result = rows.new_empty(len(rows), len(gaussians.means))
    for block in _blocks(rows, gaussians):
        found = _completed(rows, gaussians, block).log_densities.mT
        result[block.index[block.counts]] = found[block.counts].to(result)
    return result


def fit_missing(
    rows: Tensor,
    start: Gaussians,
    *,
    weight: Tensor | None = None,
    rule: CovarianceRule | None = None,
    tolerance: float = 1e-3,
    max_iter: int = 100,
) -> EMResult:
    r"""EM for a mixture of Gaussians from rows with missing values, which are supposed to be missing at random.

    The E-step completes each row, in each component, by its conditional mean, and adds the conditional covariance:

    .. math:: E[x_m \mid x_o, k] = \mu_{k,m} + \Sigma_{k,mo} \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}), \qquad
        \mathrm{Cov}[x_m \mid x_o, k] = \Sigma_{k,mm} - \Sigma_{k,mo} \Sigma_{k,oo}^{-1} \Sigma_{k,om} .

    The log-likelihood of what is seen never falls (but for what a rule adds to variances); with nothing missing it is
    plain EM. To fill the gaps with means first, and then fit, makes variances too small: use this instead.

    Args:
        rows: (n, F), NaN where a value is missing. Rows without any value change nothing but the number of steps.
        start: where EM begins; its kind of covariances is kept. Computed in its dtype, best float64.
        weight: how much each row counts, (n,).
        rule: what keeps covariances from collapsing; nothing by default.
        tolerance: gain of the mean log-likelihood a row, in nats, at which EM has converged.
        max_iter: most steps.

    Returns:
        The mixture and how it was found; bounds are log-likelihoods of what is seen, a mean per row, with the prior's
        share where there is one.

    Raises:
        ValueError: infinite values, a column without any value, or no row that counts.

    References:
        Ghahramani, Jordan (1994). Supervised learning from incomplete data via an EM approach. NeurIPS 6.
        Little, Rubin (2019). Statistical analysis with missing data, 3rd ed., ch. 11.
    """
    weight = rows.new_ones(len(rows)) if weight is None else weight
    rule = CovarianceRule() if rule is None else rule
    check_seen(rows, weight)
    blocks, total = _blocks(rows, start), float(weight.sum())

    def e_step(gaussians: Gaussians) -> tuple[Moments, Tensor]:
        moments, likelihood = missing_moments(rows, gaussians, weight, blocks)
        return moments, likelihood + log_prior(gaussians, rule) / total

    def m_step(moments: Moments) -> Gaussians:
        return maximised(moments, rule)

    return em(e_step, m_step, start, tolerance=tolerance, max_iter=max_iter)


def check_seen(rows: Tensor, weight: Tensor) -> None:
    """Make sure that there is something to learn from: finite values, in each column some of rows that count.

    Raises:
        ValueError: there is not.
    """
    if rows.isinf().any():
        raise ValueError("Expected finite values, or NaN where one is missing, got infinity; use NaN, or np.clip.")
    if weight.shape != (len(rows),) or not bool((weight >= 0).all()) or not float(weight.sum()) > 0:
        raise ValueError(f"Expected weights >= 0 with a positive sum, ({len(rows)},), got others.")
    empty = torch.nonzero(~((~rows.isnan()) & (weight > 0)[:, None]).any(dim=0))[:, 0].tolist()
    if empty:
        raise ValueError(
            f"Expected a value in some row of each column, got none in column {', '.join(map(str, empty))}; leave out "
            "such columns."
        )


def expected_moments(rows: Tensor, gaussians: Gaussians, weight: Tensor) -> tuple[Moments, Tensor]:
    """The E-step, the quick way where nothing is missing; arguments and results as those of `missing_moments`."""
    if rows.isnan().any():
        return missing_moments(rows, gaussians, weight)
    return expectations(Prepared(rows, weight), gaussians)


def missing_moments(
    rows: Tensor, gaussians: Gaussians, weight: Tensor, blocks: list[Block] | None = None
) -> tuple[Moments, Tensor]:
    """The E-step: expected counts, means and scatters of each component, and the mean log-likelihood of a row.

    Args:
        rows: (n, F), NaN where a value is missing.
        gaussians: the mixture.
        weight: how much each row counts, (n,).
        blocks: the rows by pattern, where that is known already.
    """
    means, together = gaussians.means, gaussians.kind == "tied"
    counts, first = means.new_zeros(len(means)), torch.zeros_like(means)
    second = torch.zeros_like(gaussians.covariances if gaussians.kind != "spherical" else means)
    likelihood = means.new_zeros(())
    for block in _blocks(rows, gaussians) if blocks is None else blocks:
        found = _completed(rows, gaussians, block)
        joint = found.log_densities + gaussians.weights.log()[:, None]
        evidence = joint.logsumexp(dim=1)
        share = weight[block.index].to(means) * block.counts
        likelihood += (evidence * share).sum()
        taken = (joint - evidence[:, None]).exp() * share[:, None]  # (P, K, m)
        number, weighted = taken.sum(dim=2), found.deviations * taken[..., None]
        counts += number.sum(dim=0)
        first += weighted.sum(dim=(0, 2))
        if found.regression is None:
            second += (weighted * found.deviations).sum(dim=(0, 2)) + (number[..., None] * found.left).sum(dim=0)
        else:
            products = weighted.mT @ found.deviations + number[..., None, None] * found.left
            second += products.sum(dim=(0, 1)) if together else products.sum(dim=0)
    return Moments.of_sums(counts, means, first, second, gaussians.kind), likelihood / weight.to(means).sum()


def impute(rows: Tensor, gaussians: Gaussians) -> Tensor:
    """Rows whose missing values are filled with their conditional means, E[x_missing | x_seen].

    Args:
        rows: (n, F), NaN where a value is missing; a row without any value becomes the mean of the mixture.
        gaussians: the mixture.

    Returns:
        Rows without NaN, (n, F); what was seen is as it was, to the bit.

    Example:
        >>> covariance = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]])
        >>> mixture = Gaussians(torch.ones(1), torch.zeros(1, 2), covariance, "full")
        >>> impute(torch.tensor([[2.0, math.nan]]), mixture)
        tensor([[2., 1.]])
    """
    result = rows.clone()
    for block in _blocks(rows, gaussians):
        found = _completed(rows, gaussians, block)
        share = _responsibilities(found, gaussians)
        values = torch.einsum("pkm,pkmf->pmf", share, found.deviations + gaussians.means[:, None])
        _fill(result, block, values)
    return result


def draw_missing(rows: Tensor, gaussians: Gaussians, generator: torch.Generator, n_draws: int = 1) -> Tensor:
    r"""Rows whose missing values are drawn from p(x_missing | x_seen): for multiple imputation.

    A draw e from N(0, Sigma) of the component is turned into one given what is seen by
    :math:`x_m = E[x_m | x_o] + e_m - \Sigma_{mo} \Sigma_{oo}^{-1} e_o`, which needs no root of another matrix.

    Args:
        rows: (n, F), NaN where a value is missing.
        gaussians: the mixture.
        generator: of the draws, on the device of the rows.
        n_draws: how many rows to draw for each.

    Returns:
        (n_draws, n, F).

    References:
        Rubin (1987). Multiple imputation for nonresponse in surveys.
    """
    result = rows.expand(n_draws, -1, -1).clone()
    matrices = gaussians.kind in ("full", "tied")
    roots = torch.linalg.cholesky(_stack(gaussians)) if matrices else _variances(gaussians).sqrt()
    for block in _blocks(rows, gaussians):
        found = _completed(rows, gaussians, block)
        share = _responsibilities(found, gaussians).movedim(1, 2).reshape(-1, len(gaussians.means))
        for draw in result:
            noise = torch.randn(found.deviations.shape, generator=generator, dtype=roots.dtype, device=roots.device)
            noise = noise @ roots.mT if matrices else noise * roots[:, None]
            noise = noise - (noise * block.seen[:, None, None]) @ _regression(found, block).mT
            values = found.deviations + noise + gaussians.means[:, None]
            chosen = torch.multinomial(share, 1, generator=generator).reshape(block.index.shape)
            chosen = chosen[:, None, :, None].expand(-1, 1, -1, rows.shape[1])
            _fill(draw, block, values.gather(1, chosen)[:, 0])
    return result


def _blocks(rows: Tensor, gaussians: Gaussians) -> list[Block]:
    if rows.ndim != 2 or rows.shape[1] != gaussians.means.shape[-1]:
        raise ValueError(f"Expected rows (n, {gaussians.means.shape[-1]}), got {tuple(rows.shape)}.")
    return blocks_by_pattern(~rows.isnan(), len(gaussians.means))


def _stack(gaussians: Gaussians) -> Tensor:
    """Covariances as (K, F, F), or (1, F, F) where the components share one."""
    return gaussians.covariances[None] if gaussians.kind == "tied" else gaussians.covariances


def _variances(gaussians: Gaussians) -> Tensor:
    """Variances of independent features, (K, F)."""
    covariances = gaussians.covariances
    return covariances if gaussians.kind == "diag" else covariances[:, None].expand_as(gaussians.means)


def _completed(rows: Tensor, gaussians: Gaussians, block: Block) -> _Completed:
    seen = block.seen[:, None]  # (P, 1, F)
    apart = rows[block.index].to(gaussians.means)[:, None] - gaussians.means[:, None]
    apart = torch.where(seen[:, :, None], apart, 0.0)  # (P, K, m, F)
    constant = seen.sum(dim=2).to(apart) * math.log(2 * math.pi)  # (P, 1)
    if gaussians.kind in ("diag", "spherical"):
        variances = _variances(gaussians)
        log_determinant = torch.where(seen, variances.log(), 0.0).sum(dim=2)
        distance = (apart.square() / variances[:, None]).sum(dim=3)
        left, regression, deviations = torch.where(seen, 0.0, variances), None, apart
    else:
        covariances, both = _stack(gaussians), seen[..., None] & seen[..., None, :]
        identity = torch.eye(rows.shape[1], dtype=covariances.dtype, device=covariances.device)
        # What is missing becomes a feature of its own of variance 1: all patterns have matrices of one size.
        apart_of_others = gaussians._replace(covariances=torch.where(both, covariances, identity), kind="full")
        roots = precisions_cholesky(apart_of_others)
        log_determinant = -2 * log_determinants(roots, "full", rows.shape[1])
        distance = (apart @ roots).square().sum(dim=3)
        precision = torch.where(both, roots @ roots.mT, 0.0)
        regression = torch.where(seen[..., None], identity, covariances @ precision)
        left = torch.where(seen[..., None] | seen[..., None, :], 0.0, covariances - regression @ covariances)
        deviations = apart @ regression.mT
    return _Completed(-0.5 * (constant + log_determinant)[..., None] - 0.5 * distance, deviations, left, regression)


def _responsibilities(found: _Completed, gaussians: Gaussians) -> Tensor:
    return (found.log_densities + gaussians.weights.log()[:, None]).softmax(dim=1)


def _regression(found: _Completed, block: Block) -> Tensor:
    """B of independent features as well: they say nothing of each other."""
    if found.regression is None:
        return torch.diag_embed(block.seen.to(found.deviations))[:, None]
    return found.regression


def _fill(result: Tensor, block: Block, values: Tensor) -> None:
    """Put values (P, m, F) where a value is missing."""
    index = block.index[block.counts]
    kept = result[index]
    result[index] = torch.where(kept.isnan(), values[block.counts].to(result), kept)

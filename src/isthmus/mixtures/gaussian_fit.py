"""Mixtures of Gaussians fitted by EM: several starts at once, and collapsed components found and seeded again."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .covariance_rule import CovarianceRule, log_prior
from .em import EMResult, em
from .gaussian import Gaussians, component_log_densities, unstacked
from .gaussian_sums import expectations
from .missing import fit_missing, impute, missing_component_log_densities
from .moments import Moments, maximised
from .prepared import Prepared

__all__ = ["GaussianFit", "collapsed_components", "fit_gaussians", "likeliest"]


class GaussianFit(NamedTuple):
    """What EM found of a mixture of Gaussians.

    Attributes:
        gaussians: the mixture, float64.
        found: how: bounds are mean log-likelihoods of a row, in nats, with the prior's share where there is one, since
            components were last seeded again.
        collapsed: numbers of the components that are on too few rows, (C,) int64.
        n_seeded: how many times components were seeded again.
    """

    gaussians: Gaussians
    found: EMResult
    collapsed: Tensor
    n_seeded: int


def fit_gaussians(
    rows: Tensor | Prepared,
    start: Gaussians,
    *,
    weight: Tensor | None = None,
    rule: CovarianceRule | None = None,
    tolerance: float = 1e-3,
    max_iter: int = 100,
    n_seedings: int = 0,
    generator: torch.Generator | None = None,
) -> GaussianFit:
    r"""EM for a mixture of Gaussians, from one start or from several at once, of which the best is kept.

    Steps alternate between :math:`r_{ik} = p(k \mid x_i)` and the weights, means and covariances of rows that count
    by r. Their likelihood never falls (but for what a rule adds to variances). Several starts cost less together than
    one after the other: rows are read once for all.

    Args:
        rows: (n, F), float32 or float64; NaN where a value is missing, which `fit_missing` leaves out.
        start: where EM begins; R starts have a leading axis in weights, means and covariances.
        weight: how many rows each row counts as, (n,).
        rule: what keeps covariances from collapsing; nothing by default.
        tolerance: gain of the mean log-likelihood of a row, in nats, at which EM has converged.
        max_iter: most steps; those after a new seeding count anew.
        n_seedings: how many times collapsed components are put elsewhere, beside others, before EM goes on. The fit
            with the fewest of them is kept, and of those the likeliest.
        generator: of new seeds; needed where `n_seedings` is above 0.

    Returns:
        The mixture and how it was found; see `GaussianFit`.

    Raises:
        ValueError: rows that are none, or covariances that are not positive definite, which a rule prevents.

    References:
        Dempster, Laird, Rubin (1977). Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39.
        Bishop (2006). Pattern recognition and machine learning, sect. 9.2.

    Example:
        >>> rows = torch.tensor([[0.0], [1.0], [9.0], [10.0]])
        >>> start = Gaussians(torch.tensor([0.5, 0.5]), torch.tensor([[0.0], [9.0]]), torch.ones(2, 1), "diag")
        >>> fit_gaussians(rows, start).gaussians.means
        tensor([[0.5000],
                [9.5000]], dtype=torch.float64)
    """
    data = rows if isinstance(rows, Prepared) else Prepared(rows, weight)
    rule = CovarianceRule() if rule is None else rule
    run = _likeliest_of_seen if data.has_gaps else likeliest
    best = run(data, start.each(lambda part: part.to(data.rows.device, torch.float64)), rule, tolerance, max_iter)
    for n_seeded in range(1, n_seedings + 1 if _curable(data, best.gaussians) else 1):
        if not len(best.collapsed) or generator is None:
            break
        again = run(data, _seeded(data, best, generator), rule, tolerance, max_iter)
        if _standing(again) > _standing(best):
            best = again._replace(n_seeded=n_seeded)
    return best


def likeliest(data: Prepared, start: Gaussians, rule: CovarianceRule, tolerance: float, max_iter: int) -> GaussianFit:
    """EM from one start or several, and the best of what it found."""

    def e_step(gaussians: Gaussians) -> tuple[Moments, Tensor]:
        moments, likelihood = expectations(data, gaussians)
        return moments, likelihood + log_prior(gaussians, rule) / data.total

    rounding = 1e-5 if data.rows.dtype == torch.float32 else 1e-9
    found = em(
        e_step,
        lambda moments: maximised(moments, rule),
        start,
        tolerance=tolerance,
        max_iter=max_iter,
        rounding=rounding,
    )
    if start.means.ndim == 2:
        return GaussianFit(found.parameters, found, collapsed_components(found.parameters, data.total, rule), 0)
    fits = []
    for i, gaussians in enumerate(unstacked(found.parameters)):
        bounds: list[float] = [step[i] for step in found.bounds]  # type: ignore[index]
        own = found._replace(parameters=gaussians, bounds=bounds)
        fits.append(GaussianFit(gaussians, own, collapsed_components(gaussians, data.total, rule), 0))
    return max(fits, key=_standing)


def _likeliest_of_seen(
    data: Prepared, start: Gaussians, rule: CovarianceRule, tolerance: float, max_iter: int
) -> GaussianFit:
    """The same for rows with missing values, from one start after the other."""
    fits = []
    for one in unstacked(start):
        found = fit_missing(data.rows, one, weight=data.weight, rule=rule, tolerance=tolerance, max_iter=max_iter)
        collapsed = collapsed_components(found.parameters, data.total, rule)
        fits.append(GaussianFit(found.parameters, found, collapsed, 0))
    return max(fits, key=_standing)


def collapsed_components(gaussians: Gaussians, total: float, rule: CovarianceRule) -> Tensor:
    """Numbers of the components that are on too few rows to have a covariance of their own, (C,).

    Fewer than F + 1 rows for "full", fewer than 2 for "diag" and "spherical", fewer than 1 for "tied" or where there is
    a prior; and points, whose variances are all at the floor, on less than three times as many rows.

    Args:
        gaussians: the mixture.
        total: how many rows there are.
        rule: how covariances were found.
    """
    counts, kind = gaussians.weights * total, gaussians.kind
    if gaussians.n_components == 1:
        return counts.new_empty(0, dtype=torch.int64)  # the rows are flat, which no other seed would change
    needed = {"full": gaussians.n_features + 1, "tied": 1}.get(kind, 2)
    few = counts < (1 if rule.prior_rows else needed) - 1e-6
    if rule.floor is not None and kind != "tied":
        variances = gaussians.covariances.diagonal(dim1=-2, dim2=-1) if kind == "full" else gaussians.covariances
        floor = rule.floor.mean() if kind == "spherical" else rule.floor
        flat = variances <= floor * (1 + 1e-6)
        few |= (flat if kind == "spherical" else flat.all(dim=-1)) & (counts < 3 * needed)
    return few.nonzero()[:, 0]


def _standing(fit: GaussianFit) -> tuple[int, float]:
    """The fewer components have collapsed the better, and then the likelier."""
    bound: float = fit.found.bounds[-1]  # type: ignore[assignment]
    return -len(fit.collapsed), bound


def _curable(data: Prepared, gaussians: Gaussians) -> bool:
    """Whether there are rows enough for all components."""
    needed = gaussians.n_features + 1 if gaussians.kind == "full" else 2
    return data.total >= needed * gaussians.n_components


def _seeded(data: Prepared, fit: GaussianFit, generator: torch.Generator) -> Gaussians:
    """Collapsed components at rows drawn anew, each with half the weight of the component that is likeliest there.

    And with its covariance: one as broad as all rows would go for the same far row again. What is missing of a row is
    what the others expect there.
    """
    weights, means, covariances, kind = fit.gaussians.each(torch.clone)
    n, which = len(data.rows), fit.collapsed
    share = torch.ones(n, dtype=torch.float64) if data.weight is None else data.weight.double().cpu()
    share = share * (~data.rows.isnan()).any(dim=1).cpu() if data.has_gaps else share
    drawn = torch.rand(len(which), generator=generator, dtype=torch.float64, device=generator.device).cpu()
    total = share.cumsum(0)
    chosen = torch.searchsorted(total, drawn * total[-1], right=True).clamp_max(n - 1).to(data.rows.device)
    rows = data.rows[chosen].double()
    others = fit.gaussians._replace(weights=weights.index_fill(0, which, 0.0))
    if rows.isnan().any():
        joint = missing_component_log_densities(rows, others) + others.weights.log()
        rows = impute(rows, others)
    else:
        joint = component_log_densities(rows, others) + others.weights.log()
    parents = joint.argmax(dim=1)
    means[which] = rows
    if kind != "tied":
        covariances[which] = covariances[parents]
    heirs = 1 + torch.bincount(parents, minlength=len(weights))
    weights[which] = weights[parents]
    heirs[which] = heirs[parents]
    weights = weights / heirs
    return Gaussians(weights / weights.sum(), means, covariances, kind)

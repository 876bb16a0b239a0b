"""Where EM for a mixture of Gaussians begins: a few steps of k-means on some of the rows, or simpler ways."""

from __future__ import annotations

import torch

from .covariance_rule import CovarianceRule
from .gaussian import Gaussians, stacked
from .gaussian_fit import likeliest
from .kmeans import k_means_plus_plus, lloyd
from .moments import Moments, maximised, moments_of
from .prepared import Prepared

__all__ = ["INITS", "start_gaussians"]

INITS = ("kmeans", "k-means++", "random", "random_from_data")
"""Ways to start, by scikit-learn's names."""

SUBSAMPLE_ROWS = 2**12
"""Rows that a start is found on, at least; of many components more."""
ROWS_A_COMPONENT = 100
LLOYD_STEPS = 10
SHORT_STEPS = 10


def start_gaussians(
    data: Prepared,
    n_components: int,
    kind: str,
    generator: torch.Generator,
    *,
    init: str = "kmeans",
    n_starts: int = 1,
    n_candidates: int = 1,
    rule: CovarianceRule | None = None,
) -> Gaussians:
    """Mixtures to begin EM with, on one leading axis, from some of the rows.

    Distances are counted in units of each feature's deviation, so that a start is the same in any units. Covariances
    are those of the clusters, each as if it had seen some rows more of what is common to all clusters.

    Args:
        data: the rows.
        n_components: K, at most the number of rows.
        kind: of the covariances.
        generator: of the draws, on the CPU.
        init: "kmeans": a few steps of Lloyd after k-means++. "k-means++": rows that are far apart, and those nearest to
            each. "random": any shares of rows, so that all components begin at nearly the same place.
            "random_from_data": any rows, with the covariance of all.
        n_starts: R.
        n_candidates: starts of which each is the likeliest, after some steps of EM on those rows.
        rule: what keeps covariances from collapsing.

    Returns:
        R mixtures, float64.

    References:
        Biernacki, Celeux, Govaert (2003). Choosing starting values for the EM algorithm for getting the highest
        likelihood in multivariate Gaussian mixture models. Computational Statistics and Data Analysis 41.
        Arthur, Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.

    Example:
        >>> data = Prepared(torch.tensor([[0.0], [1.0], [9.0], [10.0]]))
        >>> start_gaussians(data, 2, "diag", torch.Generator().manual_seed(0)).means.sort(dim=1).values
        tensor([[[0.5000],
                 [9.5000]]], dtype=torch.float64)
    """
    if init not in INITS:
        raise ValueError(f"Expected init as one of {', '.join(INITS)}, got {init!r}.")
    some = _some(data, n_components, generator)
    rule = CovarianceRule() if rule is None else rule
    starts = []
    for _ in range(n_starts):
        candidates = [_candidate(some, data, n_components, kind, generator, init, rule) for _ in range(n_candidates)]
        start = stacked(candidates)
        # Many steps on few rows cost less than one of all rows, and tell a poor start from a good one.
        starts.append(likeliest(some, start, rule, 0.0, SHORT_STEPS).gaussians if n_candidates > 1 else candidates[0])
    return stacked(starts)


def _candidate(
    some: Prepared,
    data: Prepared,
    n_components: int,
    kind: str,
    generator: torch.Generator,
    init: str,
    rule: CovarianceRule,
) -> Gaussians:
    """One start from some of the rows."""
    x, weight, deviations = some.rows.double() - data.center, some.shares(slice(None)), data.variances.sqrt()
    if init == "random":
        shares = torch.rand(len(x), n_components, generator=generator, dtype=torch.float64).to(x)
        shares = shares / shares.sum(dim=1, keepdim=True)
    elif init == "random_from_data":
        shares = x.new_full((len(x), n_components), 1 / n_components)
    else:
        z = x / torch.where(deviations > 0, deviations, 1.0)
        centers = k_means_plus_plus(z, n_components, generator, weight)
        steps = LLOYD_STEPS if init == "kmeans" else 0
        labels = lloyd(z, centers, weight=weight, max_iter=steps).labels
        shares = torch.nn.functional.one_hot(labels, n_components).double()
    found = _common(moments_of(x, shares * weight[:, None], kind), data, rule)
    if init == "random_from_data":
        drawn = torch.multinomial(weight.cpu(), n_components, generator=generator).to(x.device)
        found = found._replace(means=x[drawn])
    return found._replace(means=found.means + data.center)


def _some(data: Prepared, n_components: int, generator: torch.Generator) -> Prepared:
    """The rows that a start is found on: all that have weight, or some of many."""
    n, most = len(data.rows), max(SUBSAMPLE_ROWS, ROWS_A_COMPONENT * n_components)
    if n <= most and data.weight is None:
        return data
    chosen = torch.randint(n, (most,), generator=generator).unique() if n > most else torch.arange(n)
    chosen = chosen.to(data.rows.device)
    if data.weight is None:
        return Prepared(data.rows[chosen])
    counted = chosen[data.weight[chosen] > 0]
    if len(counted) < most // 4:  # of few rows with weight, all
        counted = data.weight.nonzero()[:, 0]
    return Prepared(data.rows[counted], data.weight[counted])


def _common(moments: Moments, data: Prepared, rule: CovarianceRule) -> Gaussians:
    """The M-step of a start, where clusters of a few rows have a covariance of theirs as well."""
    within = moments.scatters.diagonal(dim1=-2, dim2=-1) if moments.kind in ("full", "tied") else moments.scatters
    within = within if moments.kind == "tied" else within.sum(dim=0)
    within = within / moments.counts.sum()
    # Rows that are equal in each cluster have none in common: a share of what all rows have.
    within = torch.maximum(within, 1e-6 * torch.where(data.variances > 0, data.variances, 1.0))
    n_rows = max(rule.prior_rows, data.rows.shape[1] + 1.0)
    return maximised(moments, rule._replace(prior_rows=n_rows, prior_variances=within))

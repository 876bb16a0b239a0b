"""A mixture of Gaussians: a density of a few bumps, by EM."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.shards import Shards
from ..mixtures.covariance_rule import CovarianceRule
from ..mixtures.em import EMResult
from ..mixtures.gaussian import Gaussians, component_log_densities, precisions_cholesky, rows_from_noise
from ..mixtures.gaussian_fit import fit_gaussians
from ..mixtures.gaussian_start import start_gaussians
from ..mixtures.missing import check_seen, missing_component_log_densities
from ..mixtures.missing_start import likeliest_start
from ..mixtures.prepared import Prepared, filled, usual_variances
from .gaussian_blocks import BaseGaussianBlocks
from .gaussian_initial import initial_covariances, initial_means, initial_weights

__all__ = ["CollapsedComponentWarning", "GaussianMixture"]

N_CANDIDATES = 8
"""Starts on some of the rows, of which one is gone on with."""


class CollapsedComponentWarning(UserWarning):
    """Components of a mixture are on too few rows to have a covariance of their own, and no other seed helped."""


@dataclass(eq=False, repr=False)
class GaussianMixture(BaseGaussianBlocks):
    r"""Mixture of Gaussians by EM: a density of a few bumps, and how far each of them answers for a row.

    .. math:: p(x) = \sum_k w_k N(x; \mu_k, \Sigma_k)

    Use it to find groups with shapes of their own, as a density of few dimensions, to fill in missing values, and to
    predict some columns from others with an uncertainty. NaN stands for a value that is not known, and is left out
    exactly. It takes scikit-learn's parameters, and adds what keeps components from collapsing.

    Args:
        n_components: bumps, K.
        covariance_type: "full"; "tied", one that all share; "diag", independent features; "spherical", one variance.
        covariance_floor: smallest variance in any direction, as a part of each feature's variance (of one that does
            not vary, of their mean; without what a few far rows add to it): covariances are the most likely above it,
            and the likelihood never falls.
        covariance_prior: so many rows that each component is taken to have seen before, with the variances of the data
            divided by K^(2/F): a Wishart prior, for few rows of many features. 0 is none.
        reg_covar: added to the variances at each step, in squared units of the data, as scikit-learn does.
        tol: gain of the bound, in nats a row, at which EM has converged.
        max_iter: most steps of EM.
        n_init: starts, made together, of which the best is kept.
        init_params: "kmeans", "k-means++", "random" or "random_from_data": see `start_gaussians`.
        n_candidates: short runs on some of the rows for each start, of which the likeliest is gone on with.
        weights_init: to start from, (K,).
        means_init: to start from, (K, F).
        precisions_init: inverses of the covariances to start from, of their shape.
        n_seedings: how many times collapsed components are put elsewhere.
        batch_size: rows of a step of stepwise EM, for data so many that a few passes over them should do; None takes
            all rows in each step. Data larger than memory are read a block at a time either way.
        warm_start: the next fit starts from what the last has found.
        device: "auto", "cpu" or "cuda".
        random_state: a seed gives the same model again.

    Attributes:
        weights_: probabilities of the components, (K,).
        means_: (K, F), in units of the data (pixels in [0, 1]).
        covariances_: (K, F, F), (F, F) for "tied", (K, F) for "diag", (K,) for "spherical".
        precisions_, precisions_cholesky_: their inverses, and roots W of those, W W^T, as scikit-learn has them.
        collapsed_: numbers of the components that are on too few rows, where no other seed helped.
        n_seen_: rows learnt from, by weight.
        n_seeded_: times that components were seeded again.
        log_likelihoods_: the bound before each step and after the last: mean log-likelihood of a row, plus the log
            prior divided by the number of rows, in nats; without reg_covar it never falls.
        lower_bound_, n_iter_, converged_: see `BaseMixture`.

    References:
        Dempster, Laird, Rubin (1977). Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39.
        Fraley, Raftery (2007). Bayesian regularization for normal mixture estimation and model-based clustering.
        Journal of Classification 24.
        Ghahramani, Jordan (1994). Supervised learning from incomplete data via an EM approach. NeurIPS 6.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = GaussianMixture(3, random_state=0).fit(X)
        >>> rows, labels = model.sample(5, random_state=0)
        >>> rows.shape, model.predict_proba(X).shape, round(model.score(X), 2)
        ((5, 4), (150, 3), -1.2)
    """

    n_components: int = 1
    _: KW_ONLY
    covariance_type: Literal["full", "tied", "diag", "spherical"] = "full"
    covariance_floor: float = 1e-6
    covariance_prior: float = 0.0
    reg_covar: float = 0.0
    tol: float = 1e-4
    max_iter: int = 200
    n_init: int = 1
    init_params: Literal["kmeans", "k-means++", "random", "random_from_data"] = "kmeans"
    n_candidates: int = N_CANDIDATES
    weights_init: np.ndarray | list[Any] | tuple[Any, ...] | None = None
    means_init: np.ndarray | list[Any] | tuple[Any, ...] | None = None
    precisions_init: np.ndarray | list[Any] | tuple[Any, ...] | None = None
    n_seedings: int = 3
    batch_size: int | None = None
    warm_start: bool = False
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None

    missing_values: ClassVar[bool] = True

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("covariance_prior", "reg_covar", "n_seedings"):
            if getattr(self, name) < 0:
                raise ValueError(f"Expected {name} >= 0, got {getattr(self, name)}.")
        if not 0 <= self.covariance_floor < 1:
            raise ValueError(f"Expected covariance_floor in [0, 1), got {self.covariance_floor}.")
        if self.n_candidates < 1:
            raise ValueError(f"Expected n_candidates >= 1, got {self.n_candidates}.")

    # --- fit --------------------------------------------------------------------------------

    def _begin_fit(self, X: Any) -> np.ndarray | Shards:
        before = getattr(self, "parameters_", {}).get("covariance_type")
        rows = super()._begin_fit(X)
        if hasattr(self, "means_"):  # what was learned before is where a warm start begins, if it is of this kind
            same = self.means_.shape == (self._n_clusters, self.n_features_in_) and before == self.covariance_type
            if not (self.warm_start and same):
                del self.means_
        return rows

    def _learn(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> None:
        found, collapsed, n_seeded, _ = self._found(rows, weight, generator)
        self.n_seen_ = float(len(rows) if weight is None else weight.sum())
        self._take_gaussians(found, collapsed, n_seeded)

    def _found(
        self, rows: Tensor, weight: Tensor | None, generator: torch.Generator
    ) -> tuple[EMResult, list[int], int, CovarianceRule]:
        data = whole = Prepared(rows, weight)
        if data.has_gaps:
            check_seen(rows, torch.ones(len(rows), device=rows.device) if weight is None else weight)
            whole, variances = filled(rows, weight)
        else:
            variances = data.variances
        rule = self._rule(variances, rows, weight)
        if data.has_gaps and self.means_init is None and not hasattr(self, "means_"):
            start = likeliest_start(rows, weight, lambda some: self._start(some, rule, generator), rule, generator)
        else:
            start = self._start(whole, rule, generator)
        fit = fit_gaussians(
            data,
            start,
            rule=rule,
            tolerance=float(self.tol),
            max_iter=int(self.max_iter),
            n_seedings=int(self.n_seedings),
            generator=generator,
        )
        return fit.found, fit.collapsed.tolist(), fit.n_seeded, rule

    def _rule(self, variances: Tensor, rows: Tensor, weight: Tensor | None) -> CovarianceRule:
        """What keeps covariances from collapsing, of features with these variances; and some of the rows."""
        varying = variances[variances > 0]
        typical = varying.mean() if len(varying) else variances.new_ones(())
        variances = torch.where(variances > 0, variances, typical)
        return CovarianceRule(
            floor=self.covariance_floor * usual_variances(rows, variances, weight) if self.covariance_floor else None,
            prior_rows=float(self.covariance_prior),
            prior_variances=variances / self._n_clusters ** (2 / len(variances)),
            added=float(self.reg_covar),
        )

    def _start(self, data: Prepared, rule: CovarianceRule, generator: torch.Generator) -> Gaussians:
        """Where EM begins, on a leading axis: as the user says, and what is not said, from the rows."""
        kind, shape = self.covariance_type, (self._n_clusters, data.rows.shape[1])
        if hasattr(self, "means_"):
            return self._gaussians().each(lambda part: part[None])
        weights, means = initial_weights(self.weights_init, shape), initial_means(self.means_init, shape)
        covariances = initial_covariances(self.precisions_init, shape, kind)
        told = (weights, means, covariances)
        n_starts = int(self.n_init) if any(part is None for part in told) else 1
        start = start_gaussians(
            data,
            self._n_clusters,
            kind,
            generator,
            init=self.init_params,
            n_starts=n_starts,
            n_candidates=1 if means is not None else int(self.n_candidates),
            rule=rule,
        )
        return Gaussians(
            *(
                own if part is None else torch.from_numpy(part).to(own).expand_as(own)
                for own, part in zip((start.weights, start.means, start.covariances), told, strict=True)
            ),
            kind=kind,
        )

    def _take_gaussians(self, found: EMResult, collapsed: list[int], n_seeded: int) -> None:
        self._take_mixture(found.parameters)
        self.collapsed_, self.n_seeded_ = collapsed, n_seeded
        if collapsed:
            warnings.warn(
                f"Expected components on rows enough for covariances of their own, got {len(collapsed)} of "
                f"{self.n_components} on too few (collapsed_ = {collapsed}), wherever they were seeded; use fewer "
                "components, a simpler covariance_type, or covariance_prior=1.",
                CollapsedComponentWarning,
                stacklevel=4,
            )
        self._take_fit(found)

    def _take_mixture(self, gaussians: Gaussians) -> None:
        self.weights_, self.means_, self.covariances_ = (part.cpu().numpy() for part in gaussians[:3])

    # --- use --------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        return str(self.parameters_["covariance_type"])

    def _gaussians(self) -> Gaussians:
        """The mixture, on the device."""
        return Gaussians(self._tensor("weights_"), self._tensor("means_"), self._tensor("covariances_"), self._kind)

    @property
    def precisions_cholesky_(self) -> np.ndarray:
        """Roots W of the precisions, W W^T, of the shape of the covariances."""
        check_is_fitted(self)
        return precisions_cholesky(self._gaussians()).cpu().numpy()

    @property
    def precisions_(self) -> np.ndarray:
        """Inverses of the covariances."""
        roots = self.precisions_cholesky_
        return roots @ roots.swapaxes(-1, -2) if self._kind in ("full", "tied") else np.square(roots)

    def _scorer(self) -> Callable[[Tensor], Tensor]:
        gaussians = self._gaussians()
        roots, log_weights = precisions_cholesky(gaussians), gaussians.weights.log()

        def score(rows: Tensor) -> Tensor:
            if rows.isnan().any():
                return missing_component_log_densities(rows, gaussians) + log_weights
            return component_log_densities(rows, gaussians, roots) + log_weights

        return score

    def _draw(self, labels: np.ndarray, generator: np.random.RandomState) -> np.ndarray:
        noise = generator.standard_normal((len(labels), self.n_features_in_))
        gaussians = self._gaussians().each(Tensor.cpu)
        return rows_from_noise(gaussians, torch.from_numpy(labels), torch.from_numpy(noise)).numpy()

    def _n_parameters(self) -> int:
        return self._gaussians().n_parameters

    # --- files ------------------------------------------------------------------------------

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        n_components, n_features = int(self.parameters_["n_components"]), self.n_features_in_
        of_covariances = {
            "full": (n_components, n_features, n_features),
            "tied": (n_features, n_features),
            "diag": (n_components, n_features),
        }
        covariances = of_covariances.get(self._kind, (n_components,))
        return super()._shapes() | {"means_": (n_components, n_features), "covariances_": covariances}

    def _plain(self) -> dict[str, Any]:
        return super()._plain() | {"collapsed_": list[int], "n_seeded_": int}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        precisions_cholesky(self._gaussians())  # ValueError where covariances are none

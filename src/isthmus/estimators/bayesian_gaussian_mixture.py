"""A mixture of Gaussians by variational Bayes, which finds out how many components the data need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..mixtures import (
    GaussianPrior,
    Gaussians,
    VariationalGaussians,
    fit_variational,
    k_means_plus_plus,
    lloyd,
    moments_of,
    posterior_of,
    precisions_cholesky,
    predictive_log_joint,
    rows_from_noise,
    student_parameters,
)
from .mixture import BaseMixture

__all__ = ["BayesianGaussianMixture"]

LLOYD_STEPS = 10
"""Of k-means, to start from."""


@dataclass(eq=False, repr=False)
class BayesianGaussianMixture(BaseMixture):
    r"""Mixture of Gaussians by variational Bayes: of the components that it may have, it uses those that it needs.

    A posterior for weights, means and precisions in place of one estimate:

    .. math:: \log p(X) \ge E_q[\log p(X, Z, \pi, \mu, \Lambda)] + H[q]

    Use it where the number of components is not known, or rows are few. The bound has all constants and compares
    models of different sizes. Components that the bound is better without are emptied, so that their number follows
    the concentration of the prior. Densities are what the posterior predicts, a mixture of Student's t.

    Args:
        n_components: most components.
        covariance_type: "full", "tied", "diag" or "spherical".
        weight_concentration_prior_type: "dirichlet_process", or "dirichlet_distribution", in which no component comes
            before another.
        weight_concentration_prior: of the weights; small ones ask for few components. 1 / n_components by default.
        mean_precision_prior: rows that the prior mean counts as; 1 by default.
        mean_prior: of all components, one number a feature; the data's mean by default.
        degrees_of_freedom_prior: rows that the prior covariance counts as, above features - 1; features by default.
        covariance_prior: a scatter of as many rows; the data's covariance by default. A list (of lists) of numbers, or
            one for "spherical".
        prune: leave out components that the bound is better without.
        tol: gain of the bound, in nats a row, at which it has converged.
        max_iter: most steps from a start.
        n_init: starts, of which the one with the highest bound is kept.
        device: "auto", "cpu" or "cuda".
        random_state: a seed gives the same model again.

    Attributes:
        weights_: mean probabilities of the components, (n_components,).
        means_: mean of their means, (n_components, F), in units of the data (pixels in [0, 1]).
        covariances_: one over their mean precisions: (n_components, F, F); (F, F) for "tied", (n_components, F) for
            "diag", (n_components,) for "spherical".
        weight_concentration_: of the posterior, (n_components,); two rows of it for a process.
        mean_precision_, degrees_of_freedom_: of the posterior, (n_components,).
        log_likelihoods_: the bound on log p(X) divided by the number of rows, in nats, which never falls: after each
            step, and at last after each component that was left out.
        lower_bound_, n_iter_, converged_: see `BaseMixture`.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, section 10.2.
        Blei, Jordan (2006). Variational inference for Dirichlet process mixtures. Bayesian Analysis 1.
        Hughes, Sudderth (2013). Memoized online variational inference for Dirichlet process mixture models. NeurIPS.

    Example:
        >>> from sklearn.datasets import make_blobs
        >>> X, _ = make_blobs(300, centers=3, random_state=0, cluster_std=0.5)
        >>> model = BayesianGaussianMixture(8, random_state=0).fit(X)
        >>> int((model.weights_ > 0.05).sum())
        3
    """

    n_components: int = 10
    _: KW_ONLY
    covariance_type: Literal["full", "tied", "diag", "spherical"] = "full"
    weight_concentration_prior_type: Literal["dirichlet_process", "dirichlet_distribution"] = "dirichlet_process"
    weight_concentration_prior: float | None = None
    mean_precision_prior: float | None = None
    mean_prior: np.ndarray | list | tuple | None = None
    degrees_of_freedom_prior: float | None = None
    covariance_prior: np.ndarray | list | tuple | float | None = None
    prune: bool = True
    tol: float = 1e-4
    max_iter: int = 500
    n_init: int = 1
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("weight_concentration_prior", "mean_precision_prior", "degrees_of_freedom_prior"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Expected {name} > 0, got {value}.")

    # --- fit --------------------------------------------------------------------------------

    def _learn(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> None:
        share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight
        prior, settings = self._prior(rows, share), {"tolerance": float(self.tol), "max_iter": int(self.max_iter)}
        runs = []
        for _ in range(int(self.n_init)):
            centers = k_means_plus_plus(rows, self._n_clusters, generator, share)
            clusters = lloyd(rows, centers, weight=share, max_iter=LLOYD_STEPS)
            shares = torch.nn.functional.one_hot(clusters.labels, self._n_clusters).double() * share[:, None]
            start = posterior_of(moments_of(rows, shares, self.covariance_type), prior)
            runs.append(fit_variational(rows, start, prior, weight=share, prune=self.prune, **settings))
        found = max(runs, key=lambda run: run.bounds[-1])
        posterior: VariationalGaussians = found.parameters
        self.weight_concentration_ = posterior.concentration.cpu().numpy()
        self.mean_precision_ = posterior.mean_precision.cpu().numpy()
        self.degrees_of_freedom_ = posterior.degrees_of_freedom.cpu().numpy()
        self.means_, self.covariances_ = posterior.means.cpu().numpy(), posterior.covariances.cpu().numpy()
        self.weights_ = posterior.gaussians.weights.cpu().numpy()
        self._take_fit(found)

    def _prior(self, rows: Tensor, share: Tensor) -> GaussianPrior:
        n_features, kind = rows.shape[1], self.covariance_type
        moments = moments_of(rows, share[:, None], "full" if kind in ("full", "tied") else "diag")
        mean = moments.means[0] if self.mean_prior is None else self._given("mean_prior", (n_features,))
        freedom = n_features if self.degrees_of_freedom_prior is None else self.degrees_of_freedom_prior
        if not freedom > n_features - 1:
            raise ValueError(f"Expected degrees_of_freedom_prior > {n_features - 1}, got {freedom}.")
        if self.covariance_prior is None:
            variation = moments.scatters[0] / (share.sum() - 1).clamp_min(1e-12)
            covariance = (_positive_matrix if variation.ndim == 2 else _positive)(variation)
            covariance = covariance.mean() if kind == "spherical" else covariance
        else:
            shape = {"diag": (n_features,), "spherical": ()}.get(kind, (n_features, n_features))
            covariance = self._given("covariance_prior", shape)
            least = covariance.min() if covariance.ndim < 2 else torch.linalg.eigvalsh(covariance).min()
            if not least > 0:
                raise ValueError(f"Expected a positive (definite) covariance_prior, got one with {float(least):g}.")
        concentration = self.weight_concentration_prior
        return GaussianPrior(
            1 / self._n_clusters if concentration is None else float(concentration),
            1.0 if self.mean_precision_prior is None else float(self.mean_precision_prior),
            mean.to(rows.device),
            float(freedom),
            covariance.to(rows.device),
            kind,
            self.weight_concentration_prior_type == "dirichlet_process",
        )

    def _given(self, name: str, shape: tuple[int, ...]) -> Tensor:
        value = np.asarray(getattr(self, name), dtype=np.float64)
        if value.shape != shape or not np.isfinite(value).all():
            raise ValueError(f"Expected {name} as finite numbers of shape {shape}, got shape {value.shape}.")
        return torch.from_numpy(value.copy())

    # --- use --------------------------------------------------------------------------------

    def _posterior(self) -> VariationalGaussians:
        return VariationalGaussians(
            self._tensor("weight_concentration_"),
            self._tensor("mean_precision_"),
            self._tensor("means_"),
            self._tensor("degrees_of_freedom_"),
            self._tensor("covariances_"),
            self.covariance_type,
        )

    def _scorer(self) -> Callable[[Tensor], Tensor]:
        posterior = self._posterior()
        roots = precisions_cholesky(posterior.gaussians)
        return lambda rows: predictive_log_joint(rows, posterior, roots)

    def _draw(self, labels: np.ndarray, generator: np.random.RandomState) -> np.ndarray:
        posterior = self._posterior()
        freedom, scale = (each.cpu().numpy()[labels][:, None] for each in student_parameters(posterior))
        shape = (len(labels), self.n_features_in_)
        divisor = generator.chisquare(freedom, shape if self.covariance_type == "diag" else (len(labels), 1))
        noise = generator.standard_normal(shape) * np.sqrt(scale * freedom / divisor)
        mixture = posterior.gaussians
        drawn, those = (torch.from_numpy(part).to(mixture.means.device) for part in (noise, labels))
        return rows_from_noise(mixture, those, drawn).cpu().numpy()

    def _n_parameters(self) -> int:
        means, covariances = torch.from_numpy(self.means_), torch.from_numpy(self.covariances_)
        return Gaussians(torch.from_numpy(self.weights_), means, covariances, self.covariance_type).n_parameters

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        n_components, n_features = self._n_clusters, self.n_features_in_
        process = self.weight_concentration_prior_type == "dirichlet_process"
        covariances = {
            "full": (n_components, n_features, n_features),
            "tied": (n_features, n_features),
            "diag": (n_components, n_features),
            "spherical": (n_components,),
        }
        return super()._shapes() | {
            "weight_concentration_": (2, n_components) if process else (n_components,),
            "mean_precision_": (n_components,),
            "means_": (n_components, n_features),
            "degrees_of_freedom_": (n_components,),
            "covariances_": covariances[self.covariance_type],
        }


def _positive(variances: Tensor) -> Tensor:
    """Variances of which none is 0: columns that are constant get a millionth of the mean one."""
    mean = variances.mean()
    return variances.clamp_min(float(mean) * 1e-6 if mean > 0 else 1.0)


def _positive_matrix(covariance: Tensor) -> Tensor:
    """A covariance that is positive definite: as it is where it is so by itself, else lifted to a millionth."""
    scale = _positive(covariance.diagonal()).sqrt()
    correlation = covariance / scale[:, None] / scale
    values, vectors = torch.linalg.eigh(correlation)
    if values.min() >= 1e-6:
        return covariance
    lifted = (vectors * values.clamp_min(1e-6)) @ vectors.T
    return lifted * scale[:, None] * scale

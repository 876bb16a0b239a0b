"""Probabilistic PCA: principal components with a prior over the code, in closed form or by EM."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from ..linear import Covariance, probabilistic_pca, probabilistic_pca_by_em
from .linear_gaussian import BaseLatentGaussian

__all__ = ["ProbabilisticPCA"]


@dataclass(eq=False, repr=False)
class ProbabilisticPCA(BaseLatentGaussian):
    r"""Probabilistic PCA: a linear map of a Gaussian code, and noise of one variance for all features.

    :math:`z \sim N(0, I), \; x \mid z \sim N(W^T z + \mu, \sigma^2 I)`, at the maximum of the likelihood. The code is
    the exact :math:`E[z \mid x]`, which shrinks the projection of `PCA` towards 0 by how much of it is noise. Use it
    as the linear model to compare a VAE with, whose evidence is known; for features of unlike noise, use
    `FactorAnalysis`.

    Args:
        n_components: dimension of the code, at most min(rows, features).
        method: "closed_form" takes the principal axes; "em" finds the same from random loadings, step by step, and
            shows how expectation maximisation gets there.
        tolerance: gain of a step of EM, in nats a row, under which it has converged.
        max_iter: most steps of EM.

    Attributes:
        mean_: of the features, (F,), in data units (pixels in [0, 1]).
        components_: W, what each number of a code adds to a row, (n_components, F): orthogonal rows, largest first.
        noise_variance_: sigma^2, the mean of the variances along the axes left out; 0 where none is.
        log_likelihoods_: mean log-likelihood of a row after each step of EM, in nats: it never falls, but by rounding
            where next to no noise is left. In closed form it is one number, and none where the density is infinite.
        n_iter_: steps of EM; 1 in closed form.

    References:
        Tipping, Bishop (1999). Probabilistic principal component analysis. JRSS B 61, eqs. 7, 8, 29 and 30.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = ProbabilisticPCA(n_components=10).fit(X)
        >>> mean, deviation = model.posterior(X)
        >>> mean.shape, round(float(model.noise_variance_), 3), round(model.score(X), 1)
        ((1797, 10), 0.023, 17.5)
    """

    n_components: int = 2
    _: KW_ONLY
    method: Literal["closed_form", "em"] = "closed_form"
    tolerance: float = 1e-6
    max_iter: int = 1000

    def _learn(self, covariance: Covariance, total: float) -> None:
        n_components = int(self.n_components)
        if self.method == "em":
            found = probabilistic_pca_by_em(
                covariance, n_components, tolerance=self.tolerance, max_iter=int(self.max_iter)
            )
        else:
            found = probabilistic_pca(covariance, n_components)
        self.noise_variance_ = float(found.noise[0])
        self._take_fit(found)

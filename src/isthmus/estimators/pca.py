"""Principal components: the linear autoencoder in closed form, and the baseline that every other one must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..linear import Covariance, LinearGaussian
from .linear_gaussian import BaseLinear

__all__ = ["PCA"]


@dataclass(eq=False, repr=False)
class PCA(BaseLinear):
    r"""Principal component analysis with the density of probabilistic PCA.

    The code is :math:`z = W (x - \mu)` for the orthonormal rows W of least squared error; the density is
    :math:`N(\mu, W^T(\Lambda - \sigma^2 I)W + \sigma^2 I)`, exact. Codes are projections, in units of the data and with
    the data's variance; for those that a prior N(0, I) goes with, use `ProbabilisticPCA`, which has the same density.

    Args:
        n_components: dimension of the code, at most min(rows, features).

    Attributes:
        mean_: of the features, (F,), in data units (pixels in [0, 1]).
        components_: W, orthonormal rows, (n_components, F).
        explained_variance_: eigenvalues of the covariance (of n - 1 degrees of freedom), (n_components,).
        noise_variance_: mean of the F - n_components eigenvalues left out, zeros among them; 0 where none is.

    References:
        Tipping, Bishop (1999). Probabilistic principal component analysis. JRSS B 61, eq. 8.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> pca = PCA(n_components=2).fit(X)
        >>> pca.transform(X).shape, round(float(pca.squared_error(X).mean()), 2)
        ((1797, 2), 3.36)
    """

    n_components: int = 2

    def _learn(self, covariance: Covariance, total: float) -> None:
        if not total > 1:
            raise ValueError(f"Expected weights that count more than one row, got a sum of {total:g}.")
        variances, axes, left_out = covariance.principal(int(self.n_components))
        unbiased = total / (total - 1)
        self.components_ = axes.contiguous().numpy()
        self.explained_variance_ = variances.numpy() * unbiased
        # Over all F - k directions left out, zeros included: scikit-learn counts min(n, F) - k, and so has another
        # density where there are fewer rows than features.
        self.noise_variance_ = left_out * unbiased

    def _density(self) -> LinearGaussian:
        return LinearGaussian(
            torch.from_numpy(self.components_),
            torch.from_numpy(self.explained_variance_),
            float(self.noise_variance_),
        )

    def _codes_of(self, density: LinearGaussian, centred: Tensor) -> Tensor:
        return density.project(centred)[0]

    def _draw_codes(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        noise = generator.standard_normal((n_samples, len(self.components_)))
        return noise * np.sqrt(np.maximum(self.explained_variance_ - self.noise_variance_, 0))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return super()._shapes() | {"explained_variance_": (self._n_features_out,)}

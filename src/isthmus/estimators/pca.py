"""Principal components: the linear autoencoder in closed form, and the baseline that every other one must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn import decomposition
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..training import Scaling
from .base import PIXEL_LEVELS, LatentEstimator

__all__ = ["PCA"]


@dataclass(eq=False, repr=False)
class PCA(LatentEstimator):
    r"""Principal component analysis with the density of probabilistic PCA.

    The code is :math:`z = W^T (x - \mu)` for the orthonormal W of least squared error; the density is
    :math:`N(\mu, W(\Lambda - \sigma^2 I)W^T + \sigma^2 I)`, exact. scikit-learn does the decomposition.

    Args:
        n_components: dimension of the code, at most min(rows, features).

    Attributes:
        mean_: of the features, (F,), in data units (pixels in [0, 1]).
        components_: W, orthonormal rows, (n_components, F).
        explained_variance_: eigenvalues of the covariance, (n_components,).
        noise_variance_: mean of the eigenvalues left out.

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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the components of rows X; y is ignored."""
        rows = self._rows(X, reset=True)
        n, n_features = rows.shape
        if n < 2:
            raise ValueError(f"Expected at least 2 rows to find components of, got n_samples = {n}.")
        if not 1 <= self.n_components <= min(n, n_features):
            raise ValueError(
                f"Expected 1 <= n_components <= min(n_samples={n}, n_features={n_features}), got {self.n_components}."
            )
        self.scaling_, self.log_scale_ = Scaling(scale=PIXEL_LEVELS if self.pixels_ else 1.0), 0.0
        fitted = decomposition.PCA(self.n_components, random_state=0).fit(self.data_units(rows))
        # Contiguous, as a file gives it back: products of another layout round differently.
        self.mean_, self.components_ = fitted.mean_, np.ascontiguousarray(fitted.components_)
        self.explained_variance_, self.noise_variance_ = fitted.explained_variance_, float(fitted.noise_variance_)
        return self

    def _codes(self, rows: np.ndarray) -> np.ndarray:
        return (self.data_units(rows) - self.mean_) @ self.components_.T

    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows, (n, n_components)."""
        check_is_fitted(self)
        rows = self._rows(X)
        return self._codes(rows).astype(np.float32 if rows.dtype == np.float32 else np.float64)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Rows decoded from codes (n, n_components), in the units and the shape of the data."""
        rows = self._checked_codes(Z) @ self.components_ + self.mean_
        return self._shaped(rows * self.scaling_.scale)

    def score_samples(self, X: Any) -> np.ndarray:
        """Exact log-density of each row under probabilistic PCA, in nats, (n,).

        Raises:
            ValueError: no variance is left outside the components, so that the density is infinite.
        """
        check_is_fitted(self)
        if not self.noise_variance_ > 0:
            raise ValueError("Expected variance outside the components, got none; use fewer n_components.")
        centred = self.data_units(self._rows(X)) - self.mean_
        codes = centred @ self.components_.T
        n_features, noise = self.n_features_in_, self.noise_variance_
        outside = np.square(centred).sum(axis=1) - np.square(codes).sum(axis=1)
        log_determinant = np.log(self.explained_variance_).sum() + (n_features - self.n_components) * np.log(noise)
        mahalanobis = (np.square(codes) / self.explained_variance_).sum(axis=1) + outside / noise
        return -0.5 * (n_features * np.log(2 * np.pi) + log_determinant + mahalanobis)

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> np.ndarray:
        """Decode codes drawn from the model: means of p(x|z), (n_samples, *shape of a row)."""
        check_is_fitted(self)
        noise = np.random.default_rng(random_state).standard_normal((n_samples, self.n_components))
        return self.inverse_transform(noise * np.sqrt(np.maximum(self.explained_variance_ - self.noise_variance_, 0)))

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        names = ("mean_", "components_", "explained_variance_")
        tensors = {name: torch.from_numpy(np.asarray(getattr(self, name))) for name in names}
        return tensors, {"noise_variance_": self.noise_variance_}

    def _restore(self, tensors: dict[str, Tensor], fitted: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            setattr(self, name, tensor.numpy())
        self.noise_variance_ = fitted["noise_variance_"]

"""Principal components: the linear autoencoder in closed form, and the baseline that every other one must beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn import decomposition
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.memory import check_fits
from ..data.shards import Shards
from ..evaluation.chunks import map_rows
from ..training import Scaling
from .base import PIXEL_LEVELS, LatentEstimator
from .blocks import in_blocks
from .saved import value_of

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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the components of rows X; y is ignored.

        Args:
            X: (n, features), or images (n, h, w) or (n, c, h, w): NumPy, pandas, polars or torch. Shards,
                and memory maps larger than a buffer of them, are read three times, a block at a time.
            y: ignored.

        Returns:
            The estimator itself.

        Raises:
            ValueError, TypeError: bad data, fewer than two rows, or more components than rows or features.
        """
        with self._all_or_nothing():
            self._fit(X)
        return self

    def _fit(self, X: Any) -> None:
        rows = self._begin_fit(X)
        n, n_features = len(rows), self.n_features_in_
        if n < 2:
            raise ValueError(f"Expected at least 2 rows to find components of, got n_samples = {n}.")
        if self.n_components > min(n, n_features):
            raise ValueError(
                f"Expected n_components <= min(n_samples={n}, n_features={n_features}), got {self.n_components}."
            )
        self.scaling_ = Scaling(scale=PIXEL_LEVELS if self.pixels_ else 1.0)
        if isinstance(rows, np.ndarray):
            blocks: Iterable[np.ndarray] = [rows]
            self._decompose(self.data_units(rows))
        else:
            blocks = rows.blocks()
            self._decompose_blocks(rows)
        # Over all F - k directions left out, zeros included: scikit-learn counts min(n, F) - k, and so has another
        # density where there are fewer rows than features. From what is left of the rows, as differences of large
        # sums would not be 0 where they should.
        n_outside = n_features - len(self.components_)
        left_out = sum(float(self._project(block)[1].sum()) for block in blocks) / (n - 1)
        self.noise_variance_ = left_out / n_outside if n_outside else 0.0

    def _decompose(self, data: np.ndarray) -> None:
        """Mean, components and their variances of rows (n, F) in memory."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = data.mean(axis=0)
            _check_squares(np.square(data - mean).sum())
        # Exact solvers, never the randomised one: it is a reference. The covariance is that of centred data, as
        # products of numbers far from zero would drown what differs between rows.
        solver = "covariance_eigh" if len(data) > data.shape[1] else "full"
        with np.errstate(invalid="ignore"):  # a ratio of variances that nobody reads: 0 / 0 where all rows are alike
            fitted = decomposition.PCA(int(self.n_components), svd_solver=solver).fit(data - mean)
        self.mean_, self.components_ = mean + fitted.mean_, np.ascontiguousarray(fitted.components_)
        self.explained_variance_ = np.maximum(fitted.explained_variance_, 0)

    def _decompose_blocks(self, shards: Shards) -> None:
        """The same of rows that are read twice, a block at a time: for their mean, and for their covariance."""
        n_features, known = self.n_features_in_, shards.statistics()
        advice = "use Autoencoder(hidden=(), likelihood='fixed_gaussian'), whose code spans the same subspace"
        check_fits(4 * 8 * n_features**2, f"the covariance of {n_features:,} features", advice)
        _check_squares(known.variance)
        self.mean_, covariance = known.mean / self.scaling_.scale, np.zeros((n_features, n_features))
        for block in shards.blocks():
            centred = self.data_units(block) - self.mean_
            covariance += centred.T @ centred
        values, vectors = np.linalg.eigh(covariance / (len(shards) - 1))
        largest = slice(None, -int(self.n_components) - 1, -1)
        components = vectors.T[largest]
        # The sign of a component is that of scikit-learn's: its largest number is positive.
        signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
        self.components_ = np.ascontiguousarray(components * signs[:, None])
        self.explained_variance_ = np.maximum(values[largest], 0)

    def _codes(self, rows: np.ndarray) -> np.ndarray:
        return self._project(rows)[0]

    def _project(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes of validated rows, (n, n_components), and the squared distance to what they decode to, (n,)."""
        components = torch.from_numpy(self.components_)

        def project(centred: Tensor) -> tuple[Tensor, Tensor]:
            codes = centred @ components.T
            return codes, (centred - codes @ components).square().sum(dim=1)

        codes, distance = map_rows(project, torch.from_numpy(self.data_units(rows) - self.mean_))
        return codes.numpy(), distance.numpy()

    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows, W^T (x - mean): deterministic, and the same for a row in any batch.

        To the bit where the widths of layers, code and rows are multiples of 4, else to rounding (1e-6).

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Codes, (n, n_components): float32 for float32 rows, else float64.

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)

        def codes(rows: np.ndarray) -> np.ndarray:
            return self._codes(rows).astype(np.float32 if rows.dtype == np.float32 else np.float64)

        return in_blocks(X, self._rows, codes)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decode codes.

        Args:
            Z: codes, (n, n_components).

        Returns:
            Rows in the units and the shape of the data, (n, *feature_shape_) float64.

        Raises:
            ValueError, TypeError: codes of another width, or not finite numbers.
        """
        codes, components = torch.from_numpy(self._checked_codes(Z)).double(), torch.from_numpy(self.components_)
        (rows,) = map_rows(lambda z: z @ components, codes)
        return self._shaped((rows.numpy() + self.mean_) * self.scaling_.scale)

    def score_samples(self, X: Any) -> np.ndarray:
        """Exact log-density of each row under probabilistic PCA.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Nats, in units of the data (pixels in [0, 1]), (n,).

        Raises:
            ValueError: the data have no variance outside the components, or none along one, so that the density is
                infinite.
        """
        check_is_fitted(self)
        n_outside = self.n_features_in_ - len(self.components_)
        kept, noise = self.explained_variance_, self.noise_variance_
        smallest = min(kept[-1], noise) if n_outside else kept[-1]
        if not smallest > 4 * np.finfo(np.float64).eps * kept[0]:
            raise ValueError(
                "Expected data with variance along and outside the components, got none, and so an infinite density; "
                "use fewer n_components."
            )
        log_determinant = np.log(kept).sum() + (n_outside * np.log(noise) if n_outside else 0.0)

        def score(rows: np.ndarray) -> np.ndarray:
            codes, distance = self._project(rows)
            mahalanobis = (np.square(codes) / kept).sum(axis=1) + (distance / noise if n_outside else 0.0)
            return -0.5 * (self.n_features_in_ * np.log(2 * np.pi) + log_determinant + mahalanobis)

        return in_blocks(X, self._rows, score)

    def _draw_codes(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        noise = generator.standard_normal((n_samples, len(self.components_)))
        return noise * np.sqrt(np.maximum(self.explained_variance_ - self.noise_variance_, 0))

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        names = ("mean_", "components_", "explained_variance_")
        return {name: torch.from_numpy(getattr(self, name)) for name in names}, {
            "noise_variance_": self.noise_variance_
        }

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        shapes = {"mean_": (self.n_features_in_,), "components_": (self.n_components, self.n_features_in_)}
        shapes["explained_variance_"] = (self.n_components,)
        for name, shape in shapes.items():
            tensor = tensors.pop(name)
            if tensor.shape != shape or tensor.dtype != torch.float64:
                raise ValueError(f"{name} of shape {tuple(tensor.shape)} and {tensor.dtype}")
            setattr(self, name, tensor.numpy())
        self.noise_variance_ = float(value_of(fitted, "noise_variance_", float))


def _check_squares(squares: np.ndarray) -> None:
    if not np.isfinite(squares).all():
        raise ValueError("Expected data whose squares float64 can hold, got larger ones; scale them down.")

"""The base of estimators that are linear and Gaussian: one fit, one density, one file for all of them."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.memory import check_fits
from ..data.shards import Shards
from ..evaluation.chunks import map_rows
from ..linear import Covariance, LinearFit, LinearGaussian, covariance_of
from ..training import Scaling
from .arrays import FittedArrays
from .base import PIXEL_LEVELS, LatentEstimator, random_generator
from .blocks import checked_weight, column_moments, in_blocks

__all__ = ["BaseLatentGaussian", "BaseLinear"]


BLOCK_NUMBERS = 2**18  # of rows whose covariance is added up: 2 MB, of which there are several copies for a moment


class BaseLinear(FittedArrays, LatentEstimator):
    """A code that is linear in the row, and a Gaussian density; a leaf learns from the covariance of the data.

    Attributes:
        mean_: of the features, (F,), in data units (pixels in [0, 1]).
        components_: what each number of a code adds to a row, (n_components, F).
        noise_variance_: of what the code leaves out, one number or (F,).
    """

    mean_: np.ndarray
    components_: np.ndarray
    noise_variance_: float | np.ndarray

    @abstractmethod
    def _learn(self, covariance: Covariance, total: float) -> None:
        """Learn from the covariance, the mean of products; `total` rows were counted."""

    @abstractmethod
    def _density(self) -> LinearGaussian:
        """The density of centred rows, in data units."""

    @abstractmethod
    def _codes_of(self, density: LinearGaussian, centred: Tensor) -> Tensor:
        """Codes of centred rows."""

    # --- fit --------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from rows X.

        Args:
            X: (n, features), or images (n, h, w) or (n, c, h, w): NumPy, pandas, polars or torch. Shards,
                and memory maps larger than a buffer of them, are read twice, a block at a time.
            y: ignored.
            sample_weight: how many rows each row counts as, (n,); any numbers >= 0.

        Returns:
            The estimator itself.

        Raises:
            ValueError, TypeError: bad data, fewer than two rows, or more components than rows or features.
        """
        with self._all_or_nothing():
            self._fit(X, sample_weight)
        return self

    def _fit(self, X: Any, sample_weight: Any) -> None:
        rows = self._begin_fit(X)
        weight = None if sample_weight is None else checked_weight(sample_weight, rows)
        n = len(rows) if weight is None else int(np.count_nonzero(weight))
        if n < 2:
            raise ValueError(f"Expected at least 2 rows to find components of, got n_samples = {n}.")
        if self.n_components > min(n, self.n_features_in_):
            raise ValueError(
                f"Expected n_components <= min(n_samples={n}, n_features={self.n_features_in_}), got "
                f"{self.n_components}."
            )
        self.scaling_ = Scaling(scale=PIXEL_LEVELS if self.pixels_ else 1.0)
        self._learn(self._covariance(rows, weight), len(rows) if weight is None else float(weight.sum()))

    def _covariance(self, rows: np.ndarray | Shards, weight: np.ndarray | None) -> Covariance:
        """Find `mean_`, and then the covariance, from rows in pieces."""
        n_features, smaller = self.n_features_in_, min(len(rows), self.n_features_in_)
        advice = "use Autoencoder(hidden=(), likelihood='fixed_gaussian'), whose code spans the subspace of PCA"
        check_fits(4 * 8 * n_features * smaller, f"the covariance of {n_features:,} features", advice)
        mean, variance = column_moments(rows, weight)
        self.mean_, constant = mean / self.scaling_.scale, variance == 0
        share = np.full(len(rows), 1 / len(rows)) if weight is None else weight / weight.sum()

        def blocks() -> Iterator[tuple[Tensor, Tensor]]:
            size = max(256, BLOCK_NUMBERS // n_features)
            for start in range(0, len(rows), size):
                here = slice(start, start + size)
                centred = self.data_units(rows[here]) - self.mean_
                centred[:, constant] = 0.0  # what rounding left
                yield torch.from_numpy(centred), torch.from_numpy(share[here])

        return covariance_of(blocks(), len(rows), n_features)

    # --- use --------------------------------------------------------------------------------

    def _centred(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.data_units(rows) - self.mean_)

    def _codes(self, rows: np.ndarray) -> np.ndarray:
        density = self._density()
        (codes,) = map_rows(lambda centred: self._codes_of(density, centred), self._centred(rows))
        return codes.numpy()

    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows: deterministic, and the same for a row in any batch.

        To the bit where the widths of code and rows are multiples of 4, else to rounding.

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
        """Decode codes: E[x|z].

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
        """Exact log-density of each row.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Nats, in units of the data (pixels in [0, 1]), (n,).

        Raises:
            ValueError: the data have no variance outside the components, or none along one, so that the density is
                infinite.
        """
        check_is_fitted(self)
        density = self._density()
        if not density.has_density:
            raise ValueError(
                "Expected data with variance along and outside the components, got none, and so an infinite density; "
                "use fewer n_components."
            )
        return in_blocks(X, self._rows, lambda rows: map_rows(density.log_density, self._centred(rows))[0].numpy())

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None, noise: bool = False
    ) -> np.ndarray:
        """Decode codes drawn from the prior: means of p(x|z), in the units and the shape of the data.

        Args:
            n_samples: rows to draw.
            random_state: a seed gives the same rows again.
            noise: add the noise of p(x|z): rows drawn from the density that `score_samples` gives.

        Returns:
            Rows, (n_samples, *feature_shape_).

        Raises:
            ValueError: n_samples below 1.
        """
        generator = random_generator(random_state)
        means = super().sample(n_samples, generator)
        if not noise:
            return means
        drawn = generator.standard_normal((len(means), self.n_features_in_)) * np.sqrt(self.noise_variance_)
        return means + self._shaped(drawn) * self.scaling_.scale

    # --- file -------------------------------------------------------------------------------

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that were learned."""
        n_features = self.n_features_in_
        return {"mean_": (n_features,), "components_": (self._n_features_out, n_features)}

    def _plain(self) -> dict[str, Any]:
        """Names and types of the plain values that were learned."""
        return {"noise_variance_": float}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        if not np.min(self.noise_variance_) >= 0:
            raise ValueError("noise of a variance below 0")


class BaseLatentGaussian(BaseLinear):
    """The model x = W^T z + mean + noise with z from N(0, I), found by EM or in closed form; its codes are E[z|x].

    Attributes:
        log_likelihoods_: mean log-likelihood of a row after each step that was kept, in nats.
        n_iter_: steps of EM; 1 in closed form.
    """

    log_likelihoods_: list[float]
    n_iter_: int
    tolerance: float
    max_iter: int

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.tolerance < 0:
            raise ValueError(f"Expected tolerance >= 0, got {self.tolerance}.")
        if self.max_iter < 1:
            raise ValueError(f"Expected max_iter >= 1, got {self.max_iter}.")

    def _take_fit(self, found: LinearFit) -> None:
        """Take over what EM found, and warn where it was not done."""
        self.components_ = found.loadings.contiguous().numpy()
        self.log_likelihoods_, self.n_iter_ = found.log_likelihoods, found.n_steps
        if not found.converged:
            gains = np.diff(found.log_likelihoods)
            last = f", the last by {gains[-1]:.1e}" if len(gains) else ""
            warnings.warn(
                f"Expected EM to gain less than tolerance={self.tolerance:g} nats a row within "
                f"max_iter={self.max_iter} steps, got steps that still gain more{last}; use a larger max_iter or "
                "tolerance, or fewer n_components.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _density(self) -> LinearGaussian:
        return LinearGaussian.of_loadings(
            torch.from_numpy(self.components_), torch.as_tensor(self.noise_variance_, dtype=torch.float64)
        )

    def _codes_of(self, density: LinearGaussian, centred: Tensor) -> Tensor:
        return density.posterior_mean(centred)

    def posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The exact p(z|x) of each row, whose numbers are independent of each other: its covariance is diagonal.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Mean and standard deviation, each (n, n_components); the latter are the same for all rows.

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        mean = in_blocks(X, self._rows, self._codes)
        deviation = self._density().posterior_covariance.diagonal().sqrt().numpy()
        return mean, np.tile(deviation, (len(mean), 1))

    def _draw_codes(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        return generator.standard_normal((n_samples, len(self.components_)))

    def _plain(self) -> dict[str, Any]:
        return super()._plain() | {"log_likelihoods_": list[float], "n_iter_": int}

    def _facts(self) -> dict[str, str]:
        facts = super()._facts()
        if self.log_likelihoods_:
            facts["log-likelihood"] = f"{self.log_likelihoods_[-1]:.2f} nats a row of the training data"
        return facts

"""What every estimator with a code shares: encode, decode, score, draw rows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .blocks import in_blocks
from .common import PIXEL_LEVELS, TOLERANCE, BaseIsthmus, as_array, random_generator
from .parameters import fits

__all__ = ["PIXEL_LEVELS", "TOLERANCE", "LatentEstimator", "random_generator"]


class LatentEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseIsthmus):
    """A model with a code: the interface of scikit-learn, images of any shape, and files without pickle.

    Attributes:
        n_features_in_, feature_shape_, pixels_, scaling_: see `BaseIsthmus`.
    """

    conditional: ClassVar[bool] = False
    """Whether methods also take `conditions`: see `ConditionalVAE`."""

    n_components: int

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.n_components < 1:
            raise ValueError(f"Expected n_components >= 1, got {self.n_components}.")

    @abstractmethod
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows X; y is ignored."""

    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows: deterministic, and the same for a row in any batch.

        To the bit where the widths of layers, code and rows are multiples of 4, else to rounding (1e-6).

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            The means of q(z|x), (n, n_components).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        return in_blocks(X, self._rows, self._codes)

    @abstractmethod
    def _codes(self, rows: np.ndarray, *beside: Tensor) -> np.ndarray:
        """Codes of validated rows, (n, n_components), and of what a model may know beside them: see `in_blocks`."""

    @abstractmethod
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Rows decoded from codes (n, n_components), in the units and the shape of the data."""

    @abstractmethod
    def score_samples(self, X: Any) -> np.ndarray:
        """A score of each row, higher for rows that the model knows better, (n,)."""

    def reconstruct(self, X: Any) -> np.ndarray:
        """Encode rows and decode them again: what the code keeps of them.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Rows in the units and the shape of the data, (n, *feature_shape_).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        return in_blocks(X, self._rows, self._rebuilt)

    def _rebuilt(self, rows: np.ndarray, *beside: Tensor) -> np.ndarray:
        """Validated rows, encoded and decoded."""
        return self.inverse_transform(self._codes(rows, *beside))

    def squared_error(self, X: Any) -> np.ndarray:
        """Squared error of each row's reconstruction, summed over its features.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Errors in squared units of the data (pixels in [0, 1]), (n,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        return in_blocks(X, self._rows, self._squared_error)

    def _squared_error(self, rows: np.ndarray, *beside: Tensor) -> np.ndarray:
        """Squared errors of validated rows, (n,)."""
        return np.square(self.data_units(rows) - self.data_units(self._rebuilt(rows, *beside))).sum(axis=1)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`, so that model selection works; y is ignored."""
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Decode codes drawn from the prior: means of p(x|z), in the units and the shape of the data.

        Args:
            n_samples: rows to draw.
            random_state: a seed gives the same rows again; None takes the estimator's own, where it has one.

        Returns:
            Rows, (n_samples, *feature_shape_).

        Raises:
            ValueError: n_samples below 1, or no prior to draw from.
        """
        return self.inverse_transform(self._new_codes(n_samples, random_state))

    def _new_codes(self, n_samples: int, random_state: int | np.random.RandomState | None) -> np.ndarray:
        check_is_fitted(self)
        if not fits(n_samples, int) or n_samples < 1:
            raise ValueError(f"Expected n_samples >= 1, got {n_samples!r}.")
        if random_state is None:
            random_state = getattr(self, "random_state", None)
        return self._draw_codes(int(n_samples), random_generator(random_state))

    @abstractmethod
    def _draw_codes(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        """Codes from the prior, (n_samples, n_components)."""

    def _checked_codes(self, Z: Any) -> np.ndarray:
        check_is_fitted(self)
        Z = np.asarray(as_array(Z))
        if Z.ndim != 2 or Z.shape[1] != self._n_features_out:
            raise ValueError(f"Expected codes of shape (n, {self._n_features_out}), got {Z.shape}; use transform's.")
        if len(Z) == 0:
            raise ValueError("Expected at least one code, got none.")
        if Z.dtype.kind not in "fiub":
            raise TypeError(f"Expected codes as real numbers, got {Z.dtype}; use transform's.")
        if not np.isfinite(Z).all():
            raise ValueError("Expected finite codes, got NaN or infinity; use transform's.")
        Z = np.ascontiguousarray(Z)
        return Z if Z.flags.writeable else Z.copy()  # torch warns of arrays that can't be written to, such as frames'

    @property
    def _n_features_out(self) -> int:
        return int(self.parameters_["n_components"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _facts(self) -> dict[str, str]:
        return super()._facts() | {"code": f"{self._n_features_out} dimensions"}

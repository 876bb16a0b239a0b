"""What every estimator shares: input at the border, units, samples, and a face in a notebook."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..data.shards import Shards
from ..training import Scaling
from .blocks import check_conversion, in_blocks, shards_of
from .notebook import fact_table
from .parameters import check_parameters, fits
from .saved import Saved

__all__ = ["LatentEstimator"]

PIXEL_LEVELS = 255.0
TOLERANCE = 1e-6  # by which floats may leave [0, 1], as rounding makes them


class LatentEstimator(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A model with a code: the interface of scikit-learn, images of any shape, and files without pickle.

    Units: the data as given; pixels as uint8 are data in [0, 255], which errors and densities count in [0, 1].

    Attributes:
        n_features_in_: features of a row, after images are flattened.
        feature_shape_: shape of a row as given, such as (64,) or (28, 28).
        pixels_: True where the data were uint8.
        scaling_: from the data as given to the model's units.
    """

    conditional: ClassVar[bool] = False
    """Whether methods also take `conditions`: see `ConditionalVAE`."""

    n_components: int
    scaling_: Scaling
    feature_shape_: tuple[int, ...]
    pixels_: bool
    n_features_in_: int
    parameters_: dict[str, Any]

    # --- input at the border ----------------------------------------------------------------

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """A fit that is refused, fails or is interrupted leaves the estimator as it was, fitted or not."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _begin_fit(self, X: Any) -> np.ndarray | Shards:
        """Check parameters and rows, and remember what they are; what is larger than a buffer stays where it is."""
        self._check_parameters()
        shards = shards_of(X)
        large = None if shards is None or shards.fits_buffer else shards
        rows = self._rows(X if large is None else large[:1], reset=True)
        self.parameters_ = self.get_params(deep=False)
        return rows if large is None else large

    def _check_parameters(self) -> None:
        check_parameters(self)
        if self.n_components < 1:
            raise ValueError(f"Expected n_components >= 1, got {self.n_components}.")

    def _rows(self, X: Any, *, reset: bool = False) -> np.ndarray:
        """Validated rows (n, F): uint8 and floats as they came, anything else as float64."""
        X = _as_array(X)
        check_conversion(X)
        shape: tuple[int, ...] = tuple(X.shape)
        if len(shape) > 2:
            if not reset and shape[1:] != self.feature_shape_:
                raise ValueError(
                    f"Expected rows of shape {self.feature_shape_}, as at fit, got {shape[1:]}; use X.reshape."
                )
            X = np.asarray(X).reshape(shape[0], math.prod(shape[1:]))
        rows = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32, np.uint8])
        # One layout in memory: products of another one round differently.
        rows = np.ascontiguousarray(rows)
        if reset:
            self.feature_shape_ = shape[1:] if len(shape) > 2 else (rows.shape[1],)
            self.pixels_ = rows.dtype == np.uint8
        elif self.pixels_ and rows.dtype != np.uint8:
            if rows.min() < -TOLERANCE or rows.max() > 1 + TOLERANCE:
                raise ValueError(
                    f"Expected uint8 pixels, as at fit, or floats in [0, 1], got numbers in [{rows.min():g}, "
                    f"{rows.max():g}]; use X.astype('uint8'), or X / 255."
                )
            rows = rows.astype(np.float64) * PIXEL_LEVELS  # in float64, so that k / 255 and k are the same pixel
        elif not self.pixels_ and rows.dtype == np.uint8:
            rows = rows.astype(np.float64)
        # Arrays that can't be written to (memory maps, polars' columns) make torch warn; what it gets is only read.
        return rows if rows.flags.writeable else rows.copy()

    def data_units(self, rows: Any) -> np.ndarray:
        """Rows as float64 (n, F) in the units that errors are counted in: pixels in [0, 1], other data as given."""
        rows = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
        return rows / PIXEL_LEVELS if self.pixels_ else rows

    @property
    def log_scale_(self) -> float:
        """Log of the model's unit in units of the data: log p(data) = log p(model) - n_features * log_scale_."""
        return math.log(self.scaling_.scale / (PIXEL_LEVELS if self.pixels_ else 1.0))

    def to_tensor(self, X: Any, seed: int = 0) -> Tensor:
        """Validated rows in the model's units, (n, F) float32; binarised with this seed where the model wants that.

        Raises:
            ValueError: rows of another shape, out of range, or too far from those at fit for float32.
        """
        check_is_fitted(self)
        return self._scaled(self._rows(X), seed)

    def _scaled(self, rows: np.ndarray, seed: int = 0) -> Tensor:
        x = self.scaling_(torch.from_numpy(rows))
        if not x.isfinite().all():
            raise ValueError(
                "Expected rows of the size of those at fit, got numbers too large for float32 in the model's units; "
                "use np.clip(X, ...)."
            )
        return x

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(rows), *self.feature_shape_)

    # --- what all of them can do ------------------------------------------------------------

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
        Z = np.asarray(_as_array(Z))
        if Z.ndim != 2 or Z.shape[1] != self._n_features_out:
            raise ValueError(f"Expected codes of shape (n, {self._n_features_out}), got {Z.shape}; use transform's.")
        if len(Z) == 0:
            raise ValueError("Expected at least one code, got none.")
        if Z.dtype.kind not in "fiub":
            raise TypeError(f"Expected codes as real numbers, got {Z.dtype}; use transform's.")
        if not np.isfinite(Z).all():
            raise ValueError("Expected finite codes, got NaN or infinity; use transform's.")
        return np.ascontiguousarray(Z)

    @property
    def _n_features_out(self) -> int:
        return int(self.parameters_["n_components"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # --- notebook ---------------------------------------------------------------------------

    def _html_repr(self) -> str:
        """scikit-learn's diagram, and under it what was learned."""
        diagram = super()._html_repr()  # type: ignore[misc]
        return diagram + (fact_table(self._facts()) if hasattr(self, "parameters_") else "")

    def _facts(self) -> dict[str, str]:
        """What a person wants to know of the fitted model at a glance."""
        shape = " x ".join(map(str, self.feature_shape_))
        return {
            "data": f"{shape}{' pixels, uint8' if self.pixels_ else ''}",
            "code": f"{self._n_features_out} dimensions",
        }


def random_generator(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """A generator from a seed or a generator; None gives a fresh one, never NumPy's global one."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def _as_array(X: Any) -> Any:
    """Tensors, shards and nested lists as arrays; what has a shape, such as a frame, as it is."""
    if isinstance(X, Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    return X if hasattr(X, "shape") and not isinstance(X, Shards) else np.asarray(X)

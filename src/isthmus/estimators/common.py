"""What every estimator shares, with a code or without: input at the border, units, files, and a face in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..data.shards import Shards
from ..data.validation import place_of_unfit
from ..training import Scaling
from .blocks import check_conversion, shards_of
from .notebook import fact_table
from .parameters import check_parameters
from .saved import Saved

__all__ = ["PIXEL_LEVELS", "TOLERANCE", "BaseIsthmus", "as_array", "random_generator", "seeded_noise"]

PIXEL_LEVELS = 255.0
"""The value of a white pixel in uint8."""

TOLERANCE = 1e-6  # by which floats may leave [0, 1], as rounding makes them


class BaseIsthmus(Saved, BaseEstimator):
    """Rows of any kind in, images of any shape, units, and files without pickle.

    Units: the data as given; pixels as uint8 are data in [0, 255], which errors and densities count in [0, 1].

    Attributes:
        n_features_in_: features of a row, after images are flattened.
        feature_shape_: shape of a row as given, such as (64,) or (28, 28).
        pixels_: True where the data were uint8.
        scaling_: from the data as given to the model's units.
    """

    missing_values: ClassVar[bool] = False
    """Whether NaN stands for a value that is not known; else it is refused."""

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

    def _rows(self, X: Any, *, reset: bool = False) -> np.ndarray:
        """Validated rows (n, F): uint8 and floats as they came, anything else as float64."""
        X = as_array(X)
        check_conversion(X)
        shape: tuple[int, ...] = tuple(X.shape)
        if len(shape) > 2:
            if not reset and shape[1:] != self.feature_shape_:
                raise ValueError(
                    f"Expected rows of shape {self.feature_shape_}, as at fit, got {shape[1:]}; use X.reshape."
                )
            X = np.asarray(X).reshape(shape[0], math.prod(shape[1:]))
        rows = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32, np.uint8], ensure_all_finite=False)
        self._check_finite(rows.reshape(shape) if len(shape) > 2 else rows)
        # One layout in memory: products of another one round differently.
        rows = np.ascontiguousarray(rows)
        if reset:
            self.feature_shape_ = shape[1:] if len(shape) > 2 else (rows.shape[1],)
            self.pixels_ = rows.dtype == np.uint8
        elif self.pixels_ and rows.dtype != np.uint8:
            least, most = np.fmin.reduce(rows, axis=None), np.fmax.reduce(rows, axis=None)  # of those that are known
            if least < -TOLERANCE or most > 1 + TOLERANCE:
                raise ValueError(
                    f"Expected uint8 pixels, as at fit, or floats in [0, 1], got numbers in [{least:g}, "
                    f"{most:g}]; use X.astype('uint8'), or X / 255."
                )
            rows = rows.astype(np.float64) * PIXEL_LEVELS  # in float64, so that k / 255 and k are the same pixel
        elif not self.pixels_ and rows.dtype == np.uint8:
            rows = rows.astype(np.float64)
        # Arrays that can't be written to (memory maps, polars' columns) make torch warn; what it gets is only read.
        return rows if rows.flags.writeable else rows.copy()

    def _check_finite(self, rows: np.ndarray) -> None:
        """Say which numbers are none, and what to do about it; begins with scikit-learn's words, which users know."""
        place = place_of_unfit(rows, getattr(self, "feature_names_in_", None), missing=self.missing_values)
        if place is None:
            return
        name = type(self).__name__
        if place.startswith("nan"):
            raise ValueError(
                f"Input X contains NaN. Expected rows without missing values, as {name} takes none, got {place}; use "
                "GaussianMixture, which does, or fill them by GaussianMixture().fit(X).impute(X) or isthmus impute."
            )
        may = "finite values, or NaN where one is missing" if self.missing_values else "finite numbers"
        raise ValueError(f"Input X contains infinity. Expected {may}, got {place}; use np.clip(X, ...), or drop those.")

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

    # --- notebook ---------------------------------------------------------------------------

    def _html_repr(self) -> str:
        """scikit-learn's diagram, and under it what was learned."""
        diagram = super()._html_repr()  # type: ignore[misc]
        return diagram + (fact_table(self._facts()) if hasattr(self, "parameters_") else "")

    def _facts(self) -> dict[str, str]:
        """What a person wants to know of the fitted model at a glance."""
        shape = " x ".join(map(str, self.feature_shape_))
        return {"data": f"{shape}{' pixels, uint8' if self.pixels_ else ''}"}


def random_generator(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """A generator from a seed or a generator; None gives a fresh one, never NumPy's global one."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


@contextmanager
def seeded_noise(generator: np.random.RandomState, device: torch.device) -> Iterator[None]:
    """Torch's noise on a device as a function of a generator's next number; afterwards torch's own are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator.randint(2**31 - 1)))
        yield


def as_array(X: Any) -> Any:
    """Tensors, shards and nested lists as arrays; what has a shape, such as a frame, as it is."""
    if isinstance(X, Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    return X if hasattr(X, "shape") and not isinstance(X, Shards) else np.asarray(X)

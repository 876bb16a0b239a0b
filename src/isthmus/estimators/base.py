"""What every estimator shares: input at the border, units, plain files, and a face in a notebook."""

from __future__ import annotations

import html
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..files import FORMAT, UnreadableFile, read_tensors, write_json, write_tensors
from ..training import Scaling

__all__ = ["LatentEstimator", "load"]

PIXEL_LEVELS = 255.0


class LatentEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A model with a code: the interface of scikit-learn, images of any shape, and files without pickle.

    Units: the data as given; pixels as uint8 are data in [0, 255], which errors and densities count in [0, 1].

    Attributes:
        n_features_in_: features of a row, after images are flattened.
        feature_shape_: shape of a row as given, such as (64,) or (28, 28).
        pixels_: True where the data were uint8.
        scaling_: from the data as given to the model's units.
        log_scale_: log of the model's unit in units of the data: log p(data) = log p(model) - n_features * log_scale_.
    """

    kinds: ClassVar[dict[str, type[LatentEstimator]]] = {}
    """Every estimator by name, for `isthmus.load` and the command line."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls.__name__.startswith("Base"):
            LatentEstimator.kinds[cls.__name__] = cls

    # --- input at the border ----------------------------------------------------------------

    def _rows(self, X: Any, *, reset: bool = False) -> np.ndarray:
        """Validated rows (n, F): uint8 and floats as they came, anything else as float64."""
        X = X.detach().cpu().numpy() if isinstance(X, Tensor) else X
        shape: tuple[int, ...] = tuple(getattr(X, "shape", ()))
        if len(shape) > 2:
            X = np.asarray(X).reshape(shape[0], -1)
        if not reset and len(shape) > 2 and shape[1:] != self.feature_shape_:
            raise ValueError(f"Expected rows of shape {self.feature_shape_}, as at fit, got {shape[1:]}.")
        rows = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32, np.uint8])
        if reset:
            self.feature_shape_ = shape[1:] if len(shape) > 2 else (rows.shape[1],)
            self.pixels_ = rows.dtype == np.uint8
        elif self.pixels_ and rows.dtype != np.uint8:
            self._check_pixel_floats(rows)
            rows = rows * PIXEL_LEVELS
        elif not self.pixels_ and rows.dtype == np.uint8:
            rows = rows.astype(np.float64)
        return rows if rows.flags.writeable else rows.copy()  # torch warns of arrays that it could not write to

    def _check_pixel_floats(self, rows: np.ndarray) -> None:
        if rows.min() < 0 or rows.max() > 1:
            raise ValueError(
                f"Expected uint8 pixels, as at fit, or floats in [0, 1], got {rows.dtype} in [{rows.min():g}, "
                f"{rows.max():g}]; use X.astype('uint8'), or divide by 255."
            )

    def data_units(self, rows: Any) -> np.ndarray:
        """Rows as float64 (n, F) in the units that errors are counted in: pixels in [0, 1], other data as given."""
        rows = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
        return rows / PIXEL_LEVELS if self.pixels_ else rows

    def to_tensor(self, X: Any) -> Tensor:
        """Validated rows in the model's units, (n, F) float32."""
        check_is_fitted(self)
        return self.scaling_(torch.from_numpy(self._rows(X)))

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(rows), *self.feature_shape_)

    # --- what all of them can do ------------------------------------------------------------

    @abstractmethod
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows X; y is ignored."""

    @abstractmethod
    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows, (n, n_components)."""

    @abstractmethod
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Rows decoded from codes (n, n_components), in the units and the shape of the data."""

    @abstractmethod
    def score_samples(self, X: Any) -> np.ndarray:
        """A score of each row, higher for rows that the model knows better, (n,)."""

    def reconstruct(self, X: Any) -> np.ndarray:
        """Encode rows and decode them again: what the code keeps of them, in the units and the shape of the data."""
        check_is_fitted(self)
        Z = self._codes(self._rows(X))
        return self.inverse_transform(Z)

    def squared_error(self, X: Any) -> np.ndarray:
        """Squared error of each row's reconstruction, summed over its features, in squared units of the data, (n,)."""
        check_is_fitted(self)
        rows = self._rows(X)
        return np.square(self.data_units(rows) - self.data_units(self.inverse_transform(self._codes(rows)))).sum(axis=1)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`, so that model selection works."""
        return float(np.mean(self.score_samples(X)))

    @abstractmethod
    def _codes(self, rows: np.ndarray) -> np.ndarray:
        """Codes of validated rows, (n, n_components)."""

    def _checked_codes(self, Z: Any) -> np.ndarray:
        check_is_fitted(self)
        Z = Z.detach().cpu().numpy() if isinstance(Z, Tensor) else np.asarray(Z)
        if Z.ndim != 2 or Z.shape[1] != self._n_features_out:
            raise ValueError(f"Expected codes of shape (n, {self._n_features_out}), got {Z.shape}.")
        if not np.isfinite(Z).all():
            raise ValueError("Expected finite codes, got NaN or infinity.")
        return Z

    @property
    def _n_features_out(self) -> int:
        return self.n_components  # type: ignore[attr-defined]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # --- files ------------------------------------------------------------------------------

    def configuration(self) -> dict[str, Any]:
        """What makes this estimator anew, unfitted, as plain JSON."""
        return {"format": FORMAT, "kind": "estimator", "estimator": type(self).__name__} | {
            "parameters": self._plain_parameters()
        }

    def save(self, folder: str | Path, data: dict[str, Any] | None = None) -> Path:
        """Write the fitted model: model.safetensors holds all of it, config.json its parameters for people to read.

        Args:
            folder: where; made if it is not there.
            data: a note on what it was trained on, kept in config.json.

        Raises:
            ValueError: a parameter that JSON can't hold; own encoder and decoder modules are saved by their weights
                and must be passed to `isthmus.load` again.
        """
        check_is_fitted(self)
        folder = Path(folder)
        tensors, fitted = self._fitted()
        fitted |= {"n_features_in_": self.n_features_in_, "feature_shape_": list(self.feature_shape_)}
        fitted |= {"pixels_": self.pixels_, "scale": self.scaling_.scale, "log_scale_": self.log_scale_}
        fitted["feature_names_in_"] = list(getattr(self, "feature_names_in_", [])) or None
        if self.scaling_.shift is not None:
            tensors["scaling.shift"] = self.scaling_.shift
        configuration = self.configuration()
        write_tensors(folder / "model.safetensors", tensors, configuration | {"fitted": fitted})
        write_json(folder / "config.json", configuration | ({} if data is None else {"data": data}))
        return folder

    @staticmethod
    def from_configuration(record: dict[str, Any], source: str | Path = "", **modules: Any) -> LatentEstimator:
        """The unfitted estimator that `configuration` described.

        Raises:
            UnreadableFile: another kind of record, or parameters that the estimator does not have.
        """
        kind = LatentEstimator.kinds.get(str(record.get("estimator")))
        if record.get("kind") != "estimator" or kind is None:
            found = record.get("estimator") or record.get("kind")
            raise UnreadableFile(f"Expected an estimator of Isthmus in {source}, got {found!r}.")
        parameters = {name: tuple(v) if isinstance(v, list) else v for name, v in record["parameters"].items()}
        missing = [name for name, value in parameters.items() if value == OWN_MODULE and name not in modules]
        if missing:
            example = ", ".join(f"{name}=..." for name in missing)
            raise ValueError(f"Expected the model's own modules, got none; use isthmus.load(folder, {example}).")
        unknown = set(parameters) - set(kind().get_params())
        if unknown:
            raise UnreadableFile(f"Expected parameters of {kind.__name__} in {source}, got also {sorted(unknown)}.")
        return kind(**(parameters | modules))

    @staticmethod
    def _from_file(path: Path, **modules: Any) -> LatentEstimator:
        tensors, record = read_tensors(path)
        estimator, fitted = LatentEstimator.from_configuration(record, path, **modules), record["fitted"]
        estimator.n_features_in_, estimator.pixels_ = fitted["n_features_in_"], fitted["pixels_"]
        estimator.feature_shape_ = tuple(fitted["feature_shape_"])
        estimator.scaling_ = Scaling(tensors.pop("scaling.shift", None), fitted["scale"])
        estimator.log_scale_ = fitted["log_scale_"]
        if fitted["feature_names_in_"]:
            estimator.feature_names_in_ = np.array(fitted["feature_names_in_"], dtype=object)
        estimator._restore(tensors, fitted)
        return estimator

    def _plain_parameters(self) -> dict[str, Any]:
        """Parameters as JSON holds them: modules by a mark, a random generator by nothing."""
        plain: dict[str, Any] = {}
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, torch.nn.Module):
                value = OWN_MODULE
            elif isinstance(value, np.random.RandomState):
                value = None
            plain[name] = value.item() if isinstance(value, np.generic) else value
        return plain

    @abstractmethod
    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was learned: tensors and plain values."""

    @abstractmethod
    def _restore(self, tensors: dict[str, Tensor], fitted: dict[str, Any]) -> None:
        """Put back what `_fitted` gave."""

    # --- notebook ---------------------------------------------------------------------------

    def _html_repr(self) -> str:
        """scikit-learn's diagram, and under it what was learned."""
        diagram = super()._html_repr()  # type: ignore[misc]
        if not hasattr(self, "n_features_in_"):
            return diagram
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"{diagram}<table>{cells}</table>"

    def _facts(self) -> dict[str, str]:
        """What a person wants to know of the fitted model at a glance."""
        shape = " x ".join(map(str, self.feature_shape_))
        return {
            "data": f"{shape}{' pixels, uint8' if self.pixels_ else ''}",
            "code": f"{self._n_features_out} dimensions",
        }


OWN_MODULE = "own module"
"""Stands in a file for an encoder or decoder that the user passed."""


def load(folder: str | Path, **modules: Any) -> LatentEstimator:
    """Load a model that `save` wrote: safetensors and JSON only, so that loading never runs foreign code.

    Args:
        folder: the run folder, or its model.safetensors.
        **modules: `encoder=` and `decoder=` where the model has own ones; their weights come from the file.

    Returns:
        The fitted estimator.

    Raises:
        UnreadableFile: missing, torn, foreign, or written by a newer version.

    Example:
        >>> import isthmus, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> path = isthmus.PCA(n_components=2).fit([[0.0, 1.0], [1.0, 1.0], [2.0, 3.0]]).save(folder)
        >>> isthmus.load(path).n_components
        2
    """
    path = Path(folder)
    return LatentEstimator._from_file(
        path / "model.safetensors" if path.is_dir() or not path.suffix else path, **modules
    )

"""Fitted models in plain files: safetensors and JSON, checked before anything is built from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..files import FORMAT, UnreadableFile, read_tensors, write_json, write_tensors
from ..processes import wait_for_all
from ..training import Scaling
from .parameters import OWN_MODULE, fits, from_plain, to_plain

__all__ = ["Saved", "load", "value_of"]

_FITTED = {
    "n_features_in_": int,
    "feature_shape_": tuple[int, ...],
    "pixels_": bool,
    "scale": float,
    "feature_names_in_": tuple[str, ...] | None,
}


class Saved:
    """What can be written to a folder and read again; an estimator says what it has learned.

    Attributes:
        parameters_: the parameters with which it was fitted, whatever was set since.
    """

    kinds: ClassVar[dict[str, type[Any]]] = {}
    """Every estimator by name, for `isthmus.load` and the command line."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls.__name__.startswith("Base") and cls.__name__ != "LatentEstimator":
            Saved.kinds[cls.__name__] = cls

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was learned: tensors and plain values."""
        raise NotImplementedError

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        """Put back what `_fitted` gave, taking out of `tensors` what is used.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: values that are no fitted model.
        """
        raise NotImplementedError

    def configuration(self) -> dict[str, Any]:
        """What makes this estimator anew, unfitted, as plain JSON.

        Raises:
            ValueError: a parameter that JSON can't hold.
        """
        return _record(self, self.get_params(deep=False))  # type: ignore[attr-defined]

    @staticmethod
    def from_configuration(record: Mapping[str, Any], source: str | Path = "", **modules: Any) -> Any:
        """The unfitted estimator that `configuration` described.

        Raises:
            UnreadableFile: another kind of record, or parameters that the estimator does not have.
            ValueError: own modules are missing, or were passed where the model has none.
        """
        kind = Saved.kinds.get(str(record.get("estimator")))
        if record.get("kind") != "estimator" or kind is None:
            found = record.get("estimator") or record.get("kind")
            raise UnreadableFile(f"Expected an estimator of Isthmus in {source}, got {found!r}.")
        written = value_of(record, "parameters", dict[str, Any], source)
        unknown = set(written) - set(kind._get_param_names())
        if unknown:
            raise UnreadableFile(f"Expected parameters of {kind.__name__} in {source}, got also {sorted(unknown)}.")
        own = {name for name, value in written.items() if value == OWN_MODULE}
        if own != set(modules):
            example = "".join(f", {name}=..." for name in sorted(own))
            got = ", ".join(sorted(modules)) or "none"
            raise ValueError(f"Expected the model's own modules, got {got}; use isthmus.load(folder{example}).")
        try:
            hints = get_type_hints(kind)
            made = kind(**{name: from_plain(value, hints.get(name)) for name, value in written.items()} | modules)
            made._check_parameters()
        except (TypeError, ValueError) as error:
            raise UnreadableFile(f"Expected parameters of {kind.__name__} in {source}, got others: {error}") from error
        return made

    def save(self, folder: str | Path, data: dict[str, Any] | None = None) -> Path:
        """Write the fitted model: model.safetensors holds all of it, config.json its parameters for people to read.

        Args:
            folder: where; made if it is not there.
            data: a note on what it was trained on, kept in config.json.

        Returns:
            The folder.

        Raises:
            ValueError: a parameter that JSON can't hold; own encoder and decoder modules are saved by their weights
                and must be passed to `isthmus.load` again.
        """
        check_is_fitted(self)
        estimator: Any = self
        tensors, fitted = estimator._fitted()
        fitted |= {"n_features_in_": estimator.n_features_in_, "feature_shape_": list(estimator.feature_shape_)}
        fitted |= {"pixels_": bool(estimator.pixels_), "scale": estimator.scaling_.scale}
        fitted["feature_names_in_"] = list(getattr(self, "feature_names_in_", [])) or None
        if estimator.scaling_.shift is not None:
            tensors["scaling.shift"] = estimator.scaling_.shift
        record = _record(self, estimator.parameters_)
        write_tensors(Path(folder) / "model.safetensors", tensors, record | {"fitted": fitted})
        write_json(Path(folder) / "config.json", record | ({} if data is None else {"data": data}))
        wait_for_all()  # the first process writes, and all may load
        return Path(folder)

    def fingerprint(self) -> str:
        """SHA-256 of what turns rows into codes and codes into rows: two models with the same one are the same.

        Use it to know again whose codes a file holds. The estimator's name, the units and every weight count; a prior
        fitted to the codes and the history of training don't.
        """
        check_is_fitted(self)
        estimator: Any = self
        tensors = {name: t for name, t in estimator._fitted()[0].items() if not name.startswith("prior.")}
        shape = [type(self).__name__, list(estimator.feature_shape_), bool(estimator.pixels_), estimator.scaling_.scale]
        if estimator.scaling_.shift is not None:
            tensors["scaling.shift"] = estimator.scaling_.shift
        digest = sha256(json.dumps(shape).encode())
        for name, tensor in sorted(tensors.items()):
            array = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def _take(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        """Become the fitted model that a file describes."""
        values = {name: value_of(fitted, name, hint) for name, hint in _FITTED.items()}
        n_features, names = values["n_features_in_"], values["feature_names_in_"]
        self.n_features_in_, self.feature_shape_ = n_features, tuple(values["feature_shape_"])
        if n_features < 1 or prod(self.feature_shape_) != n_features or min(self.feature_shape_) < 1:
            raise ValueError(f"{n_features} features of shape {self.feature_shape_}")
        if not values["scale"] > 0:
            raise ValueError(f"scale {values['scale']}")
        if names is not None and len(names) != n_features:
            raise ValueError(f"{len(names)} names of {n_features} features")
        shift = tensors.pop("scaling.shift", None)
        if shift is not None and (shift.shape != (n_features,) or not shift.is_floating_point()):
            raise ValueError(f"a shift of shape {tuple(shift.shape)} and {shift.dtype}")
        self.pixels_, self.scaling_ = values["pixels_"], Scaling(shift, float(values["scale"]))
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        self.parameters_ = self.get_params(deep=False)  # type: ignore[attr-defined]
        self._restore(tensors, fitted)
        if tensors:
            raise ValueError(f"also {', '.join(sorted(tensors))}")


def value_of(record: Mapping[str, Any], name: str, hint: Any, source: str | Path = "the file") -> Any:
    """A value of a record, of the type it should have.

    Raises:
        UnreadableFile: it is not there, or of another type.
    """
    if name not in record or not fits(record[name], hint):
        found = type(record[name]).__name__ if name in record else "nothing"
        raise UnreadableFile(
            f"Expected {name} of another type in {source}, got {found}; the file is damaged or foreign."
        )
    return record[name]


def _record(estimator: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: to_plain(name, value) for name, value in parameters.items()}
    return {"format": FORMAT, "kind": "estimator", "estimator": type(estimator).__name__, "parameters": plain}


def load(folder: str | Path, **modules: Any) -> Any:
    """Load a model that `save` wrote: safetensors and JSON only, so that loading never runs foreign code.

    The model is on the CPU, wherever it was trained; `estimator.model_.to("cuda")` moves it.

    Args:
        folder: the run folder, or its model.safetensors.
        **modules: `encoder=` and `decoder=` where the model has own ones; their weights come from the file.

    Returns:
        The fitted estimator.

    Raises:
        UnreadableFile: missing, torn, foreign, or written by a newer version.
        ValueError: own modules are missing or superfluous.

    Example:
        >>> import isthmus, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> path = isthmus.PCA(n_components=2).fit([[0.0, 1.0], [1.0, 1.0], [2.0, 3.0]]).save(folder)
        >>> isthmus.load(path).n_components
        2
    """
    path = Path(folder)
    path = path / "model.safetensors" if path.is_dir() or not path.suffix else path
    tensors, record = read_tensors(path)
    estimator = Saved.from_configuration(record, path, **modules)
    try:
        with torch.random.fork_rng(devices=[]):  # weights are drawn, and then replaced
            estimator._take(tensors, value_of(record, "fitted", dict[str, Any]))
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UnreadableFile(f"Expected a whole {type(estimator).__name__} in {path}, got {error}.") from error
    return estimator

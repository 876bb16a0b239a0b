"""Command lines from what the code says of itself: an estimator's fields are its options, its docstring their help."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from ..data import DataSet
from ..estimators import LatentEstimator, load
from ..evaluation.given import given
from .data_options import NO_LABELS, RunDataOptions, filled_part
from .main import UsageError, did_you_mean
from .terminal import say

__all__ = [
    "RowsOptions",
    "argument_help",
    "estimator_options",
    "find_model",
    "load_run",
    "models",
]


def models() -> dict[str, type[LatentEstimator]]:
    """Models by the name that the command line has for them."""
    kinds = LatentEstimator.kinds.items()
    return {_command_name(name): kind for name, kind in kinds if kind.__module__.startswith("isthmus.estimators.")}


WRITTEN = {"KMeans": "kmeans"}
"""Names that everybody writes in one word."""


def _command_name(name: str) -> str:
    """A class's name as it is typed: VAE is vae, KSparseAutoencoder k-sparse-autoencoder."""
    if name in WRITTEN:
        return WRITTEN[name]
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def find_model(name: str) -> type[LatentEstimator]:
    """A model by name.

    Raises:
        UsageError: there is none; names the closest.
    """
    if name not in models():
        raise UsageError(f"unknown model {name!r}{did_you_mean(name, list(models()))}")
    return models()[name]


def argument_help(kind: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each argument."""
    found: dict[str, str] = {}
    for cls in kind.__mro__:
        section = re.search(r"^ *Args:\n(.*?)(?:\n\s*\n|\Z)", cls.__doc__ or "", re.DOTALL | re.MULTILINE)
        for name, text in re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section[1] if section else "", re.MULTILINE):
            found.setdefault(name, re.sub(r"\s+", " ", text).strip())
    return found


_ELSEWHERE = ("verbose", "validation_fraction", "binarisation")
"""Parameters that are no options: who waits at a terminal sees progress; the rest are options of the data."""


_ALSO = {"n_clusters": "--n-components", "n_components": "--n-clusters"}
"""What k-means and mixtures call the same; each takes both. Misspelt options are the parser's to guess."""


def estimator_options(kind: type[LatentEstimator]) -> list[tuple[str, Any, Any]]:
    """Fields for `dataclasses.make_dataclass`: each parameter that can be written on a command line."""
    hints, helps, fields = typing.get_type_hints(kind), argument_help(kind), []
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = _plain(hints[field.name])
        if hint is not None and field.name not in _ELSEWHERE:
            also = (_ALSO[field.name],) if field.name in _ALSO and hasattr(kind, "fit_predict") else ()
            note = tyro.conf.arg(help=helps.get(field.name, ""), aliases=also)
            fields.append((field.name, Annotated[hint, note], dataclasses.field(default=field.default)))
    return fields


def _plain(hint: Any) -> Any:
    """A type without the members that only Python can pass, such as modules and Any; None where nothing is left."""
    if hint is Any:
        return None
    if typing.get_origin(hint) is list:
        return hint if _plain(typing.get_args(hint)[0]) is not None else None
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        inner = _plain(typing.get_args(hint)[0])
        return None if inner is None else tuple[inner, ...]  # type: ignore[valid-type]
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    simple = (int, float, str, bool, type(None))
    parts = typing.get_args(hint)
    kept = [_plain(part) for part in parts if typing.get_origin(part) is not None or part in simple]
    kept = [part for part in kept if part is not None]
    return typing.Union[tuple(kept)] if set(kept) - {type(None)} else None  # type: ignore[valid-type]  # noqa: UP007


@dataclasses.dataclass(kw_only=True)
class RowsOptions(RunDataOptions):
    """What commands that write one row for each row of some data have in common."""

    decodes: ClassVar[bool] = False
    """Whether the model has to make rows of codes."""
    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    part: Literal["all", "train", "validation", "test"] = "all"
    """Part of the data; "all" keeps a file's order."""
    json: bool = False
    """Print the result as JSON."""

    def load(self) -> tuple[LatentEstimator, Any, dict[str, Any]]:
        """The run's model, the rows that were asked for, and what its methods take beside them."""
        estimator, data = self.load_whole()
        X, y = filled_part(data, self.part)
        return estimator, X, given(estimator, y, NO_LABELS)

    def load_whole(self) -> tuple[LatentEstimator, DataSet]:
        """The run's model, and all of the data, of which it says a word."""
        estimator = load_run(self.run, decodes=self.decodes)
        out = getattr(self, "out", None)
        if out is not None and self.data is not None and Path(self.data).is_file() and out.exists():
            if out.samefile(self.data):
                raise UsageError(f"--out {out} is the file that the data are read from; use another")
        data = self.load_data(self.run, split=self.part != "all")
        read = data.description_of_rows if self.part == "all" else data.description
        say(f"{type(estimator).__name__}: {read}")
        return estimator, data


def load_run(run: Path, *, decodes: bool = False) -> LatentEstimator:
    """The trained model of a run folder; one that makes rows of codes, where that is asked for.

    Raises:
        ValueError: there is none; says what to do.
    """
    if run.is_dir() and not (run / "model.safetensors").exists():
        if (run / "config.json").exists():
            raise ValueError(
                f"Expected a finished run in {run}, got one that was stopped; go on with it by "
                f"isthmus train --resume --out {run}"
            )
        inside = sorted(str(path.parent) for path in run.glob("*/model.safetensors"))
        hint = f"; there are {', '.join(inside)}" if inside else ""
        raise ValueError(f"Expected a run in {run}, got a folder without one{hint}.")
    if not run.exists():
        raise ValueError(f"Expected a run in {run}, got no such folder; isthmus train writes one.")
    estimator = load(run)
    if decodes and not hasattr(estimator, "inverse_transform"):
        raise ValueError(
            f"Expected a model that makes rows of codes in {run}, got {type(estimator).__name__}, which makes none; "
            "use isthmus encode, evaluate or predict."
        )
    return estimator

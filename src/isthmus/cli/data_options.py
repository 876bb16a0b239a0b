"""What every command says of data: which ones, how they are read, and what a run records of that."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ..data import CATALOGUE, DataSet, load_data
from ..data.dataset import Labelled
from ..data.shards import BUFFER_BYTES, is_shard_folder
from ..data.split import TEST_FRACTION, VALIDATION_FRACTION, recorded_split
from ..data.table_preparation import Preparation
from ..data.table_read import TABLES
from ..estimators.saved import value_of
from ..files import read_json

__all__ = [
    "NO_LABELS",
    "READING",
    "DataOptions",
    "ReadingOptions",
    "RunDataOptions",
    "checked_note",
    "data_note",
    "found_again",
    "filled_part",
    "noted_data",
    "own_units",
    "recorded_preparation",
    "run_data",
]


@dataclass(kw_only=True)
class ReadingOptions:
    """What is read, and how. Each field but `data` is a keyword of `load_data` of the same name."""

    data: str = "digits"
    """File, folder of images or of .npy files, or named set; isthmus data list names sets and kinds of files."""
    label: str | None = None
    """Column of a table with labels, which is no feature: classifiers and conditional models learn from it; of other
    models it colours pictures and scores codes."""
    drop: tuple[str, ...] = ()
    """Columns of a table to leave out."""
    text: Literal["error", "drop", "one-hot"] = "error"
    """What to do with a table's columns of text: drop them, or make a feature of 0 or 1 for each value ("one-hot")."""
    missing: Literal["error", "drop-rows", "mean", "keep"] = "error"
    """What to do with rows of a table where cells are missing: drop them, fill the cells with the column's mean, or
    keep them for models that take missing values, such as gaussian-mixture; that goes for NaN in .npy as well."""
    standardise: bool = False
    """Centre each column of numbers of a table and divide it by its standard deviation."""
    size: tuple[int, ...] = ()
    """Size of images in pixels: one number, or height and width."""
    fit: Literal["error", "resize", "crop"] = "error"
    """How images of another size get it: stretched, or scaled and cut."""
    colour: Literal["grey", "rgb"] | None = None
    """Of images; grey where all are, if not given."""
    bad: Literal["error", "skip"] = "error"
    """What to do with images that can't be read: list them, or leave them out."""

    def changed(self, names: Collection[str]) -> dict[str, Any]:
        """Options that differ from their defaults, as plain JSON."""
        fields = [field for field in dataclasses.fields(self) if field.name in names]
        values = {field.name: (getattr(self, field.name), field.default) for field in fields}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in values.items()
            if value != default
        }


NO_LABELS = "name their column with --label, or use a sub-folder of images for each, or .npz with y"
"""What to do where a conditional model finds no labels."""

READING = tuple(field.name for field in dataclasses.fields(ReadingOptions) if field.name != "data")
"""Names of the options of how."""


@dataclass(kw_only=True)
class DataOptions(ReadingOptions):
    """Data to train on: besides, how they are divided and binarised."""

    validation_fraction: float = VALIDATION_FRACTION
    """Share of the rows that are not for testing to watch while training, and to choose by where --patience is given;
    drawn where the data bring no such part."""
    test_fraction: float = TEST_FRACTION
    """Share of all rows to measure on afterwards; drawn where the data bring no such part."""
    split_seed: int = 0
    """Seed of the parts that are drawn: the same seed gives the same parts."""
    binarisation: Literal["none", "static", "dynamic"] = "none"
    """Of grey pixels: "static" makes each black or white once and for all, "dynamic" anew at every step. Likelihoods
    compare only between models of the same binarisation."""
    binarisation_seed: int = 0
    """Seed of the static binarisation."""
    buffer_bytes: int = BUFFER_BYTES
    """Of .npy files and folders of them: larger ones are read while training, so many bytes of rows at a time."""

    def keywords(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON: the keywords to read the data with, now and again."""
        keywords = self.changed((*READING, "validation_fraction", "test_fraction", "buffer_bytes"))
        if self.split_seed:
            keywords["seed"] = self.split_seed
        if self.binarisation == "static":
            keywords["binarise"] = self.binarisation_seed
        return keywords

    def load(self) -> tuple[DataSet, dict[str, Any]]:
        """The data, and what config.json says of them."""
        data = load_data(self.data, **self.keywords())
        return data, data_note(self.data, self.keywords(), data)


@dataclass(kw_only=True)
class RunDataOptions:
    """Data for a trained model, read as those that it was trained on."""

    data: str | None = None
    """File or named set; the run's own data if not given."""
    label: str | None = None
    """Column of a table with labels, where it is not called as in training."""
    bad: Literal["error", "skip"] | None = None
    """What to do with images that can't be read; as in training if not given."""

    as_written: ClassVar[bool] = False
    """Whether rows of a file are taken as written: not standardised, missing values kept, whatever training did."""

    def load_data(self, run: Path, *, split: bool = True) -> DataSet:
        """The data named on the command line, or else those of the run; see `run_data`."""
        return run_data(run, self.data, self.label, split=split, bad=self.bad, as_written=self.as_written)


def data_note(source: str, keywords: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """What config.json says of the data: enough to read them again, and to match the columns of others."""
    names = None if data.feature_names is None else list(data.feature_names)
    return {
        "source": found_again(source), "keywords": keywords, "split": data.split, "binarisation": data.binarisation,
        "feature_names": names, "preparation": data.preparation,
    }  # fmt: skip


def found_again(source: str) -> str:
    """A file's whole path: the run may be used from another folder."""
    path = Path(source).expanduser()
    return source if source in CATALOGUE or not path.exists() else str(path.resolve())


def noted_data(note: dict[str, Any], *, split: bool = True, as_written: bool = False) -> DataSet:
    """The data of a run again, read as before."""
    keywords = _keywords(note) | recorded_split(note.get("split", {})) | _preparation(note, note["source"], as_written)
    return load_data(note["source"], **(keywords if split else {**keywords, "seed": None}))


def filled_part(data: DataSet, name: str) -> Labelled:
    """A part of the data.

    Raises:
        ValueError: there are no rows in it.
    """
    part = data.part(name)
    if not len(part[0]):
        filled = [f"--part {other}" for other in ("train", "validation", "test") if len(data.part(other)[0])]
        raise ValueError(f"Expected {name} rows in {data.name}, got none; use {' or '.join(filled)}, or --data.")
    return part


def _keywords(note: dict[str, Any]) -> dict[str, Any]:
    return dict(note.get("keywords", {"label": note.get("label")}))


def _preparation(note: dict[str, Any], source: str, as_written: bool = False) -> dict[str, Any]:
    """The keyword that reads a source as the training data were read, where they were more than what it holds.

    Raises:
        ValueError: it is of another kind.
    """
    record, path = note.get("preparation"), Path(source).expanduser()
    if record is None or is_shard_folder(path):  # rows that were made features before
        return {}
    kind = "images" if path.is_dir() else "table" if path.suffix.lower() in TABLES else None
    if record.get("kind") == kind:
        return {"preparation": {**record, "scales": {}} if as_written and kind == "table" else record}
    if record.get("kind") == "images" and kind == "table":
        raise ValueError(f"Expected images, as in training, got {source}; use a folder of images, or .npy.")
    if record.get("kind") == "table" and not Preparation.from_dict(record).plain:
        raise ValueError(
            f"Expected a table with the columns of training, whose means and values the model knows, got {source}; "
            f"use a file that ends in {', '.join(TABLES)}."
        )
    return {}


def _same_preparation(data: DataSet, note: dict[str, Any]) -> DataSet:
    """Rows that were made features before must have been made in the same way."""
    ours, theirs = note.get("preparation"), data.preparation
    if ours is not None and theirs is not None:
        # Labels, skipped files and columns left out are of the source, not of how a row became features.
        keys = ("kind", "columns", "categories", "means", "scales", "size", "colour")
        if [ours.get(key) for key in keys] != [theirs.get(key) for key in keys]:
            raise ValueError(
                f"Expected rows made features as in training, got {data.name}, made otherwise; convert the source anew "
                "with isthmus data convert --like RUN."
            )
    return data


def recorded_preparation(run: Path) -> dict[str, Any] | None:
    """How the rows of a run, or of a folder that `isthmus data convert` wrote, became features."""
    if (run / "conversion.json").exists():
        return read_json(run / "conversion.json").get("preparation")
    return _note(run).get("preparation")


def _note(run: Path) -> dict[str, Any]:
    path = run / "config.json"
    note = (read_json(path) if path.exists() else {}).get("data")
    return checked_note(note, path) if note else {}  # a model that was saved in Python need not say


_NOTE: dict[str, Any] = {
    "source": str, "keywords": dict[str, Any], "split": dict[str, Any], "preparation": dict[str, Any] | None,
    "feature_names": list[str] | None, "label": str | None,
}  # fmt: skip
_KEYWORDS: dict[str, Any] = {
    "validation_fraction": float, "test_fraction": float, "seed": int | None, "binarise": int | None, "drop": list[str],
    "size": list[int], "standardise": bool, "buffer_bytes": int,
    **dict.fromkeys(("label", "text", "missing", "fit", "colour", "bad"), str | None),
}  # fmt: skip


def checked_note(note: Any, path: Path) -> dict[str, Any]:
    """What config.json says of the data, of the types that it should have.

    Raises:
        UnreadableFile: of others.
    """
    value_of({"data": note}, "data", dict[str, Any], path)
    for name, hint in _NOTE.items():
        if name in note or name == "source":
            value_of(note, name, hint, path)
    for part in ("keywords", "split"):
        for name, value in note.get(part, {}).items():
            if name in _KEYWORDS:
                value_of({name: value}, name, _KEYWORDS[name], path)
    return note


def own_units(run: Path, rows: np.ndarray) -> tuple[np.ndarray, list[str] | None]:
    """Rows that a run's model made, in the units of the columns that it was trained on, and their names."""
    note = _note(run)
    record = note.get("preparation")
    if record is None or record.get("kind") != "table":
        return rows, note.get("feature_names")
    preparation = Preparation.from_dict(record)
    return preparation.own_units(rows), list(preparation.feature_names)


def run_data(
    run: Path,
    source: str | None = None,
    label: str | None = None,
    *,
    split: bool = True,
    bad: str | None = None,
    as_written: bool = False,
) -> DataSet:
    """The data named on the command line, or else those that the run was trained on, read in the same way.

    Columns of a table are found by the names that they had in training, with the means and values of the training
    rows; its label column is left out. Images get the size and the colours of those in training. As they are written,
    columns of tables are not standardised, and missing values are NaN, whatever was done with them in training.

    Raises:
        ValueError: no data, or others than in training.
    """
    note = _note(run)
    if source is None:
        if not note:
            raise ValueError(f"Expected data, got none, and {run} does not say what it was trained on; use --data.")
        note = {**note, "keywords": _keywords(note) | ({} if bad is None else {"bad": bad})}
        return noted_data(note, split=split, as_written=as_written)
    ours = _keywords(note)
    # As the model knows pixels; and bad files as in training.
    keywords: dict[str, Any] = {"binarise": ours["binarise"]} if "binarise" in ours else {}
    keywords |= {} if split else {"seed": None}
    path = Path(source).expanduser()
    if path.is_dir() and not is_shard_folder(path) and (bad or "bad" in ours):
        keywords["bad"] = bad or ours["bad"]
    prepared: dict[str, Any] = _preparation(note, source, as_written)
    if as_written or ours.get("missing") == "keep":
        if prepared.get("preparation", {}).get("kind") == "table":
            prepared = {"preparation": {**prepared["preparation"], "missing": "keep"}}
        elif path.suffix.lower() in (".npy", *TABLES):
            keywords["missing"] = "keep"
    data = load_data(source, label=label, **keywords, **prepared)
    return data if as_written and prepared else _same_preparation(data, note)

"""What every command says of data: which ones, how they are read, and what a run records of that."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..data import DataSet, load_data
from ..data.split import TEST_FRACTION, VALIDATION_FRACTION, recorded_split
from ..data.table_preparation import Preparation
from ..data.table_read import TABLES
from ..files import read_json

__all__ = ["DataOptions", "RunDataOptions", "data_note", "noted_data", "own_units", "run_data"]


@dataclass(kw_only=True)
class DataOptions:
    """Data to train on. Fields that are not in `_OWN` are keywords of `load_data` of the same name."""

    data: str = "digits"
    """File or named set; isthmus data list names the sets and the kinds of files."""
    label: str | None = None
    """Column of a table with labels: they colour pictures and score codes, and are not trained on."""
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
    drop: tuple[str, ...] = ()
    """Columns of a table to leave out."""
    text: Literal["error", "drop", "one-hot"] = "error"
    """What to do with a table's columns of text: drop them, or make a feature of 0 or 1 for each value ("one-hot")."""
    missing: Literal["error", "drop-rows", "mean"] = "error"
    """What to do with rows of a table where cells are missing: drop them, or fill the cells with the column's mean."""
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

    def keywords(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON: the keywords to read the data with, now and again."""
        fields = [field for field in dataclasses.fields(DataOptions) if field.name not in _OWN]
        values = {field.name: (getattr(self, field.name), field.default) for field in fields}
        keywords = {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in values.items()
            if value != default
        }
        if self.split_seed:
            keywords["seed"] = self.split_seed
        if self.binarisation == "static":
            keywords["binarise"] = self.binarisation_seed
        return keywords

    def load(self) -> tuple[DataSet, dict[str, Any]]:
        """The data, and what config.json says of them."""
        data = load_data(self.data, **self.keywords())
        return data, data_note(self.data, self.keywords(), data)


_OWN = ("data", "split_seed", "binarisation", "binarisation_seed")
"""Options that have no keyword of their name."""


@dataclass(kw_only=True)
class RunDataOptions:
    """Data for a trained model, read as those that it was trained on."""

    data: str | None = None
    """File or named set; the run's own data if not given."""
    label: str | None = None
    """Column of a table with labels, where it is not called as in training."""
    bad: Literal["error", "skip"] | None = None
    """What to do with images that can't be read; as in training if not given."""

    def load_data(self, run: Path, *, split: bool = True) -> DataSet:
        """The data named on the command line, or else those of the run; see `run_data`."""
        return run_data(run, self.data, self.label, split=split, bad=self.bad)


def data_note(source: str, keywords: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """What config.json says of the data: enough to read them again, and to match the columns of others."""
    names = None if data.feature_names is None else list(data.feature_names)
    return {
        "source": source, "keywords": keywords, "split": data.split, "binarisation": data.binarisation,
        "feature_names": names, "preparation": data.preparation,
    }  # fmt: skip


def noted_data(note: dict[str, Any], *, split: bool = True) -> DataSet:
    """The data of a run again, read as before."""
    keywords = _keywords(note) | recorded_split(note.get("split", {})) | _preparation(note, note["source"])
    return load_data(note["source"], **(keywords if split else {**keywords, "seed": None}))


def _keywords(note: dict[str, Any]) -> dict[str, Any]:
    return dict(note.get("keywords", {"label": note.get("label")}))


def _preparation(note: dict[str, Any], source: str) -> dict[str, Any]:
    """The keyword that reads a source as the training data were read, if it is of their kind.

    Raises:
        ValueError: it is not, and rows of a table were more than its columns.
    """
    record, path = note.get("preparation"), Path(source).expanduser()
    kind = "images" if path.is_dir() else "table" if path.suffix.lower() in TABLES else None
    if record is not None and record.get("kind") == kind:
        return {"preparation": record}
    if record is not None and record.get("kind") == "images" and kind == "table":
        raise ValueError(f"Expected images, as in training, got {source}; use a folder of images, or .npy.")
    if record is not None and record.get("kind") == "table" and not Preparation.from_dict(record).plain:
        raise ValueError(
            f"Expected a table with the columns of training, whose means and values the model knows, got {source}; "
            f"use a file that ends in {', '.join(TABLES)}."
        )
    return {}


def own_units(run: Path, rows: np.ndarray) -> tuple[np.ndarray, list[str] | None]:
    """Rows that a run's model made, in the units of the columns that it was trained on, and their names."""
    config = read_json(run / "config.json") if (run / "config.json").exists() else {}
    note = config.get("data") or {}
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
) -> DataSet:
    """The data named on the command line, or else those that the run was trained on, read in the same way.

    Columns of a table are found by the names that they had in training, with the means and values of the training
    rows; its label column is left out. Images get the size and the colours of those in training.

    Raises:
        ValueError: no data, or others than in training.
    """
    config = read_json(run / "config.json") if (run / "config.json").exists() else {}
    note = config.get("data") or {}
    if source is None:
        if not note:
            raise ValueError(f"Expected data, got none, and {run} does not say what it was trained on; use --data.")
        return noted_data({**note, "keywords": _keywords(note) | ({} if bad is None else {"bad": bad})}, split=split)
    ours = _keywords(note)
    # As the model knows pixels; and bad files as in training.
    keywords = {name: ours[name] for name in ("binarise",) if name in ours} | ({} if split else {"seed": None})
    if Path(source).expanduser().is_dir() and (bad or "bad" in ours):
        keywords["bad"] = bad or ours["bad"]
    return load_data(source, label=label, **keywords, **_preparation(note, source))

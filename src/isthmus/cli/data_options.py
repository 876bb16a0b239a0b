"""What every command says of data: which ones, how they are read, and what a run records of that."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import DataSet, load_data
from ..files import read_json

__all__ = ["DataOptions", "RunDataOptions", "data_note", "noted_data", "run_data"]


@dataclass(kw_only=True)
class DataOptions:
    """Data to train on. Each field but `data` is a keyword of `load_data` of the same name."""

    data: str = "digits"
    """File (.npy, .npz, .csv) or named set (digits, mnist)."""
    label: str | None = None
    """Column of a .csv file with labels: they colour pictures and score codes, and are not trained on."""

    def keywords(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON: the keywords to read the data with, now and again."""
        fields = [field for field in dataclasses.fields(DataOptions) if field.name != "data"]
        values = {field.name: (getattr(self, field.name), field.default) for field in fields}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in values.items()
            if value != default
        }

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
    """Column of a .csv file with labels, where it is not called as in training."""

    def load_data(self, run: Path, *, split: bool = True) -> DataSet:
        """The data named on the command line, or else those of the run; see `run_data`."""
        return run_data(run, self.data, self.label, split=split)


def data_note(source: str, keywords: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """What config.json says of the data: enough to read them again, and to match the columns of others."""
    names = None if data.feature_names is None else list(data.feature_names)
    return {"source": source, "keywords": keywords, "split": data.split, "feature_names": names}


def noted_data(note: dict[str, Any], *, split: bool = True) -> DataSet:
    """The data of a run again, read as before."""
    keywords = _keywords(note)
    return load_data(note["source"], **(keywords if split else {**keywords, "seed": None}))


def _keywords(note: dict[str, Any]) -> dict[str, Any]:
    return dict(note.get("keywords", {"label": note.get("label")}))


def run_data(run: Path, source: str | None = None, label: str | None = None, *, split: bool = True) -> DataSet:
    """The data named on the command line, or else those that the run was trained on.

    Columns of a table are matched by their names to those of the training data; its label column is left out.

    Raises:
        ValueError: no data, or other columns.
    """
    config = read_json(run / "config.json") if (run / "config.json").exists() else {}
    note = config.get("data") or {}
    if source is None:
        if not note:
            raise ValueError(f"Expected data, got none, and {run} does not say what it was trained on; use --data.")
        return noted_data(note, split=split)
    keywords: dict[str, Any] = {} if split else {"seed": None}
    theirs = _keywords(note).get("label")
    if label is None and theirs is not None and Path(source).suffix.lower() == ".csv":
        try:
            data = load_data(source, label=theirs, **keywords)
        except ValueError:  # a table without the label
            data = load_data(source, **keywords)
    else:
        data = load_data(source, label=label, **keywords)
    return _same_columns(data, note)


def _same_columns(data: DataSet, note: dict[str, Any]) -> DataSet:
    names, ours = note.get("feature_names"), data.feature_names
    if not names or not ours or list(names) == list(ours):
        return data
    if sorted(names) != sorted(ours):
        raise ValueError(f"Expected the columns {', '.join(names)}, as in training, got {', '.join(ours)}.")
    order = [list(ours).index(name) for name in names]
    return data._replace(x_train=data.x_train[:, order], x_test=data.x_test[:, order], feature_names=tuple(names))

"""How columns become features: learnt from the training rows of a table, applied to those and to any other table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from .table import Table, is_text, listed, missing_cells, quoted

__all__ = ["MAX_CATEGORIES", "Missing", "Preparation", "label_values", "learn"]

MAX_CATEGORIES = 1_000
"""Different values of a text column up to which each gets a feature: beyond, it is names or free text."""

Missing = Literal["error", "drop-rows", "mean", "keep"]
"""What to do where cells are missing; those kept are NaN in the features."""


@dataclass(frozen=True)
class Preparation:
    """From the columns of a table to features, as plain numbers and words: the same for every file a model sees.

    A column of numbers is one feature: its missing cells filled with the mean of the training rows if so wished,
    centred and divided by its deviation there if so wished. A column of text is a feature of 0 or 1 for each value
    that the training rows had, named `column=value`; a missing cell and a value they did not have are 0 in all. Where
    missing cells are kept, they are NaN, in all features of their column.

    Attributes:
        columns: those that become features, in their order.
        label: the column of labels, or None.
        left_out: columns that are there and not used.
        missing: what happens to rows with missing cells.
        categories: text column -> its values, sorted.
        means: number column -> mean of the training rows, where cells are filled or columns standardised.
        scales: number column -> standard deviation of the training rows, where columns are standardised.
        dtype: of the features, "uint8" (pixels), "float32" or "float64".

    Example:
        >>> table = Table(("a", "b"), (np.array([1.0, 3.0, np.nan]), np.array(["x", "y", "x"], dtype=object)))
        >>> preparation = learn(Preparation(("a", "b"), missing="mean"), [table])
        >>> preparation.feature_names, preparation.features(table).tolist()
        (('a', 'b=x', 'b=y'), [[1.0, 1.0, 0.0], [3.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    """

    columns: tuple[str, ...]
    label: str | None = None
    left_out: tuple[str, ...] = ()
    missing: Missing = "error"
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    dtype: str = "float64"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One for each feature."""
        names = [
            [f"{c}={value}" for value in self.categories[c]] if c in self.categories else [c] for c in self.columns
        ]
        return tuple(name for group in names for name in group)

    @property
    def plain(self) -> bool:
        """Whether features are just the columns, so that rows without names of columns can be features as well."""
        return not (self.categories or self.means or self.scales)

    def features(self, table: Table) -> np.ndarray:
        """The rows of a table as features, (n, n_features).

        Raises:
            ValueError: text in a column of numbers.
        """
        pixels = self.dtype == "uint8" and all(table[name].dtype == np.uint8 for name in self.columns)
        dtype = np.uint8 if pixels else np.float64 if self.dtype == "uint8" else np.dtype(self.dtype)
        x = np.zeros((len(table), len(self.feature_names)), dtype)
        at = 0
        for name in self.columns:
            column = table[name]
            if name in self.categories:
                marks = x[:, at : at + len(self.categories[name])]
                _mark(marks, column, self.categories[name])
                if self.missing == "keep":
                    marks[missing_cells(column)] = np.nan
                at += len(self.categories[name])
                continue
            if is_text(column):
                example = next(cell for cell in column if cell is not None)
                raise ValueError(f"Expected numbers in {name!r}, as in training, got {example!r}; use such a table.")
            if self.missing == "mean" and column.dtype.kind == "f":
                column = np.where(np.isnan(column), self.means[name], column)
            if name in self.scales:
                column = (column.astype(np.float64) - self.means[name]) / self.scales[name]
            x[:, at] = column
            at += 1
        if self.dtype == "uint8" and not pixels and ((x >= 0) & (x <= 255) & (x == np.rint(x))).all():
            return x.astype(np.uint8)  # pixels that another file holds as other numbers
        return x

    def own_units(self, x: np.ndarray) -> np.ndarray:
        """Features, perhaps rebuilt or drawn by a model, in the units of the table's columns, (n, n_features)."""
        if not self.scales:
            return x
        means, scales = self._units
        return x * scales + means

    def standardised(self, x: np.ndarray) -> np.ndarray:
        """Features in the units of the table's columns, (n, n_features), as `features` would have given them."""
        if not self.scales:
            return x
        means, scales = self._units
        return ((x.astype(np.float64) - means) / scales).astype(self.dtype)

    @property
    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each feature that was standardised; 0 and 1 of others."""
        names = self.feature_names
        means = [self.means[name] if name in self.scales else 0.0 for name in names]
        return np.array(means), np.array([self.scales.get(name, 1.0) for name in names])

    def missing_by_column(self, table: Table) -> dict[str, int]:
        """Missing cells that matter, by column: where others are filled, text does not, as it is 0 for each value."""
        counts = {name: int(missing_cells(table[name]).sum()) for name in self.columns}
        return {name: n for name, n in counts.items() if n and not (self.missing == "mean" and name in self.categories)}

    def unknown(self, table: Table) -> dict[str, int]:
        """Cells of text whose value the training rows did not have, by column."""
        counts = {}
        for name, values in self.categories.items():
            known = {None, *values}
            counts[name] = sum(cell not in known for cell in _as_text(table[name]))
        return {name: n for name, n in counts.items() if n}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, to be recorded."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"kind": "table"} | plain | {"categories": {name: list(v) for name, v in self.categories.items()}}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Preparation:
        """From what `to_dict` gave.

        Raises:
            ValueError: a record of something else.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            values: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in record.items() if name in names
            }
            values["categories"] = {name: tuple(map(str, v)) for name, v in record.get("categories", {}).items()}
            for key in ("means", "scales"):
                values[key] = {name: float(v) for name, v in record.get(key, {}).items()}
            found = cls(**values)
            known = found.dtype in ("uint8", "float32", "float64") and found.missing in get_args(Missing)
            filled = found.missing != "mean" or set(found.columns) <= {*found.means, *found.categories}
            scaled = set(found.scales) <= set(found.means) and all(0 < s < math.inf for s in found.scales.values())
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"Expected the record of a table's preparation, got something else ({error}).") from error
        if record.get("kind") != "table" or not (known and filled and scaled):
            raise ValueError("Expected the record of a table's preparation, got something else.")
        return found


def learn(preparation: Preparation, pieces: Iterable[Table], *, standardise: bool = False) -> Preparation:
    """Complete a preparation by what the training rows say: means, deviations, values of text, precision.

    Raises:
        ValueError: a column without any value, infinite cells, or too many values of text.
    """
    columns = {name: _Statistics(name) for name in preparation.columns}
    for piece in pieces:
        for name, statistics in columns.items():
            statistics.add(piece[name])
    fill = preparation.missing == "mean"
    numbers = {name: s for name, s in columns.items() if s.values is None}
    means = {name: s.mean for name, s in numbers.items() if fill or standardise}
    scales = {name: s.deviation(filled=fill) for name, s in numbers.items() if standardise}
    empty = [name for name, s in columns.items() if not s.n]
    if empty and (means or len(numbers) < len(columns) or preparation.missing == "keep"):
        raise ValueError(
            f"Expected a value in some training row of each column, got none in {quoted(empty)}; "
            f"use --drop {' '.join(empty)}."
        )
    unlike = [name for name, s in columns.items() if s.values and s.n >= FEW and len(s.values) > s.n / 2]
    if unlike:
        raise ValueError(
            f"Expected values of text that repeat, got another one in most rows of {quoted(unlike)} (names, dates, or "
            f"numbers with a decimal comma?); use --drop {' '.join(unlike)}."
        )
    large = [name for name in means if not math.isfinite(means[name] + scales.get(name, 0.0))]
    if large:
        raise ValueError(
            f"Expected finite numbers of moderate size in {quoted(large)}, got infinite or huge ones; mend those cells."
        )
    dtypes = {dtype for s in columns.values() for dtype in s.dtypes} or {np.dtype(np.float32)}
    pixels = dtypes == {np.dtype(np.uint8)} and not means and len(numbers) == len(columns)
    dtype = np.dtype(np.uint8) if pixels else np.result_type(np.float32, *dtypes)
    values = {name: tuple(sorted(s.values)) for name, s in columns.items() if s.values is not None}
    return dataclasses.replace(
        preparation,
        categories=values,
        means=means,
        scales=scales,
        dtype="float64" if dtype.itemsize > 4 else dtype.name,
    )


FEW = 50
"""Rows below which text that never repeats may be chance."""


class _Statistics:
    """Of one column, gathered piece by piece: count, mean and squared deviations, or the values of text."""

    def __init__(self, name: str):
        self.name, self.n, self.n_missing = name, 0, 0
        self.mean, self.squares = 0.0, 0.0
        self.values: set[str] | None = None
        self.dtypes: set[np.dtype] = set()

    def add(self, column: np.ndarray) -> None:
        absent = missing_cells(column)
        self.n_missing += int(absent.sum())
        present = column[~absent]
        if is_text(column):
            self.values = (self.values or set()) | set(present)
            self.n += len(present)
            if len(self.values) > MAX_CATEGORIES:
                raise ValueError(
                    f"Expected at most {MAX_CATEGORIES:,} different values in {self.name!r} for a feature of each, "
                    f"got more; use --drop {self.name}."
                )
            return
        self.dtypes.add(column.dtype)
        if not len(present):
            return
        with np.errstate(over="ignore", invalid="ignore"):  # told afterwards, where it matters
            mean = float(present.mean(dtype=np.float64))
            squares = float(np.square(present.astype(np.float64) - mean).sum())
            n, apart = self.n + len(present), mean - self.mean
            self.squares += squares + apart * apart * self.n * len(present) / n
            self.mean += apart * len(present) / n
            self.n = n

    def deviation(self, *, filled: bool) -> float:
        """Standard deviation of the column as it will be, filled cells at the mean; 1 where it is constant."""
        n = self.n + self.n_missing * filled
        deviation = math.sqrt(self.squares / n) if n else 0.0
        return deviation if deviation > 10 * np.finfo(float).eps * abs(self.mean) else 1.0


def label_values(column: np.ndarray, title: str) -> np.ndarray:
    """Labels of a column: integers where all are, else numbers, else text.

    Raises:
        ValueError: cells are missing.
    """
    absent = np.flatnonzero(missing_cells(column))
    if len(absent):
        rows = listed([str(row) for row in absent])
        raise ValueError(
            f"Expected a label in every row of {title}, got none in row {rows}; fill them, or use --missing drop-rows."
        )
    if is_text(column):
        for kind, dtype in ((int, np.int64), (float, np.float64)):
            try:
                return np.array([kind(cell) for cell in column], dtype=dtype)
            except (ValueError, OverflowError):
                continue
        return np.array([str(cell) for cell in column])
    whole = column.dtype.kind == "f" and np.isfinite(column).all() and (column == np.rint(column)).all()
    return column.astype(np.int64) if whole and len(column) and np.abs(column).max() < 2**53 else column


def _as_text(column: np.ndarray) -> Iterable[str | None]:
    """Cells as text, also where a typed file holds categories as numbers."""
    if is_text(column):
        return column
    absent = missing_cells(column)
    cells = [int(cell) if cell == int(cell) else cell for cell in np.where(absent, 0, column).tolist()]
    return [None if gone else str(cell) for cell, gone in zip(cells, absent, strict=True)]


def _mark(x: np.ndarray, column: np.ndarray, values: tuple[str, ...]) -> None:
    """Put a 1 where a row has a value."""
    place: dict[str | None, int] = {value: i for i, value in enumerate(values)}
    at = np.array([place.get(cell, -1) for cell in _as_text(column)], dtype=int)
    rows = np.flatnonzero(at >= 0)
    x[rows, at[rows]] = 1

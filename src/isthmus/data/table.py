"""Comma-separated tables: one example a row, numbers throughout, a label column if named."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from .dataset import DataSet, make_data_set

__all__ = ["read_csv"]

_SHOWN = 5


def read_csv(path: Path, *, label: str | None = None, seed: int | None = 0) -> DataSet:
    """Examples from a table, split at random.

    The first row is a header if some cell in it is no number while the column below is numeric, or if none of its
    cells is a number. Fields are separated by comma, semicolon or tab.

    Args:
        path: the file, UTF-8.
        label: name of the column with the labels, or its number from 0; negative numbers count from the right.
        seed: of the split.

    Raises:
        ValueError: not text, empty, rows of different length, no such label column, or cells that are no numbers.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            sample = file.readline()
            delimiter = max(",;\t", key=sample.count)
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
    except OSError as error:
        raise ValueError(f"Expected a readable file at {path}, got: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"Expected a table in UTF-8 text in {path}, got something else ({error}).") from error
    if not rows:
        raise ValueError(f"Expected a table in {path}, got an empty file.")
    header = [name.strip() for name in rows[0]] if _has_header(rows) else None
    body = rows[1:] if header else rows
    if not body:
        raise ValueError(f"Expected at least one row of numbers in {path}, got only a header.")
    _check_lengths(body, len(rows[0]), path)
    names = header or [f"column {i}" for i in range(len(rows[0]))]
    target = None if label is None else _label_column(label, header, len(names), path)
    columns = [i for i in range(len(names)) if i != target]
    x = _numbers(body, columns, names, path)
    y = None if target is None else _labels([row[target].strip() for row in body])
    feature_names = tuple(names[i] for i in columns)
    description = f"Read from {path.name}" + (f", labelled by {names[target]}" if target is not None else "")
    return make_data_set(path.stem, (x, y), None, description=description, feature_names=feature_names, seed=seed)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_header(rows: list[list[str]]) -> bool:
    first = [_is_number(cell) for cell in rows[0]]
    if not any(first):
        return True
    below = [row for row in rows[1:21] if len(row) == len(first)]
    return any(not number and below and all(_is_number(row[i]) for row in below) for i, number in enumerate(first))


def _check_lengths(body: list[list[str]], n_columns: int, path: Path) -> None:
    for i, row in enumerate(body):
        if len(row) != n_columns:
            raise ValueError(f"Expected {n_columns} columns in every row of {path}, got {len(row)} in row {i}.")


def _label_column(label: str, header: list[str] | None, n_columns: int, path: Path) -> int:
    if header is not None and header.count(label) > 1:
        raise ValueError(f"Expected one column {label!r} in {path}, got {header.count(label)}; use its number.")
    if header is not None and label in header:
        target = header.index(label)
    else:
        try:
            target = int(label)
        except ValueError:
            known = _listed([repr(name) for name in header]) if header else "no header"
            raise ValueError(f"Expected a column {label!r} in {path}, got {known}.") from None
        if not -n_columns <= target < n_columns:
            raise ValueError(f"Expected a label column below {n_columns} in {path}, got {label}.")
        target %= n_columns
    if n_columns == 1:
        raise ValueError(f"Expected a feature besides the label {label!r} in {path}, got one column.")
    return target


def _numbers(body: list[list[str]], columns: list[int], names: list[str], path: Path) -> np.ndarray:
    x = np.empty((len(body), len(columns)))
    wrong = {}  # column -> (row, cell) of its first cell that is no number
    for j, column in enumerate(columns):
        cells = [row[column] for row in body]
        try:
            x[:, j] = [float(cell) for cell in cells]
        except ValueError:
            wrong[column] = next((i, cell) for i, cell in enumerate(cells) if not _is_number(cell))
    if wrong:
        column, (row, cell) = next(iter(wrong.items()))
        some = _listed([repr(names[i]) for i in wrong])
        what = f"{cell!r}" if cell.strip() else "an empty cell"
        raise ValueError(
            f"Expected numbers in {path}, got other text in {some} (row {row} of {names[column]!r} holds {what}); "
            "drop or encode such columns, fill empty cells, or name one of them as the label."
        )
    return x


def _labels(cells: list[str]) -> np.ndarray:
    """Integers where all are, else the text: numbers with a fraction keep theirs as floats."""
    for kind in (int, float):
        try:
            return np.array([kind(cell) for cell in cells])
        except (ValueError, OverflowError):
            continue
    return np.array(cells)


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more

"""Tables of text: one example a row, fields separated by comma, semicolon or tab, with or without a header."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .table import Table, index_columns, text_column, unique

__all__ = ["MISSING", "CsvTable", "is_number"]

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "#n/a", "<na>", "?"))
"""Cells that hold no value, in small letters."""

_ROWS = 10_000  # of a piece: enough for NumPy to be quick, and little memory
_TRUTH = {"true": 1.0, "false": 0.0}


class CsvTable:
    """A table in a text file.

    The first row is a header if some cell in it is no number while the column below is numeric, or if none of its
    cells is a number. A column is numbers if all its cells are, or all of them `true` or `false`; else it is text.

    Args:
        path: the file, UTF-8.

    Raises:
        ValueError: not text, empty, or rows of different length.
    """

    def __init__(self, path: Path):
        self.path, self.title = path, path.name
        self.unfit: dict[str, str] = {}
        with _errors(path), open(path, encoding="utf-8-sig", newline="") as file:
            sample = file.readline()
            self._delimiter = max(",;\t", key=sample.count)
        first = list(itertools.islice(self._rows(), 21))
        if not first:
            raise ValueError(f"Expected a table in {path}, got an empty file.")
        self._header = _has_header(first)
        self._width = len(first[0])
        given = [name.strip() for name in first[0]] if self._header else []
        self.index = index_columns(given)
        numbered = [f"column {i}" for i in range(self._width)]
        # Only the first column may go without a name: pandas writes the numbers of rows there.
        self.names = unique(
            name if name or (i == 0 and self.index) else numbered[i] for i, name in enumerate(given or numbered)
        )
        self.n_rows, self.text = 0, {}
        self._find_kinds()

    def pieces(self, names: Sequence[str], as_text: Collection[str] = ()) -> Iterator[Table]:
        """The rows in order, only these columns; those in `as_text` as text even where they hold numbers."""
        places = {name: i for i, name in enumerate(self.names)}
        columns = [(places[name], name in as_text or name in self.text) for name in names]
        for block in self._blocks():
            kept = [_texts(block[i]) if text else _numbers(block[i])[0] for i, text in columns]
            yield Table(tuple(names), tuple(kept))

    def _find_kinds(self) -> None:
        kinds: list[set[str]] = [set() for _ in self.names]
        for block in self._blocks():
            for i, name in enumerate(self.names):
                if name in self.text:
                    continue
                _, found = _numbers(block[i])
                kinds[i] |= found.keys()
                if "text" in kinds[i] or len(kinds[i]) > 1:  # truth values between numbers are words as well
                    row, cell = found.get("text") or found.get("truth") or next(iter(found.values()))
                    self.text[name] = f"{cell!r} in row {self.n_rows + row}"
            self.n_rows += len(block[0])
        if not self.n_rows:
            raise ValueError(f"Expected at least one row of numbers in {self.path}, got only a header.")

    def _blocks(self) -> Iterator[list[tuple[str, ...]]]:
        """Columns of some rows, as text."""
        rows, start = itertools.islice(self._rows(), int(self._header), None), 0
        while block := list(itertools.islice(rows, _ROWS)):
            for i, row in enumerate(block):
                if len(row) != self._width:
                    got = f"{len(row)} in row {start + i}"
                    raise ValueError(f"Expected {self._width} columns in every row of {self.path}, got {got}.")
            start += len(block)
            yield list(zip(*block, strict=True))

    def _rows(self) -> Iterator[list[str]]:
        with _errors(self.path), open(self.path, encoding="utf-8-sig", newline="") as file:
            yield from filter(None, csv.reader(file, delimiter=self._delimiter))


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """What a file does wrong, as a ValueError with its name."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"Expected a readable file at {path}, got: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"Expected a table in UTF-8 text in {path}, got something else ({error}); save it as UTF-8."
        ) from error


def _numbers(cells: Sequence[str]) -> tuple[np.ndarray, dict[str, tuple[int, str]]]:
    """Cells as numbers, NaN where they are none; and the kinds found: kind -> (row, cell) of the first of it."""
    try:
        if "_" not in "".join(cells):  # Python reads 1_000 as a number, nobody else does
            return np.array(list(map(float, cells))), {"number": (0, cells[0])}
    except ValueError:
        pass
    found: dict[str, tuple[int, str]] = {}
    values = np.full(len(cells), math.nan)
    for row, cell in enumerate(map(str.strip, cells)):
        if cell.lower() in MISSING:
            continue
        kind = "number" if is_number(cell) else "truth" if cell.lower() in _TRUTH else "text"
        if kind != "text":
            values[row] = float(cell) if kind == "number" else _TRUTH[cell.lower()]
        found.setdefault(kind, (row, cell))
    return values, found


def _texts(cells: Sequence[str]) -> np.ndarray:
    return text_column([None if cell.lower() in MISSING else cell for cell in map(str.strip, cells)])


def is_number(cell: str) -> bool:
    """Whether a cell is a number as tables write them."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _has_header(rows: list[list[str]]) -> bool:
    first = [is_number(cell) for cell in rows[0]]
    if not any(first):
        return True
    below = [row for row in rows[1:] if len(row) == len(first)]
    for i, number in enumerate(first):
        cells = [row[i].strip() for row in below if row[i].strip().lower() not in MISSING]
        if not number and rows[0][i].strip() and cells and all(map(is_number, cells)):
            return True
    return False

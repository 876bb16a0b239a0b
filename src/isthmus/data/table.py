"""What every table is here, wherever it comes from: named columns of numbers or of text, in pieces of some rows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

__all__ = [
    "Table",
    "TableSource",
    "column_of",
    "index_columns",
    "is_text",
    "joined",
    "listed",
    "missing_cells",
    "quoted",
    "resolve",
    "text_column",
    "unique",
]

_SHOWN = 5
_INDEX_NAMES = ("", "Unnamed: 0")


@dataclass(frozen=True)
class Table:
    """Some rows of a table.

    Attributes:
        names: of the columns, each once.
        columns: (n,) each: numbers, with NaN where a cell is missing, or text as objects, with None where one is.
    """

    names: tuple[str, ...]
    columns: tuple[np.ndarray, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[self._places[name]]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def rows(self, rows: np.ndarray) -> Table:
        """These rows, by number or by mask."""
        return Table(self.names, tuple(column[rows] for column in self.columns))


class TableSource(Protocol):
    """What each reader of tables has: a description of the columns, and their rows piece by piece.

    Attributes:
        title: what errors call it.
        names: of the columns, each once.
        unfit: name -> kind, of columns that are neither numbers nor text, such as lists.
        text: name -> an example in quotes, of columns of text.
        index: columns that only number the rows, as pandas writes them.
        n_rows: rows of all pieces together.
    """

    title: str
    names: tuple[str, ...]
    unfit: dict[str, str]
    text: dict[str, str]
    index: tuple[str, ...]
    n_rows: int

    def pieces(self, names: Sequence[str], as_text: Collection[str] = ()) -> Iterator[Table]:
        """The rows in order, only these columns; a source without types leaves those in `as_text` as text."""
        ...


def is_text(column: np.ndarray) -> bool:
    """Whether a column holds text rather than numbers."""
    return column.dtype.kind == "O"


def missing_cells(column: np.ndarray) -> np.ndarray:
    """Where cells are missing, (n,) of booleans."""
    if is_text(column):
        return np.fromiter((cell is None for cell in column), bool, len(column))
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)


def joined(pieces: Iterable[Table]) -> Table:
    """Pieces as one table; memory for it twice while it is put together."""
    tables = list(pieces)
    if len(tables) == 1:
        return tables[0]
    columns = zip(*(table.columns for table in tables), strict=True)
    return Table(tables[0].names, tuple(np.concatenate(parts) for parts in columns))


def column_of(values: Sequence[Any]) -> np.ndarray | str:
    """A column from Python objects, None or NaN where a cell is missing; or, where it can't be one, what they are."""
    kept = [None if isinstance(value, float | np.floating) and np.isnan(value) else value for value in values]
    present = [value for value in kept if value is not None]
    if all(isinstance(value, bool | np.bool_) for value in present) or all(map(_is_real, present)):
        if not present or len(present) < len(kept):
            return np.array([math.nan if value is None else float(value) for value in kept], dtype=float)
        numbers = np.array([value if isinstance(value, bool | int | float) else float(value) for value in present])
        return numbers.astype(float) if numbers.dtype.kind == "O" else numbers  # integers of more than 64 bits
    odd = next((value for value in present if isinstance(value, list | tuple | dict | set | bytes | np.ndarray)), None)
    if odd is not None:
        return type(odd).__name__
    return text_column([None if value is None else str(value) for value in kept])


def text_column(cells: Sequence[str | None]) -> np.ndarray:
    """A column of text; None where a cell is missing."""
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column


def _is_real(value: Any) -> bool:
    if isinstance(value, str | bytes | bool | np.bool_ | list | tuple | dict | np.ndarray):
        return False
    return isinstance(value, int | float | np.number) or type(value).__name__ in ("Decimal", "Fraction")


def unique(names: Iterable[Any]) -> tuple[str, ...]:
    """Names as text, each once: "u", "u" become "u", "u (2)"."""
    found: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for name in map(str, names):
        new = name
        while new in found:
            numbers[name] = numbers.get(name, 1) + 1
            new = f"{name} ({numbers[name]})"
        found[new] = None
    return tuple(found)


def index_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Columns in which pandas writes the numbers of rows: the first one without a name, and `__index_level_0__`."""
    first = [name for name in names[:1] if name in _INDEX_NAMES and any(names[1:])]
    return (*first, *(name for name in names if name.startswith("__index_level_")))


def resolve(column: str, source: TableSource, what: str) -> str:
    """The name of a column that is given by its name, or by its number from 0, negative ones from the right.

    Raises:
        ValueError: there is none.
    """
    if f"{column} (2)" in source.names:
        n = 1 + sum(name.startswith(f"{column} (") for name in source.names)
        raise ValueError(f"Expected one column {column!r} in {source.title}, got {n}; use its number.")
    if column in source.names:
        return column
    n = len(source.names)
    try:
        number = int(column)
    except ValueError:
        close = difflib.get_close_matches(column, source.names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(
            f"Expected a column {column!r} as the {what} in {source.title}, got {quoted(source.names)}{hint}"
        ) from None
    if not -n <= number < n:
        raise ValueError(f"Expected a {what} column below {n} in {source.title}, got {column}.")
    return source.names[number]


def quoted(items: Iterable[str]) -> str:
    """Names in quotes, the first few of many."""
    return listed([repr(item) for item in items])


def listed(items: Sequence[str]) -> str:
    """The first few of many, and how many more there are."""
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more

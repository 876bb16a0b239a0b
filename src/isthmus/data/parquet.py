"""Parquet files: typed columns, read piece by piece with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .table import Table, index_columns, text_column, unique

__all__ = ["ParquetTable"]

_ROWS = 65_536  # of a piece


class ParquetTable:
    """A table in a Parquet file. Integers with missing cells, decimals and dictionaries are read as what they hold.

    Args:
        path: the file.

    Raises:
        ValueError: pyarrow is missing, or the file is truncated or foreign.
    """

    def __init__(self, path: Path):
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise ValueError(
                f"Expected pyarrow to read {path}, got none; install it with: pip install 'isthmus[tables]'"
            ) from error
        self.path, self.title = path, path.name
        with _errors(path):
            # What is read ahead would be kept until the end: all of the file.
            self._file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
            schema = self._file.schema_arrow
        self.names = unique(schema.names)
        self.n_rows = self._file.metadata.num_rows
        self._given = list(schema.names)
        self._types = list(schema.types)
        kinds = [_kind(kind) for kind in self._types]
        self.unfit = {name: str(kind) for name, kind, what in self._zip(kinds) if what == "unfit"}
        self.text = {}
        for name, kind, what in self._zip(kinds):
            if what == "text":
                self.text[name] = "dates or times" if _is_temporal(kind) else self._example(name)
        self.index = tuple(dict.fromkeys((*index_columns(self.names), *_pandas_index(schema.metadata, self.names))))
        if not self.n_rows:
            raise ValueError(f"Expected at least one row in {path}, got none.")

    def pieces(self, names: Sequence[str], as_text: Collection[str] = ()) -> Iterator[Table]:
        """The rows in order, only these columns."""
        numbers = {name: i for i, name in enumerate(self.names)}
        places = [numbers[name] for name in names]
        once = len(set(self._given)) == len(self._given)
        with _errors(self.path):
            for batch in self._file.iter_batches(_ROWS, columns=[self._given[i] for i in places] if once else None):
                order = [batch.schema.names.index(self._given[i]) for i in places] if once else places
                yield Table(tuple(names), tuple(_column(batch.column(i)) for i in order))

    def _zip(self, kinds: list[str]) -> Iterator[tuple[str, Any, str]]:
        return zip(self.names, self._types, kinds, strict=True)

    def _example(self, name: str) -> str:
        with _errors(self.path):
            for piece in self.pieces([name]):
                return next((f"such as {cell!r}" for cell in piece[name] if cell is not None), "empty")
        return "empty"


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """What pyarrow says of a file, as a ValueError with its name."""
    import pyarrow

    try:
        yield
    except MemoryError:  # pyarrow's own is an ArrowException as well
        raise
    except (pyarrow.ArrowException, OSError) as error:
        what = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"Expected a readable Parquet file at {path}, got a truncated or foreign one ({what})."
        ) from error


def _kind(kind: Any) -> str:
    """ "number", "text" or "unfit"."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_boolean(kind) or types.is_null(kind):
        return "number"
    text = (types.is_string(kind), types.is_large_string(kind), types.is_string_view(kind), _is_temporal(kind))
    return "text" if any(text) else "unfit"


def _is_temporal(kind: Any) -> bool:
    from pyarrow import types

    return types.is_temporal(kind)


def _column(array: Any) -> np.ndarray:
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _kind(array.type) == "text":
        return text_column(array.cast(pyarrow.string()).to_pylist())
    whole = types.is_integer(array.type) or types.is_boolean(array.type)
    if not types.is_floating(array.type) and (array.null_count or not whole):
        # Missing cells are NaN, which integers do not have; those beyond 2^53 are rounded, as they are in any float.
        array = array.cast(pyarrow.float64(), safe=False)
    return array.to_numpy(zero_copy_only=False)


def _pandas_index(metadata: dict[bytes, bytes] | None, names: Sequence[str]) -> list[str]:
    """Columns that were the index of the pandas frame that was written."""
    try:
        found = json.loads((metadata or {})[b"pandas"])["index_columns"]
        return [name for name in found if isinstance(name, str) and name in names]
    except (KeyError, ValueError, TypeError):
        return []

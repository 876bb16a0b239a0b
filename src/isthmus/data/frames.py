"""Tables in memory: pandas and polars frames, without importing either where nobody uses it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from .table import Table, column_of, index_columns, is_text, text_column, unique

__all__ = ["FrameTable", "is_frame"]


def is_frame(value: Any) -> bool:
    """Whether something is a pandas or polars frame."""
    kind = type(value)
    return kind.__module__.partition(".")[0] in ("pandas", "polars") and kind.__name__ in ("DataFrame", "LazyFrame")


class FrameTable:
    """A pandas or polars frame as a table; a pandas frame's index is no column.

    Args:
        frame: with rows and columns; a lazy polars frame is collected.

    Raises:
        TypeError: something else.
        ValueError: no rows.
    """

    def __init__(self, frame: Any):
        if not is_frame(frame):
            raise TypeError(f"Expected a pandas or polars frame, got {type(frame).__name__}.")
        library = type(frame).__module__.partition(".")[0]
        frame = frame.collect() if hasattr(frame, "collect") else frame
        self.title = f"the {library} frame"
        self.names = unique(frame.columns)
        self.n_rows = len(frame)
        if not self.n_rows:
            raise ValueError(f"Expected at least one row in {self.title}, got none.")
        read = _pandas_column if library == "pandas" else _polars_column
        series = [frame.iloc[:, i] if library == "pandas" else frame.to_series(i) for i in range(len(self.names))]
        columns = {name: read(one) for name, one in zip(self.names, series, strict=True)}
        self.unfit = {name: column for name, column in columns.items() if isinstance(column, str)}
        self._columns = {name: column for name, column in columns.items() if not isinstance(column, str)}
        self.text = {name: _example(column) for name, column in self._columns.items() if is_text(column)}
        self.index = index_columns(self.names)

    def pieces(self, names: Sequence[str], as_text: Collection[str] = ()) -> Iterator[Table]:
        """All rows, only these columns."""
        yield Table(tuple(names), tuple(self._columns[name] for name in names))


def _example(column: np.ndarray) -> str:
    return next((f"such as {cell!r}" for cell in column if cell is not None), "empty")


def _pandas_column(series: Any) -> np.ndarray | str:
    import pandas as pd

    kind, absent = series.dtype, series.isna().to_numpy()
    if isinstance(kind, pd.CategoricalDtype):
        values = _pandas_column(pd.Series(kind.categories))
        return values if isinstance(values, str) else _taken(values, np.asarray(series.cat.codes))
    if pd.api.types.is_complex_dtype(kind):
        return str(kind)
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
        if absent.any():
            wide = np.float32 if kind == np.float32 else np.float64
            return series.to_numpy(dtype=wide, na_value=np.nan)
        return series.to_numpy(dtype=getattr(kind, "numpy_dtype", kind))
    objects = series.astype(object).to_numpy()
    return _text_or(column_of([None if gone else value for value, gone in zip(objects, absent, strict=True)]), kind)


def _polars_column(series: Any) -> np.ndarray | str:
    import polars as pl

    kind = series.dtype
    if kind.is_numeric() and not kind.is_decimal() and not series.null_count():
        return series.to_numpy()
    if kind == pl.Boolean and not series.null_count():
        return series.to_numpy()
    if kind == pl.Float32:
        return series.to_numpy()
    if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
        return series.cast(pl.Float64).to_numpy()
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        return str(kind)
    cells = series.to_list() if kind == pl.Duration else series.cast(pl.String).to_list()
    return _text_or(column_of(cells), kind)


def _text_or(column: np.ndarray | str, kind: Any) -> np.ndarray | str:
    """A column, of text where it has no value at all but the type says so."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "f" and np.isnan(column).all() and str(kind) != "object":
        return text_column([None] * len(column))
    return column


def _taken(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Categories by their numbers; -1 is a missing cell."""
    if is_text(values):
        return text_column([*values, None])[codes]
    if (codes >= 0).all():
        return values[codes]
    return np.append(values.astype(np.float64), np.nan)[codes]

"""Frames whose missing cells are filled: all else of them stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["filled_frame"]


def filled_frame(frame: Any, values: np.ndarray, *, known: bool = False) -> Any:
    """A pandas or polars frame with values where a cell is missing; known cells, columns and index are as they were.

    A column without a missing cell keeps its dtype, and so does one of floats; another one becomes float64, as what is
    expected of whole numbers is none.

    Args:
        frame: n rows of F columns of numbers.
        values: for its missing cells, (n, F).
        known: put values in place of known cells as well.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"a": [1, 2], "b": [0.1, None]}, index=["x", "y"])
        >>> filled_frame(frame, np.full((2, 2), 5.0))
           a    b
        x  1  0.1
        y  2  5.0
    """
    of_pandas = type(frame).__module__.partition(".")[0] == "pandas"
    return (_pandas if of_pandas else _polars)(frame, values, known)


def _pandas(frame: Any, values: np.ndarray, replaced: bool) -> Any:
    import pandas as pd

    result = frame.copy()
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        missing = column.isna().to_numpy() | replaced
        if missing.any():
            known = column.to_numpy(dtype=np.float64, na_value=np.nan)
            nullable = "Float64" if pd.api.types.is_extension_array_dtype(column.dtype) else "float64"
            kind = column.dtype if pd.api.types.is_float_dtype(column.dtype) else nullable
            filled: Any = np.where(missing, values[:, i], known)
            result.isetitem(i, pd.array(filled).astype(kind))
    return result


def _polars(frame: Any, values: np.ndarray, replaced: bool) -> Any:
    import polars as pl

    columns = []
    for i in range(frame.shape[1]):
        column = frame.to_series(i)
        known = column.cast(pl.Float64).to_numpy()
        missing = np.isnan(known) | replaced
        if missing.any():
            kind = column.dtype if column.dtype.is_float() else pl.Float64
            columns.append(pl.Series(column.name, np.where(missing, values[:, i], known)).cast(kind))
    return frame.with_columns(columns)

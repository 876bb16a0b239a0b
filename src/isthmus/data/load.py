"""One door for all data: a name or a path."""

from __future__ import annotations

from pathlib import Path

from .arrays import read_npy, read_npz
from .dataset import DataSet
from .named import NAMED_SETS
from .table import read_csv

__all__ = ["load_data"]

_SUFFIXES = (".npy", ".npz", ".csv")


def load_data(source: str, *, label: str | None = None, seed: int | None = 0) -> DataSet:
    """Read a named set or a file and check it.

    A `.npy` file holds examples (n, d), (n, h, w) or (n, c, h, w). A `.npz` file holds them as `x`, `X` or `data`
    with labels `y` or `labels`, or split as `x_train`, `y_train`, `x_test`, `y_test`. A `.csv` file holds one
    example a row, with or without a header. Where there is no split, a fifth of the examples, drawn with `seed`,
    is kept for testing; `split` of the result says so.

    Args:
        source: a name (`digits`, `mnist`) or the path of a file.
        label: the column of a `.csv` file that is a label and no feature: its name, or its number from 0.
        seed: of the random split; None splits nothing and keeps the rows in order, in `x_train`.

    Returns:
        The examples, as they are: uint8 stays uint8, nothing is centred or scaled.

    Raises:
        ValueError: an unknown name; a missing, truncated or foreign file; numbers that are not finite; an unfit shape.

    Example:
        >>> data = load_data("digits")
        >>> data.x_train.shape, data.x_test.shape, float(data.x_train.max())
        ((1438, 8, 8), (359, 8, 8), 1.0)
    """
    suffix = Path(source).suffix.lower()
    if label is not None and suffix != ".csv":
        raise ValueError(
            f"Expected a .csv file for the label column {label!r}, got {source!r}; use it without a label."
        )
    if source in NAMED_SETS:
        return NAMED_SETS[source](seed)
    names = ", ".join(NAMED_SETS)
    if suffix not in _SUFFIXES:
        raise ValueError(f"Expected one of {names}, or a file ending in {', '.join(_SUFFIXES)}, got {source!r}.")
    path = Path(source).expanduser()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise ValueError(f"Expected a file at {source}, got {what}; use its path, or one of {names}.")
    if suffix == ".csv":
        return read_csv(path, label=label, seed=seed)
    return read_npy(path, seed=seed) if suffix == ".npy" else read_npz(path, seed=seed)

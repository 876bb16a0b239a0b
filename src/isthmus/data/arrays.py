"""NumPy's files: `.npy` and `.npz`, never pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from .dataset import DataSet, make_data_set

__all__ = ["read_array", "read_members", "read_npy", "read_npz"]

_EXAMPLES = ("x", "X", "data")
_LABELS = ("y", "labels")
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)
"""What NumPy and zipfile raise on torn, foreign or forged files."""


def read_npy(path: Path) -> DataSet:
    """Examples from one array file."""
    return make_data_set(path.stem, (read_array(path), None), description=f"Read from {path.name}")


def read_array(path: Path) -> np.ndarray:
    """The array in a file.

    Raises:
        ValueError: not one array, truncated, damaged, or of pickled objects.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise ValueError(f"Expected one array in {path}, got an archive of arrays; rename it to .npz.")
    return loaded


def read_npz(path: Path) -> DataSet:
    """Examples and labels from an archive; its own parts where it has some."""
    members = read_members(path)

    def first(names: tuple[str, ...]) -> np.ndarray | None:
        return next((members[name] for name in names if name in members), None)

    train, labels = first(("x_train", "X_train")), first(("y_train",))
    if train is None:
        train, labels = first(_EXAMPLES), first(_LABELS)
    if train is None:
        raise ValueError(
            f"Expected a member {', '.join(_EXAMPLES)} or x_train in {path}, got {', '.join(members) or 'none'}; "
            "save the examples with numpy.savez(path, x=...)."
        )
    x_test, x_valid = first(("x_test", "X_test")), first(("x_valid", "X_valid"))
    test = None if x_test is None else (x_test, first(("y_test",)))
    valid = None if x_valid is None else (x_valid, first(("y_valid",)))
    return make_data_set(path.stem, (train, labels), test, valid=valid, description=f"Read from {path.name}")


def read_members(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive, by name.

    Raises:
        ValueError: not an archive, truncated, damaged, or with pickled objects.
    """
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"Expected an archive of arrays in {path}, got one array; rename it to .npy.")
    members = {}
    with loaded:
        for name in loaded.files:
            try:
                members[name] = np.asarray(loaded[name])
            except _UNREADABLE as error:
                raise _unreadable(f"member {name} of {path}", error) from error
    return members


def _load(path: Path):
    try:
        return np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise _unreadable(str(path), error) from error


def _unreadable(what: str, error: Exception) -> ValueError:
    # Both of NumPy's messages name pickle: for an object array, and for a file that is not NumPy's at all.
    if "Object arrays" in str(error):
        return ValueError(f"Expected plain numbers in {what}, got pickled Python objects; use a numeric dtype.")
    return ValueError(f"Expected a readable NumPy file, got a truncated or foreign one: {what}.")

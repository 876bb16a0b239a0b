"""NumPy's own files, opened without pickle, with errors in words."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["UNREADABLE", "open_numpy", "unreadable"]

UNREADABLE = (OSError, EOFError, ValueError, KeyError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)
"""What NumPy and zipfile raise on torn, foreign or forged files."""


def open_numpy(path: Path, *, mapped: bool = False) -> Any:
    """An array, or an open archive of arrays.

    Args:
        path: of a .npy or .npz file.
        mapped: leave an array in its file, as a memory map that can only be read.

    Raises:
        ValueError: truncated, foreign, or with pickled objects.
    """
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except UNREADABLE as error:
        raise unreadable(str(path), error) from error


def unreadable(what: str, error: Exception) -> ValueError:
    """What to say of NumPy's own error."""
    # Both of NumPy's messages name pickle: for an object array, and for a file that is not NumPy's at all.
    if "Object arrays" in str(error) or "Python object" in str(error) or "memory-mapped" in str(error):
        return ValueError(f"Expected plain numbers in {what}, got pickled Python objects; use a numeric dtype.")
    return ValueError(f"Expected a readable NumPy file, got a truncated or foreign one: {what}.")

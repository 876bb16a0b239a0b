"""NumPy's files: `.npy`, folders of them, and `.npz`, never pickle; large ones stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from ..files import read_json
from .dataset import DataSet, make_data_set
from .memory import check_fits
from .npy import UNREADABLE, open_numpy, unreadable
from .shards import BUFFER_BYTES, Shards

__all__ = ["read_array", "read_members", "read_npy", "read_npy_folder", "read_npz"]

_EXAMPLES = ("x", "X", "data")
_LABELS = ("y", "labels")


def read_npy(path: Path, *, buffer_bytes: int = BUFFER_BYTES, missing: Literal["error", "keep"] = "error") -> DataSet:
    """Examples from one array file; they are `Shards` where the file is larger than a buffer.

    Args:
        path: the file.
        buffer_bytes: larger files are read when they are needed.
        missing: "keep" lets NaN through, where the file is no larger than that.

    Raises:
        ValueError: not one array, not finite numbers, or no such way to read it.
    """
    if missing not in ("error", "keep") or (missing == "keep" and path.stat().st_size > buffer_bytes):
        raise ValueError(
            f"Expected missing as error, or as keep for files of at most {buffer_bytes:,} bytes, got {missing!r} for "
            f"{path.name}; use a table to drop or fill them, or a larger buffer_bytes."
        )
    if path.stat().st_size <= buffer_bytes:
        keep = missing == "keep"
        return make_data_set(path.stem, (read_array(path), None), description=f"Read from {path.name}", missing=keep)
    array = open_numpy(path, mapped=True)
    if isinstance(array, np.ndarray) and array.ndim > 1 and not array.flags.c_contiguous:
        check_fits(array.nbytes, f"{path.name}, stored column by column,", "use np.save(path, np.ascontiguousarray(X))")
        return make_data_set(path.stem, (read_array(path), None), description=f"Read from {path.name}")
    shards = Shards(path, buffer_bytes=buffer_bytes)
    return make_data_set(path.stem, (shards, None), description=f"Read from {path.name}, piece by piece")


def read_npy_folder(path: Path, *, buffer_bytes: int = BUFFER_BYTES) -> DataSet:
    """Examples from a folder of .npy files, in the order of their names, and what `isthmus data convert` left there.

    Args:
        path: the folder; labels (n,) may be in `labels/labels.npy`, and `conversion.json` may say how many rows there
            are, what they are called, and how they were prepared.
        buffer_bytes: larger data are `Shards`.

    Raises:
        ValueError: unequal files, or other rows than the note says: the folder is not whole.
    """
    shards = Shards(path, name=path.name, buffer_bytes=buffer_bytes)
    note = read_json(path / "conversion.json") if (path / "conversion.json").exists() else {}
    if note.get("rows", len(shards)) != len(shards):
        raise ValueError(f"Expected {note['rows']} rows in {path}, as its note says, got {len(shards)}; copy it anew.")
    labels = read_array(path / "labels" / "labels.npy") if (path / "labels" / "labels.npy").exists() else None
    names = note.get("feature_names")
    data = make_data_set(
        path.name,
        (np.asarray(shards) if shards.fits_buffer else shards, labels),
        description=str(note.get("description") or f"Read from the files in {path.name}"),
        feature_names=None if names is None else tuple(map(str, names)),
        missing=(note.get("preparation") or {}).get("missing") == "keep",  # gaps that were kept on purpose
    )
    return data._replace(preparation=note.get("preparation"))


def read_array(path: Path) -> np.ndarray:
    """The array in a file.

    Raises:
        ValueError: not one array, truncated, damaged, or of pickled objects.
    """
    loaded = open_numpy(path)
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
    loaded = open_numpy(path)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"Expected an archive of arrays in {path}, got one array; rename it to .npy.")
    members = {}
    with loaded:
        unpacked = sum(entry.file_size for entry in loaded.zip.infolist())
        check_fits(unpacked, f"what {path.name} holds", "save its examples as .npy, which is read piece by piece")
        for name in loaded.files:
            try:
                members[name] = np.asarray(loaded[name])
            except UNREADABLE as error:
                raise unreadable(f"member {name} of {path}", error) from error
    return members

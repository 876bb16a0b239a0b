"""Where the rows of shards lie: files that are read piece by piece, and whatever can be sliced."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .npy import open_numpy

__all__ = ["ArraySource", "FileSource", "Job", "Source", "open_sources"]

Job = tuple[int, int, np.ndarray]
"""Rows start, ..., stop - 1 of a source, and where they go, an array of their shape."""


class Source(Protocol):
    """Rows of one shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def fill(self, jobs: Iterable[Job]) -> None:
        """Read rows into arrays."""


class FileSource:
    """A .npy file, read and not mapped: what was read is nowhere but where it was asked for.

    Memory that a map touches counts as the process's own until it is given back, and a file that becomes shorter
    meanwhile kills a process that maps it.

    Args:
        path: of the file.

    Raises:
        ValueError: truncated, foreign, pickled, or not one row after the other.
    """

    def __init__(self, path: Path) -> None:
        mapped = open_numpy(path, mapped=True)
        if not isinstance(mapped, np.memmap):
            raise ValueError(f"Expected one array in {path}, got an archive of arrays; use np.save for each.")
        if mapped.ndim == 0 or not mapped.flags.c_contiguous:
            raise ValueError(
                f"Expected one row after the other in {path}, got "
                + ("a single number." if mapped.ndim == 0 else "columns (Fortran order); np.save(path, X.copy('C')).")
            )
        self.path, self.name = path.absolute(), path.name
        self.shape, self.dtype = mapped.shape, mapped.dtype
        self.offset, self.row_bytes = int(mapped.offset), mapped.dtype.itemsize * int(np.prod(mapped.shape[1:]))

    def fill(self, jobs: Iterable[Job]) -> None:
        """Read rows into arrays."""
        with open(self.path, "rb", buffering=0) as file:
            for start, stop, out in jobs:
                if start == stop:
                    continue
                direct = out.dtype == self.dtype and out.flags.c_contiguous
                target = out if direct else np.empty((stop - start, *self.shape[1:]), self.dtype)
                file.seek(self.offset + start * self.row_bytes)
                left = memoryview(target.reshape(-1).view(np.uint8).data)
                while left and (count := file.readinto(left)):  # one read gives 2 GB at most
                    left = left[count:]
                if left:
                    raise ValueError(f"Expected {self.shape[0]:,} rows in {self.path}, got a file cut short meanwhile.")
                if not direct:
                    out[...] = target


class ArraySource:
    """Anything with shape, dtype and slices: arrays, memory maps, datasets of h5py or zarr.

    Args:
        array: that.
        name: for errors.
    """

    def __init__(self, array: Any, name: str) -> None:
        self.array, self.name = array, name
        self.shape = tuple(int(size) for size in array.shape)
        try:
            self.dtype = np.dtype(array.dtype)
        except TypeError as error:
            raise TypeError(f"Expected a dtype of NumPy in {name}, got {array.dtype}; use its method numpy.") from error
        self._map = _shared_map(array)

    def fill(self, jobs: Iterable[Job]) -> None:
        """Read rows into arrays, and give the pages of a memory map back to the system."""
        for start, stop, out in jobs:
            out[...] = self.array[start:stop]
            if self._map is not None:
                self._map.madvise(mmap.MADV_DONTNEED)


def _shared_map(array: Any) -> Any:
    """The map under a view of one, if its pages can be dropped without loss: what was written to them is in the file.

    A map in mode "c" keeps what was written to it in its pages alone.
    """
    mode = None
    while isinstance(array, np.ndarray):
        mode = getattr(array, "mode", mode)
        array = array.base
    droppable = isinstance(array, mmap.mmap) and mode in ("r", "r+", "w+")
    return array if droppable and hasattr(mmap, "MADV_DONTNEED") else None


def open_sources(parts: Any) -> list[Source]:
    """Sources of a .npy file, a folder of them (in the order of their names), an array, or a list of any of these."""
    if isinstance(parts, (list, tuple)):
        return [source for i, part in enumerate(parts) for source in _open(part, f"part {i}")]
    return _open(parts, "the array")


def _open(part: Any, name: str) -> list[Source]:
    if isinstance(part, (str, Path)):
        path = Path(part).expanduser()
        if not path.is_dir():
            return [FileSource(path)]
        files = sorted(path.glob("[!.]*.npy"))  # macOS leaves hidden ones beside what it copies
        if not files:
            raise ValueError(
                f"Expected .npy files in {path}, got none; use np.save, or isthmus.data.convert.write_shards."
            )
        return [FileSource(file) for file in files]
    if not all(hasattr(part, attribute) for attribute in ("shape", "dtype", "__getitem__")):
        raise TypeError(f"Expected a path or an array with shape, dtype and slices, got {type(part).__name__}.")
    return [ArraySource(part, name)]

"""Formats in which sets were published: idx (MNIST), amat (numbers as text), and MATLAB's mat of version 5.

Read by hand, as files come from anywhere: what a header says of sizes is believed only where the file has the bytes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .dataset import DataSet, make_data_set
from .formats_mat import read_mat_arrays
from .validation import check_unpacked_size

__all__ = ["read_amat", "read_amat_data", "read_bytes", "read_idx", "read_idx_data", "read_mat", "read_mat_data"]

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PIECE = 1 << 24


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file, gzipped or not, as the authors of MNIST and Fashion-MNIST publish theirs.

    Raises:
        ValueError: not readable, another format, truncated, or with more or fewer bytes than its header says.
    """
    packed = read_bytes(path)
    pieces = _unzipped(packed, path) if packed[:2] == b"\x1f\x8b" else iter([packed])
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= 4 and len(head) >= 4 + 4 * head[3]:
            break
    n_dimensions = head[3] if len(head) > 3 else 0
    if head[:2] != b"\0\0" or len(head) < 4 + 4 * n_dimensions or head[2] not in _IDX_TYPES or not n_dimensions:
        raise ValueError(f"Expected an idx file in {path}, got a foreign or truncated one.")
    start = 4 + 4 * n_dimensions
    shape = tuple(int(n) for n in np.frombuffer(bytes(head[4:start]), ">u4"))
    dtype = np.dtype(_IDX_TYPES[head[2]])
    expected = math.prod(shape) * dtype.itemsize
    check_unpacked_size(expected, len(packed), str(path))
    data = head[start:]
    for piece in pieces:
        data += piece
        if len(data) > expected:
            break
    if len(data) != expected:
        more = "more" if len(data) > expected else f"{len(data):,}"
        raise ValueError(f"Expected {expected:,} bytes of data in {path}, as its header says, got {more}.")
    return np.frombuffer(bytes(data), dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _unzipped(packed: bytes, path: Path) -> Iterator[bytes]:
    """What a gzip file holds, piece by piece, its checksum held against it at the end."""
    unpack, rest = zlib.decompressobj(wbits=31), packed
    try:
        while not unpack.eof:
            piece = unpack.decompress(rest, _PIECE)
            rest = unpack.unconsumed_tail
            if not piece and not rest and not unpack.eof:
                raise ValueError(f"Expected a whole gzip file in {path}, got a truncated one.")
            yield piece
    except zlib.error as error:
        raise ValueError(f"Expected a gzip file in {path}, got a damaged one ({error}).") from error


def read_idx_data(path: Path) -> DataSet:
    """Examples from an idx file of one's own, gzipped or not."""
    array = read_idx(path)
    if array.ndim < 2:
        raise ValueError(f"Expected examples in {path}, got one number each; are these the labels?")
    return make_data_set(path.name.partition(".")[0], (array, None), description=f"Read from {path.name}")


def read_amat(path: Path) -> np.ndarray:
    """The numbers in a text file, a row a line, separated by blanks: uint8 where all are 0 or 1, else float64.

    Raises:
        ValueError: not readable, empty, cells that are no numbers, or lines of different lengths.
    """
    text = read_bytes(path)
    bits = _bits(text)
    if bits is not None:
        return bits
    rows: list[np.ndarray] = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if rows and len(cells) != len(rows[0]):
            raise ValueError(f"Expected {len(rows[0])} numbers in line {number} of {path}, got {len(cells)}.")
        try:
            rows.append(np.array(cells, dtype=np.float64))
        except ValueError as error:
            raise ValueError(f"Expected numbers in line {number} of {path}, got other text.") from error
    if not rows:
        raise ValueError(f"Expected rows of numbers in {path}, got none.")
    return np.stack(rows)


def _bits(text: bytes) -> np.ndarray | None:
    """The common case, fast: digits 0 and 1 with one blank after each but the last of a line; None if it is another."""
    width = text.find(b"\n") + 1
    if width < 2 or width % 2 or len(text) % width:
        return None
    cells = np.frombuffer(text, np.uint8).reshape(-1, width)
    digits = cells[:, ::2] - ord("0")
    plain = (cells[:, 1:-1:2] == ord(" ")).all() and (cells[:, -1] == ord("\n")).all() and (digits <= 1).all()
    return digits if plain else None


def read_amat_data(path: Path, *, label: str | None = None) -> DataSet:
    """Examples from a text file of one's own; `label` is the number of a column, often -1.

    Raises:
        ValueError: as `read_amat`, or no such column.
    """
    rows, labels = read_amat(path).astype(np.float32), None
    if label is not None:
        n_columns = rows.shape[1]
        try:
            column = int(label)
        except ValueError:
            column = n_columns
        if not -n_columns <= column < n_columns or n_columns == 1:
            raise ValueError(f"Expected the number of one of {n_columns} columns of {path} as label, got {label!r}.")
        labels, rows = rows[:, column], np.delete(rows, column, axis=1)
        labels = labels.astype(np.int64) if (labels == np.rint(labels)).all() else labels
    return make_data_set(path.stem, (rows, labels), description=f"Read from {path.name}")


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """All numeric arrays of a MATLAB file of version 5, 6 or 7, by name.

    Raises:
        ValueError: not readable, another version, truncated or damaged.
    """
    data = read_bytes(path)
    try:
        return read_mat_arrays(data)
    except ValueError as error:
        raise ValueError(f"Expected a MATLAB file of version 5 to 7 in {path}, got: {error}") from error


def read_mat_data(path: Path, *, variable: str | None = None, transpose: bool = False) -> DataSet:
    """Examples from a MATLAB file of one's own.

    Args:
        path: the file.
        variable: name of the matrix with the examples; only needed where there are several.
        transpose: examples are columns, as MATLAB's users often have them.

    Raises:
        ValueError: as `read_mat`, or no such matrix.
    """
    arrays = read_mat(path)
    found = {name: array for name, array in arrays.items() if min(array.shape) > 1}
    if variable is None and len(found) == 1:
        variable = next(iter(found))
    if variable not in arrays:
        names = ", ".join(arrays) or "none"
        raise ValueError(f"Expected the name of one matrix of {path}, got {variable!r}; it has {names}: use variable=.")
    array = arrays[variable]
    x = np.moveaxis(array, -1, 0) if transpose else array
    return make_data_set(path.stem, (np.ascontiguousarray(x), None), description=f"Read from {path.name}")


def read_bytes(path: Path) -> bytes:
    """A file's bytes; what the system says against it as a ValueError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"Expected a readable file at {path}, got: {error.strerror or error}.") from error

"""MATLAB's files of version 5 to 7: numeric arrays, nothing else, and nothing believed that the bytes don't hold."""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np

from .validation import check_unpacked_size

__all__ = ["read_mat_arrays"]

_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED, _COMPLEX = 14, 15, 0x0800
_MOST_DIMENSIONS = 4


class _Element(NamedTuple):
    kind: int
    data: memoryview
    end: int  # where the next one starts


def read_mat_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Real numeric arrays by name; cells, structures, text and sparse matrices are passed over.

    Args:
        data: the bytes of a file.

    Returns:
        Arrays in MATLAB's shape: a vector is a matrix with one row or column.

    Raises:
        ValueError: another format, truncated, or sizes that don't fit together.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    version = int.from_bytes(data[124:126], "little" if order == "<" else "big")
    if order is None or version >> 8 != 1:
        newer = data[:19] == b"MATLAB 7.3 MAT-file"
        raise ValueError("version 7.3, which is HDF5; save it with -v7." if newer else "another format.")
    view, position, arrays = memoryview(data), 128, {}
    while position < len(view):
        element = _element(view, position, order)
        position = element.end
        if element.kind == _COMPRESSED:
            position = element.end
            element = _element(memoryview(_unpacked(element.data, order)), 0, order)
        if element.kind == _MATRIX and (found := _array(element.data, order)) is not None:
            arrays[found[0]] = found[1]
    return arrays


def _number(view: memoryview, order: str) -> int:
    return int.from_bytes(view, "little" if order == "<" else "big")


def _element(view: memoryview, start: int, order: str) -> _Element:
    """The element at a place: a tag of type and size, then the data."""
    if start + 8 > len(view):
        raise ValueError("a truncated file.")
    kind, size = _number(view[start : start + 4], order), _number(view[start + 4 : start + 8], order)
    if kind >> 16:  # small: the size is in the upper half of the type, up to 4 bytes stand in the tag
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError("a damaged tag.")
        return _Element(kind, view[start + 4 : start + 4 + size], start + 8)
    end = start + 8 + size
    if end > len(view):
        raise ValueError("a truncated file.")
    padding = 0 if kind == _COMPRESSED else -size % 8
    return _Element(kind, view[start + 8 : end], min(end + padding, len(view)))


def _unpacked(packed: memoryview, order: str) -> bytes:
    """A compressed element, unpacked as far as its own tag says and its packed size makes likely."""
    unpack = zlib.decompressobj()
    try:
        tag = unpack.decompress(packed, 8)
        size = _number(memoryview(tag)[4:8], order)
        check_unpacked_size(size, len(packed), "a packed matrix")
        data = tag + unpack.decompress(unpack.unconsumed_tail, max(size, 1))
    except zlib.error as error:
        raise ValueError(f"damaged data ({error}).") from error
    if len(data) < 8 + size:
        raise ValueError("a truncated file.")
    return data


def _array(view: memoryview, order: str) -> tuple[str, np.ndarray] | None:
    """Name and values of a matrix; None where it is not a real numeric one."""
    flags = _element(view, 0, order)
    if len(flags.data) != 8:
        raise ValueError("damaged flags of an array.")
    word = _number(flags.data[:4], order)
    if word & 0xFF not in _CLASSES or word & _COMPLEX:
        return None
    sizes = _element(view, flags.end, order)
    whole = sizes.data[: len(sizes.data) // 4 * 4]
    shape = tuple(int(n) for n in np.frombuffer(whole, f"{order}i4"))
    name = _element(view, sizes.end, order)
    values = _element(view, name.end, order)
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0 or values.kind not in _STORED:
        raise ValueError("a damaged header of an array.")
    dtype = np.dtype(order + _STORED[values.kind])
    if len(values.data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(values.data):,} bytes for an array of shape {shape}.")
    # MATLAB stores doubles that are small integers in fewer bytes: the class says what they are.
    with np.errstate(invalid="ignore"):
        array = np.frombuffer(values.data, dtype).astype(_CLASSES[word & 0xFF])
    return bytes(name.data).decode("latin-1"), array.reshape(shape, order="F")

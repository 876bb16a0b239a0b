"""Files of compressed codes: magic bytes, a JSON header, the ranges, the coded levels, checksums."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..data.memory import check_fits
from ..estimators.saved import value_of
from ..files import UnreadableFile
from .entropy import coder, decode_levels, encode_levels
from .quantiser import Quantiser, Ranges

__all__ = ["CODES_FORMAT", "MAGIC", "CodesFile", "open_codes", "write_container"]

MAGIC = b"\x89ISTHMUS"
"""First bytes of a file of codes; no text begins like that."""
CODES_FORMAT = 1
"""Version of the files written here; a newer one is refused."""

_LENGTH, _CHECKSUM = struct.Struct("<I"), struct.Struct("<I")
_DIGEST_BYTES = 32
_MOST_HEADER, _MOST_ROWS = 2**16, 2**48
_READ_BYTES = 2**20


def write_container(
    file: IO[bytes], codes: Callable[[], Iterable[np.ndarray]], bits: int, ranges: Ranges = "each", model: str = ""
) -> tuple[int, int]:
    """Quantise codes, code their levels, and write all that it takes to read them again.

    The ranges are those of the codes themselves, which are therefore gone through twice: no code is cut off, so that
    the error is at most half a step, and the file says all there is to know.

    Args:
        file: open for writing.
        codes: gives the codes from the start, (n, n_components) in one or several blocks; called twice.
        bits: 1 to 16; see `Quantiser`.
        ranges: "each" or "shared".
        model: fingerprint of the model whose codes they are.

    Returns:
        Rows and bytes written.

    Raises:
        ValueError: no codes, not finite ones, other bits, or constriction is not installed.
    """
    coder()  # before the work, where it is missing
    n_rows = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal n_rows
        for block in codes():
            n_rows += len(block)
            yield block if block.dtype == np.float32 else block.astype(np.float64)

    quantiser = Quantiser.of(counted(), bits, ranges)
    header = {
        "format": CODES_FORMAT, "n_rows": n_rows, "n_components": len(quantiser.low), "bits": int(bits),
        "ranges": ranges, "dtype": quantiser.low.dtype.name, "model": model,
    }  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    little = quantiser.low.dtype.newbyteorder("<")
    digest, n_bytes, checksum = hashlib.sha256(), 0, 0

    def write(data: bytes) -> None:
        nonlocal n_bytes
        file.write(data)
        digest.update(data)
        n_bytes += len(data)

    def levels() -> Iterator[np.ndarray]:
        nonlocal checksum
        for block in codes():
            block_levels = quantiser.levels(block)
            checksum = _added(checksum, block_levels)
            yield block_levels

    write(MAGIC + _LENGTH.pack(len(text)) + text)
    write(quantiser.low.astype(little).tobytes() + quantiser.high.astype(little).tobytes())
    for piece in encode_levels(levels(), n_rows, quantiser.n_levels):
        write(piece)
    write(_CHECKSUM.pack(checksum))
    file.write(digest.digest())
    return n_rows, n_bytes + _DIGEST_BYTES


def _added(checksum: int, levels: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(levels, dtype="<i4").data, checksum)


@dataclass(frozen=True, eq=False)
class CodesFile:
    """An open file of codes, whose bytes are those that were written; levels are decoded when they are asked for.

    Attributes:
        n_rows: rows of codes.
        quantiser: with the ranges, and so with the dtype and the width of the codes.
        model: fingerprint of the model whose codes they are.
    """

    n_rows: int
    quantiser: Quantiser
    model: str
    _name: str
    _opened: Callable[[], Any]
    _start: int
    _stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and components of the codes."""
        return self.n_rows, len(self.quantiser.low)

    def level_blocks(self) -> Iterator[np.ndarray]:
        """Levels, some rows at a time.

        Raises:
            UnreadableFile: they don't come out as they went in.
            ValueError: constriction is not installed.
        """
        checksum = 0
        with self._opened() as file:
            file.seek(self._start)

            def read(size: int) -> bytes:
                return _read(file, size, self._stop, self._name)

            for levels in decode_levels(read, self.n_rows, self.quantiser.n_levels):
                checksum = _added(checksum, levels)
                yield levels
            if read(_CHECKSUM.size) != _CHECKSUM.pack(checksum) or file.tell() != self._stop:
                raise UnreadableFile(
                    f"Expected the levels that {self._name} was written from, got others; use the version of "
                    "constriction that wrote it."
                )

    def blocks(self) -> Iterator[np.ndarray]:
        """Codes, some rows at a time."""
        return map(self.quantiser.values, self.level_blocks())

    def read(self) -> np.ndarray:
        """All codes, (n_rows, n_components) in the dtype that they had.

        Raises:
            TooLargeError: they don't fit in memory.
            UnreadableFile: they don't come out as they went in.
        """
        n_bytes = self.n_rows * self.quantiser.low.nbytes
        check_fits(n_bytes, f"the codes of {self.n_rows:,} rows", "take them a block at a time")
        codes, start = np.empty(self.shape, self.quantiser.low.dtype), 0
        for block in self.blocks():
            codes[start : start + len(block)] = block
            start += len(block)
        return codes


def open_codes(source: str | os.PathLike[str] | bytes) -> CodesFile:
    """Open compressed codes, a file or its bytes, and check every byte of them against its checksum.

    Raises:
        UnreadableFile: missing, truncated, altered, foreign, or of a newer format.
    """
    name = "the bytes" if isinstance(source, bytes) else str(source)

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        try:
            file = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")
        except OSError as error:
            raise UnreadableFile(f"Expected a readable file at {name}, got: {error.strerror or error}.") from error
        with file:
            yield file

    with opened() as file:
        stop = _checked_size(file, name) - _DIGEST_BYTES
        file.seek(len(MAGIC))
        (length,) = _LENGTH.unpack(_read(file, _LENGTH.size, stop, name))
        if length > _MOST_HEADER:
            raise UnreadableFile(f"Expected a header of at most {_MOST_HEADER} bytes in {name}, got {length}.")
        n_rows, model, quantiser = _header(_read(file, length, stop, name), file, stop, name)
        return CodesFile(n_rows, quantiser, model, name, opened, file.tell(), stop)


def _checked_size(file: IO[bytes], name: str) -> int:
    """Bytes of the file, of which the last are the digest of those before."""
    if file.read(len(MAGIC)) != MAGIC:
        raise UnreadableFile(f"Expected compressed codes written by Isthmus in {name}, got something else.")
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest, left = hashlib.sha256(), max(0, size - _DIGEST_BYTES)
    while left and (data := file.read(min(left, _READ_BYTES))):
        digest.update(data)
        left -= len(data)
    if file.read(_DIGEST_BYTES + 1) != digest.digest():
        raise UnreadableFile(f"Expected {name} as it was written, got a truncated or altered file.")
    return size


def _read(file: IO[bytes], size: int, stop: int, name: str) -> bytes:
    """The next so many bytes; what a file says of sizes is believed only where it has them."""
    if size > stop - file.tell():
        raise UnreadableFile(f"Expected {size} more bytes in {name}, got its end.")
    return file.read(size)


def _header(text: bytes, file: IO[bytes], stop: int, name: str) -> tuple[int, str, Quantiser]:
    """Rows, fingerprint and quantiser, from the header and the ranges that follow it."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"Expected a JSON header in {name}, got something else.") from error
    value_of({"header": header}, "header", dict[str, Any], name)
    version = value_of(header, "format", int, name)
    if not 1 <= version <= CODES_FORMAT:
        raise UnreadableFile(f"Expected format {CODES_FORMAT} or older in {name}, got {version}; use a newer Isthmus.")
    n_rows, n_components, bits = (value_of(header, key, int, name) for key in ("n_rows", "n_components", "bits"))
    ranges, dtype, model = (value_of(header, key, str, name) for key in ("ranges", "dtype", "model"))
    if not (0 < n_rows < _MOST_ROWS and 0 < n_components < _MOST_ROWS) or dtype not in ("float32", "float64"):
        raise UnreadableFile(f"Expected rows and columns of floats in {name}, got {n_rows} x {n_components} {dtype}.")
    little = np.dtype(dtype).newbyteorder("<")
    size = n_components * little.itemsize
    low, high = (np.frombuffer(_read(file, size, stop, name), little).astype(dtype) for _ in range(2))
    try:
        return n_rows, model, Quantiser(low, high, bits, ranges)  # type: ignore[arg-type]
    except ValueError as error:
        raise UnreadableFile(f"Expected a quantiser in {name}, got none: {error}") from error

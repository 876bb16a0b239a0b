"""Rows that are never in memory as a whole: in files, memory maps, or anything else that can be sliced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .memory import check_fits, in_words
from .shard_sources import Source, open_sources
from .statistics import Statistics, find_statistics
from .validation import check_examples

__all__ = ["BUFFER_BYTES", "Ranges", "Shards", "is_large_map", "is_shard_folder"]

BUFFER_BYTES = 2**28
"""Rows that are shuffled together while training, in bytes; larger data are streamed."""

BLOCK_BYTES = 2**20
"""Neighbouring rows that are read at once: large enough for disks and networks, and there are many to a buffer."""

SPLIT_BLOCKS = 100
"""Parts are drawn in at least so many blocks, where there are as many rows."""

Ranges = list[tuple[int, int]]
"""Rows start, ..., stop - 1 of each pair, in order."""


def is_shard_folder(path: Path) -> bool:
    """Whether this is a folder with .npy files in it."""
    return path.is_dir() and next(path.glob("[!.]*.npy"), None) is not None


def is_large_map(data: Any) -> bool:
    """Whether this is a memory map too large for a buffer."""
    return isinstance(data, np.memmap) and data.ndim > 1 and data.nbytes > BUFFER_BYTES


class Shards:
    """A sequence of rows of one shape and dtype, read when they are asked for.

    Use it for data larger than memory: `VAE().fit(Shards("big.npy"))`, or Shards of a folder of .npy files, of a
    memory map, of a dataset of h5py or zarr, or of a list of any of these, one after the other. Memory stays constant
    whatever is done with it: training holds two buffers of rows, everything else one block.

    uint8 stays uint8; other integers, booleans and half precision are read as floats wide enough for them.

    Args:
        parts: a path, an array, or a list of them.
        name: for errors and titles.
        buffer_bytes: how many bytes of rows are shuffled together in training; as much again is read ahead.

    Attributes:
        shape: (n, d), (n, h, w) or (n, c, h, w).
        dtype: of the rows as they are read.
        buffer_bytes: as given.
        block_rows: rows of a block.

    Raises:
        ValueError: truncated or foreign files, unfit or unequal shapes, other than numbers.
        TypeError: neither a path nor an array.

    Example:
        >>> rows = Shards([np.zeros((3, 2)), np.ones((4, 2))])
        >>> rows.shape, float(rows[2:4].sum()), rows.max()
        ((7, 2), 2.0, 1.0)
    """

    def __init__(self, parts: Any, *, name: str | None = None, buffer_bytes: int = BUFFER_BYTES) -> None:
        if not isinstance(buffer_bytes, int) or buffer_bytes < 1:
            raise ValueError(f"Expected buffer_bytes >= 1, got {buffer_bytes!r}.")
        sources = open_sources(parts)
        pieces = [(source, 0, source.shape[0] if source.shape else 0) for source in sources]
        first = next((source for source, _, stop in pieces if stop), None)
        if first is None:
            raise ValueError("Expected at least one row, got none.")
        self.name, self.buffer_bytes = name or (first.name if len(sources) == 1 else "the shards"), buffer_bytes
        row = np.empty((1, *first.shape[1:]), first.dtype)
        first.fill([(0, 1, row)])
        self.dtype = check_examples(row, first.name, missing=True).dtype  # a model that takes no NaN refuses it
        for source in sources:
            if source.shape[1:] != first.shape[1:] or source.dtype != first.dtype:
                raise ValueError(
                    f"Expected rows of shape {first.shape[1:]} and {first.dtype} in all of {self.name}, as in "
                    f"{first.name}, got {source.shape[1:]} and {source.dtype} in {source.name}."
                )
        self._take(pieces, first.shape[1:])

    def _take(self, pieces: Sequence[tuple[Source, int, int]], feature_shape: tuple[int, ...]) -> None:
        self._pieces = [piece for piece in pieces if piece[1] < piece[2]]
        self._ends = np.cumsum([stop - start for _, start, stop in self._pieces], dtype=np.int64)
        n_rows = int(self._ends[-1]) if len(self._ends) else 0
        self.shape: tuple[int, ...] = (n_rows, *feature_shape)
        row_bytes = self.dtype.itemsize * int(np.prod(feature_shape))
        # A small buffer still mixes rows of many places.
        self.block_rows = max(1, min(BLOCK_BYTES, self.buffer_bytes // 16) // row_bytes)
        self._statistics: Statistics | None = None
        self._checked = False

    # --- what arrays have -------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Dimensions, rows included."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Numbers in all."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that all rows would take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def fits_buffer(self) -> bool:
        """Whether all rows fit in one buffer: such data train as resident ones do."""
        return len(self) * self.row_cost <= self.buffer_bytes

    @property
    def row_cost(self) -> int:
        """Bytes that a row takes in a buffer, with its place in the order."""
        return self.nbytes // max(1, len(self)) + 8

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<Shards {self.name}: {self.shape} {self.dtype}, {in_words(self.nbytes)}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, where they fit in memory."""
        if copy is False:
            raise ValueError("Expected copy=None or True, got False: the rows of shards are not in memory.")
        check_fits(self.nbytes, f"all {len(self):,} rows of {self.name}", "use its read(start, stop), or blocks()")
        rows = self.read(0, len(self))
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Rows by number, slice, or an array of numbers or booleans, as an array in memory."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self.read(start, max(start, stop)) if step == 1 else self._rows(np.arange(start, stop, step))
        if isinstance(index, tuple):
            raise IndexError("Expected rows by one index, got several; use them on the rows: shards[start:stop][:, 0].")
        index = np.asarray(index)
        if index.dtype == bool and index.shape == (len(self),):
            index = np.flatnonzero(index)
        if (index.dtype.kind not in "iu" and index.size) or index.ndim > 1:
            raise IndexError(f"Expected rows by number, slice or a list of numbers, got {index.dtype} {index.shape}.")
        index = index.astype(np.int64)
        if ((index < -len(self)) | (index >= len(self))).any():
            raise IndexError(f"Expected rows below {len(self):,}, got others.")
        index = index % max(1, len(self))
        return self._rows(index) if index.ndim else self._rows(index[None])[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks():
            yield from block

    # --- reading ----------------------------------------------------------------------------

    def read(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Rows start, ..., stop - 1, in `out` where it is given."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"Expected 0 <= start <= stop <= {len(self):,}, got {start} and {stop}.")
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype) if out is None else out
        self._fill([(start, stop, rows)])
        return rows

    def _rows(self, index: np.ndarray) -> np.ndarray:
        """Rows at these numbers; neighbours are read together."""
        wanted, place = np.unique(index, return_inverse=True)
        rows = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        if not len(wanted):
            return rows
        begins = np.flatnonzero(np.diff(wanted, prepend=-2) != 1).tolist()
        runs = zip(begins, [*begins[1:], len(wanted)], strict=True)
        self._fill([(int(wanted[a]), int(wanted[b - 1]) + 1, rows[a:b]) for a, b in runs])
        return rows[place]

    def _fill(self, jobs: Sequence[tuple[int, int, np.ndarray]]) -> None:
        parts: dict[int, list[tuple[int, int, np.ndarray]]] = {}
        for start, stop, out in jobs:
            number, done = int(np.searchsorted(self._ends, start, "right")), 0
            while start + done < stop:
                _, first, last = self._pieces[number]
                begin = int(self._ends[number]) - (last - first)
                here = min(stop, int(self._ends[number])) - start - done
                at = first + start + done - begin
                parts.setdefault(number, []).append((at, at + here, out[done : done + here]))
                number, done = number + 1, done + here
        for number, those in parts.items():
            self._pieces[number][0].fill(those)

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """All rows in order, so many at a time."""
        rows = rows or self.block_rows
        for start in range(0, len(self), rows):
            yield self.read(start, min(start + rows, len(self)))

    def place(self, row: int) -> str:
        """Where a row lies, in words."""
        number = int(np.searchsorted(self._ends, row, "right"))
        source, first, last = self._pieces[number]
        return f"row {first + row - (int(self._ends[number]) - (last - first))} of {source.name}"

    # --- numbers over all rows --------------------------------------------------------------

    @property
    def checked(self) -> bool:
        """Whether all numbers are known to be finite: whole ones are, others after a pass over them."""
        return self._checked or self._statistics is not None or self.dtype.kind != "f"

    def statistics(self, weight: np.ndarray | None = None) -> Statistics:
        """Smallest and largest number, mean and variance of each feature, in one pass that also checks all numbers.

        Args:
            weight: how much each row counts, (n,); without it the pass is made once, and remembered.

        Raises:
            ValueError: numbers that are not finite, with the first place of them.
        """
        if weight is not None:
            return find_statistics(self, weight)
        if self._statistics is None:
            self._statistics = find_statistics(self)
        return self._statistics

    def min(self) -> float:
        """The smallest number."""
        return self.statistics().minimum

    def max(self) -> float:
        """The largest number."""
        return self.statistics().maximum

    # --- parts ------------------------------------------------------------------------------

    def part(self, ranges: Ranges) -> Shards:
        """Some of the rows, as shards."""
        pieces, part = [], object.__new__(Shards)
        for start, stop in ranges:
            while start < stop:
                number = int(np.searchsorted(self._ends, start, "right"))
                source, first, last = self._pieces[number]
                begin, end = int(self._ends[number]) - (last - first), min(stop, int(self._ends[number]))
                pieces.append((source, first + start - begin, first + end - begin))
                start = end
        part.name, part.buffer_bytes, part.dtype = self.name, self.buffer_bytes, self.dtype
        part._take(pieces, self.shape[1:])
        part._checked = self.checked
        return part

    @property
    def draw_rows(self) -> int:
        """Rows of the blocks that parts are drawn in."""
        return min(self.block_rows, max(1, len(self) // SPLIT_BLOCKS))

    def draw(self, seed: int, *fractions: float) -> list[Ranges]:
        """Divide the rows by whole blocks: a part for each fraction, and then the rest; each in the order of the rows.

        A drawn part is there to be read into memory: it is no larger than a buffer, counted in float32 at least.
        """
        rows = self.draw_rows
        n_blocks = -(-len(self) // rows)
        row_bytes = max(4, self.dtype.itemsize) * int(np.prod(self.shape[1:]))
        most = max(1, self.buffer_bytes // (rows * row_bytes))
        if n_blocks < 2 * len(fractions):
            raise ValueError(f"Expected more rows to divide {self.name} in {len(fractions) + 1}, got {len(self)}.")
        order, parts = np.random.default_rng(seed).permutation(n_blocks), []
        for fraction in fractions:
            count = min(max(1, round(fraction * n_blocks)), most, len(order) - len(fractions)) if fraction else 0
            chosen, order = order[:count], order[count:]
            parts.append(chosen)
        return [self._ranges(np.sort(part), rows) for part in (*parts, order)]

    def _ranges(self, blocks: np.ndarray, rows: int) -> Ranges:
        """Neighbouring blocks as one range."""
        if not len(blocks):
            return []
        begins = np.flatnonzero(np.diff(blocks, prepend=-2) != 1)
        ends = np.append(begins[1:], len(blocks)) - 1
        return [(int(a) * rows, min((int(b) + 1) * rows, len(self))) for a, b in zip(blocks[begins], blocks[ends])]  # noqa: B905

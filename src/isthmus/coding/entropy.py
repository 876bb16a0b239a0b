"""Levels as few bits: a range coder, and probabilities that are learnt from the rows before."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..data.memory import check_fits
from ..files import UnreadableFile

__all__ = ["LevelModel", "coder", "decode_levels", "empirical_entropy", "encode_levels", "regrouped", "segments"]

SEGMENT_LEVELS = 2**20
"""Most levels that are coded by the same probabilities: they are in memory together. A part of the format."""
PIECE_WORDS = 2**18
"""Words of 32 bits after which a piece of the stream ends: 1 MB is in memory at a time."""
TREE_BITS = 12
"""Depth of the tree of cells; below it they count as alike, since counts that fine say more of noise than of codes.
A part of the format."""
_PIECE = struct.Struct("<II")  # segments, words


def segments(n_rows: int, n_components: int) -> Iterator[int]:
    """Lengths of the runs of rows that are coded by the same probabilities: a quarter of all rows before."""
    most, done = max(1, SEGMENT_LEVELS // n_components), 0
    while done < n_rows:
        size = min(max(1, done // 4), most, n_rows - done)
        yield size
        done += size


def regrouped(blocks: Iterable[np.ndarray], sizes: Iterable[int]) -> Iterator[np.ndarray]:
    """The same rows in blocks of other sizes; what is left at the end is a last, shorter one."""
    blocks, left, held = iter(blocks), [], 0
    for size in sizes:
        while held < size and (block := next(blocks, None)) is not None:
            left.append(block)
            held += len(block)
        if not held:
            return
        rows = np.concatenate(left) if len(left) > 1 else left[0]
        yield rows[:size]
        left, held = ([rows[size:]], held - size) if held > size else ([], 0)


class LevelModel:
    r"""Probabilities of the next rows' levels, given those of the rows before: nothing of them is in the file.

    An exact zero has (zeros + 1/2) / (rows + 1). The cells are the leaves of a binary tree, whose node at depth m
    sends a level to either side with (side + m) / (both + 2m) of those that passed it. The prior weight grows with
    the depth: neighbouring cells are held for alike until enough rows say otherwise, so that a fine grid costs little
    more to learn than a coarse one. Beyond 4,096 cells, a leaf is a run of neighbours. Only additions, products and
    quotients are used, which processors round alike: both ends have the same numbers.

    Args:
        n_levels: cells along each dimension, (n_components,).

    Attributes:
        shift: binary logarithm of the cells of a leaf.

    Raises:
        TooLargeError: the counts don't fit in memory.

    References:
        Lavine (1992). Some aspects of Polya tree distributions for statistical modelling. Annals of Statistics 20.
        Krichevsky, Trofimov (1981). The performance of universal encoding. IEEE Transactions on Information Theory 27.

    Example:
        >>> model = LevelModel(np.array([2]))
        >>> [p.tolist() for p in model.probabilities()]  # of a zero, and of two cells
        [[0.5, 0.25, 0.25]]
        >>> model.update(np.array([[1], [1]]))
        >>> [p.round(3).tolist() for p in model.probabilities()]
        [[0.167, 0.625, 0.208]]
    """

    def __init__(self, n_levels: np.ndarray) -> None:
        depth = max(0, int(n_levels.max()) - 1).bit_length()
        self.shift = max(0, depth - TREE_BITS)
        self.n_symbols = self.symbols(n_levels) + 1
        n_leaves = 1 << min(depth, TREE_BITS)
        check_fits(8 * len(n_levels) * (n_leaves + 1), f"counts of {n_leaves:,} levels", "use fewer bits")
        self.counts = np.zeros((len(n_levels), 1 + n_leaves), np.int64)
        self.n_rows = 0

    def symbols(self, levels: np.ndarray) -> np.ndarray:
        """What is counted of levels: 0 for an exact zero, else the leaf, from 1."""
        return (levels + (1 << self.shift) - 1) >> self.shift

    def probabilities(self) -> Iterator[np.ndarray]:
        """For each dimension, of an exact zero and of each leaf, (n_symbols,) float64."""
        together = max(1, 2**16 // self.counts.shape[1])  # dimensions at a time: whole arrays are fast
        for start in range(0, len(self.counts), together):
            counts = self.counts[start : start + together]
            zero = (counts[:, :1] + 0.5) / (self.n_rows + 1.0)
            all_of_it = np.concatenate((zero, (1.0 - zero) * _leaves(counts[:, 1:])), axis=1)
            for row, n_symbols in zip(all_of_it, self.n_symbols[start : start + together], strict=True):
                yield row[:n_symbols]

    def update(self, symbols: np.ndarray) -> None:
        """Learn from rows of symbols, (n, n_components)."""
        for counts, column in zip(self.counts, symbols.T, strict=True):
            counts += np.bincount(column, minlength=len(counts))
        self.n_rows += len(symbols)


def _leaves(counts: np.ndarray) -> np.ndarray:
    """Probabilities of the leaves of a tree each, from their counts (trees, leaves)."""
    depths = [counts]
    while depths[-1].shape[1] > 1:
        depths.append(depths[-1].reshape(len(counts), -1, 2).sum(axis=2))
    probability = np.ones((len(counts), 1))
    for depth, nodes in enumerate(reversed(depths[:-1]), start=1):
        sides = nodes.reshape(len(counts), -1, 2) + float(depth)
        share = sides / (sides[:, :, :1] + sides[:, :, 1:])
        probability = (probability[:, :, None] * share).reshape(len(counts), -1)
    return probability


def encode_levels(blocks: Iterable[np.ndarray], n_rows: int, n_levels: np.ndarray) -> Iterator[bytes]:
    """Levels as bytes, a piece at a time; memory holds a segment, a piece and the counts.

    Args:
        blocks: levels (n, n_components) int32, some rows at a time.
        n_rows: rows in all.
        n_levels: cells along each dimension.

    Raises:
        ValueError: constriction is not installed, or there are fewer rows than that.
    """
    queue, categorical, uniform = coder()
    model, encoder, n_segments, n_coded = LevelModel(n_levels), queue.RangeEncoder(), 0, 0
    for levels in regrouped(blocks, segments(n_rows, len(n_levels))):
        symbols = model.symbols(levels)
        for column, of_levels, probability in zip(symbols.T, levels.T, model.probabilities(), strict=True):
            encoder.encode(np.ascontiguousarray(column), categorical(probability, perfect=False))
            if model.shift and len(cells := of_levels[of_levels > 0] - 1):
                encoder.encode(cells & ((1 << model.shift) - 1), uniform(1 << model.shift))
        model.update(symbols)
        n_segments, n_coded = n_segments + 1, n_coded + len(levels)
        if encoder.num_words() >= PIECE_WORDS or n_coded == n_rows:
            words = encoder.get_compressed()
            yield _PIECE.pack(n_segments, len(words)) + words.astype("<u4").tobytes()
            encoder, n_segments = queue.RangeEncoder(), 0
    if n_coded != n_rows:
        raise ValueError(f"Expected {n_rows:,} rows of levels, got {n_coded:,}.")


def decode_levels(read: Callable[[int], bytes], n_rows: int, n_levels: np.ndarray) -> Iterator[np.ndarray]:
    """The levels that `encode_levels` coded, a segment at a time.

    Args:
        read: gives the next so many bytes, or raises UnreadableFile.
        n_rows: rows in all.
        n_levels: cells along each dimension.

    Raises:
        UnreadableFile: bytes that are no levels.
        ValueError: constriction is not installed.
    """
    queue, categorical, uniform = coder()
    model, decoder, n_segments = LevelModel(n_levels), queue.RangeDecoder(np.zeros(0, np.uint32)), 0
    for size in segments(n_rows, len(n_levels)):
        if n_segments == 0:
            n_segments, n_words = _PIECE.unpack(read(_PIECE.size))
            if n_words > PIECE_WORDS + 2 * max(SEGMENT_LEVELS, len(n_levels)) + 2:  # a level takes two words at most
                raise UnreadableFile(f"Expected a piece of some MB, got {n_words:,} words.")
            decoder = queue.RangeDecoder(np.frombuffer(read(4 * n_words), "<u4").astype(np.uint32))
        symbols = np.empty((size, len(n_levels)), np.int32)
        levels = np.zeros_like(symbols)
        for j, probability in enumerate(model.probabilities()):
            try:
                symbols[:, j] = decoder.decode(categorical(probability, perfect=False), size)
                cells = symbols[:, j] > 0
                levels[cells, j] = ((symbols[cells, j] - 1) << model.shift) + 1
                if model.shift and cells.any():
                    levels[cells, j] += decoder.decode(uniform(1 << model.shift), int(cells.sum()))
            except AssertionError as error:  # what the coder says of words that it did not write
                raise UnreadableFile(f"Expected coded levels, got other bits ({error}).") from error
        model.update(symbols)
        n_segments -= 1
        yield levels
    if n_segments:
        raise UnreadableFile(f"Expected the levels of {n_rows:,} rows, got more of them.")


def coder() -> tuple[Any, Any, Any]:
    """constriction's range coder, and its models: a table of probabilities, and all alike.

    Raises:
        ValueError: constriction is not installed.
    """
    try:
        from constriction import stream  # type: ignore[missing-module-attribute]
    except ImportError as error:
        raise ValueError(
            "Expected the package constriction, which turns quantised codes into few bits, got none; "
            "use pip install 'isthmus[coding]'."
        ) from error
    return stream.queue, stream.model.Categorical, stream.model.Uniform


def empirical_entropy(levels: np.ndarray) -> float:
    r"""Bits that levels would take at their own frequencies, :math:`-\sum_{ij} \log_2 (n_j(l_{ij}) / n)`.

    No code that treats rows and dimensions as independent is shorter but for what it learns of the frequencies.

    Args:
        levels: (n, n_components), whole numbers from 0.

    Returns:
        Bits of all rows together.

    Example:
        >>> empirical_entropy(np.array([[0, 1], [1, 1], [0, 1], [1, 1]]))
        4.0
    """
    bits = 0.0
    for column in levels.T:
        counts = np.bincount(column)
        counts = counts[counts > 0]
        bits += float((counts * np.log2(len(column) / counts)).sum())
    return bits

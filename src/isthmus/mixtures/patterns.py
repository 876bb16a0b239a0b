"""Rows with missing values, grouped by which values are there: what is computed of a pattern is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Block", "blocks_by_pattern"]

BLOCK_NUMBERS = 2**20
"""Numbers in the largest array that a block needs: 8 MB."""

MOST_ROWS = 2048
"""Rows of one pattern in a block."""


class Block(NamedTuple):
    """Some patterns, and equally many rows of each.

    Attributes:
        index: numbers of the rows, (P, m); where a pattern has fewer, some row once more.
        counts: 1 for rows, 0 for those once more, (P, m) bool.
        seen: which values are there, (P, F) bool.
    """

    index: Tensor
    counts: Tensor
    seen: Tensor


def blocks_by_pattern(seen: Tensor, n_components: int) -> list[Block]:
    """Group rows by pattern, in blocks of bounded size.

    A pattern's rows are filled up to the next power of two, and patterns of as many rows are taken together: neither
    a few patterns of many rows nor as many patterns as rows need a loop over rows.

    Args:
        seen: which values are there, (n, F) bool.
        n_components: K; for each pattern there will be K matrices (F, F), and for each row K differences (F,).

    Example:
        >>> seen = torch.tensor([[True, True], [True, False], [True, True]])
        >>> [block.index.tolist() for block in blocks_by_pattern(seen, 1)]
        [[[1]], [[0, 2]]]
    """
    code = _codes(seen)
    order = torch.argsort(code, stable=True)
    _, counts = torch.unique_consecutive(code[order], return_counts=True)
    # Pieces of at most MOST_ROWS rows, each of one pattern.
    n_pieces = (counts + MOST_ROWS - 1) // MOST_ROWS
    number = torch.arange(int(n_pieces.sum()), device=seen.device)
    first = number - torch.repeat_interleave(n_pieces.cumsum(0) - n_pieces, n_pieces)
    starts = torch.repeat_interleave(counts.cumsum(0) - counts, n_pieces) + first * MOST_ROWS
    ends = torch.repeat_interleave(counts.cumsum(0), n_pieces)
    sizes = (ends - starts).clamp_max(MOST_ROWS)
    return list(_blocks(seen, order, starts, sizes, n_components * seen.shape[1]))


def _codes(seen: Tensor) -> Tensor:
    """A number for each row, (n,), equal where the patterns are: 30 columns at a time, so that none overflows."""
    code = torch.zeros(len(seen), dtype=torch.int64, device=seen.device)
    for start in range(0, seen.shape[1], 30):
        part = seen[:, start : start + 30]
        bits = (part.long() << torch.arange(part.shape[1], device=seen.device)).sum(dim=1)
        code = torch.unique((code << 30) | bits, return_inverse=True)[1]
    return code


def _blocks(seen: Tensor, order: Tensor, starts: Tensor, sizes: Tensor, width: int) -> Iterator[Block]:
    padded = 2 ** torch.ceil(torch.log2(sizes.double())).long()
    for size in torch.unique(padded).tolist():
        chosen = torch.nonzero(padded == size)[:, 0]
        # Enough patterns for quick products, and no more than the arrays of rows and of matrices may take.
        together = max(1, BLOCK_NUMBERS // (width * max(size, seen.shape[1])))
        for piece in torch.split(chosen, together):
            place = torch.arange(size, device=seen.device)
            counts = place < sizes[piece, None]
            index = order[starts[piece, None] + torch.where(counts, place, 0)]
            yield Block(index, counts, seen[index[:, 0]])

"""Sums over rows in chunks, several at a time on a CPU: threads over chunks, not within each small operation."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Adder", "in_chunks"]

N_BLOCKS = 16
"""Of chunks that are added up by themselves: whatever the number of threads, sums are the same."""


class Adder(Protocol):
    """What adds the sums of a chunk to totals; each thread has one, with buffers of its own."""

    def totals(self) -> list[Tensor]:
        """Zeros to add to."""

    def add(self, here: slice, totals: list[Tensor]) -> None:
        """Add those of some rows."""


def in_chunks(make: Callable[[], Adder], n_rows: int, size: int, device: torch.device) -> list[Tensor]:
    """Totals over all rows, from chunks of a size.

    On a CPU with several threads each takes whole chunks: operations on what fits its cache are too short to be
    shared between threads, which would wait for each other.

    Args:
        make: builds what adds up, once a thread.
        n_rows: of all chunks together.
        size: rows of a chunk.
        device: where it is computed.
    """
    chunks = [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
    blocks = [chunks[i * len(chunks) // N_BLOCKS : (i + 1) * len(chunks) // N_BLOCKS] for i in range(N_BLOCKS)]
    blocks = [block for block in blocks if block]
    n_threads = min(torch.get_num_threads(), len(blocks)) if device.type == "cpu" else 1
    adders: SimpleQueue[Adder] = SimpleQueue()
    for _ in range(n_threads):
        adders.put(make())

    def added(block: list[slice]) -> list[Tensor]:
        adder = adders.get()
        totals = adder.totals()
        for chunk in block:
            adder.add(chunk, totals)
        adders.put(adder)
        return totals

    if n_threads == 1:
        found = [added(block) for block in blocks]
    else:
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(n_threads, initializer=partial(torch.set_num_threads, 1)) as pool:
                found = list(pool.map(added, blocks))
        finally:
            torch.set_num_threads(before)  # that of threads yet to come, which those of the pool have changed
    return [torch.stack(parts).sum(dim=0) for parts in zip(*found, strict=True)]

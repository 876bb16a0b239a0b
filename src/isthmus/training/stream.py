"""Training data that are larger than memory: read group by group in shuffled order, the next one while one is used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.shards import Shards, is_large_map
from ..processes import Part, own_part
from .rows import Rows, Scaling, checked_rows, mix

__all__ = ["Stream", "checked_data"]


class Group(NamedTuple):
    """Rows that are in memory together: numbers `start`, ... of the epoch, from these rows of the source, shuffled."""

    start: int
    stop: int
    ranges: Sequence[tuple[int, int]]
    seed: int


@dataclass(frozen=True, eq=False)
class Stream:
    r"""Rows of data that are read while training, in place of `Rows`.

    The rows lie in blocks of b neighbours, of which g fill the buffer of the shards. In an epoch the blocks are
    permuted by P, and each g of them in turn make a group, whose rows are read and permuted:

    .. math:: \mathrm{order} = \pi_0(B_{P(0)} \cup \dots \cup B_{P(g-1)}),\ \pi_1(B_{P(g)} \cup \dots),\ \dots

    P and each :math:`\pi_k` are functions of (seed, epoch), so that a run resumes at any batch, reading only from its
    group on; in a group blocks stand in the order of the source before :math:`\pi_k`. Where all fit in one buffer, the
    order is that of `Rows`. Batches go on from one group to the next: all but the last of an epoch are full.

    Args:
        shards: features (n, ...), flattened as they are read.
        condition: (n, C), in memory.
        weight: (n,), in memory.
        target: (n, ...), in memory.
        device: where the batches go.
        scaling: done while reading, for devices without float64.
    """

    shards: Shards
    condition: Tensor | None = None
    weight: Tensor | None = None
    target: Tensor | None = None
    device: torch.device = torch.device("cpu")
    scaling: Scaling | None = None

    @property
    def _others(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """What is known of the rows besides x, in the order of `Rows`."""
        return self.condition, self.weight, self.target

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.shards)

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return int(np.prod(self.shards.shape[1:]))

    @property
    def arrangement(self) -> str:
        """What the order depends on besides the seed, for the fingerprint: nothing where one buffer holds all."""
        blocks, rows = self._group_blocks(), self.shards.block_rows
        return "" if self.shards.fits_buffer else f", {blocks} blocks of {rows} at a time"

    def _group_blocks(self) -> int:
        shards = self.shards
        if shards.fits_buffer:
            return -(-self.n_rows // shards.block_rows)
        return max(1, shards.buffer_bytes // (shards.block_rows * shards.row_cost))

    def groups(self, seed: int, epoch: int) -> list[Group]:
        """The groups of an epoch; memory goes with the number of blocks, not of rows."""
        rows, size, own = self.shards.block_rows, self._group_blocks(), mix(seed, epoch)
        n_blocks = -(-self.n_rows // rows)
        blocks = torch.randperm(n_blocks, generator=torch.Generator().manual_seed(mix(own, -1))).numpy()
        groups, start = [], 0
        for number, first in enumerate(range(0, n_blocks, size)):
            chosen = np.sort(blocks[first : first + size]).tolist()
            ranges = [(block * rows, min((block + 1) * rows, self.n_rows)) for block in chosen]
            stop = start + sum(b - a for a, b in ranges)
            groups.append(Group(start, stop, ranges, own if number == 0 else mix(own, number)))
            start = stop
        return groups

    def batches(self, seed: int, epoch: int, size: int, first: int = 0) -> Iterator[tuple[Rows, Part]]:
        """An epoch's batches from number `first` on: this process's rows of each, and which part of it they are."""
        groups = self.groups(seed, epoch)
        while len(groups) > 1 and groups[0].stop <= first * size:
            del groups[0]
        with self._reading(groups) as read:
            group, rows, order = read()
            for start in range(first * size, self.n_rows, size):
                part = own_part(min(size, self.n_rows - start))
                at, stop, pieces = start + part.start, start + part.stop, []
                while at < stop or not pieces:
                    while group.stop <= at < stop:
                        group, rows, order = read()
                    here = max(at, min(stop, group.stop))
                    pieces.append(rows.take(order[at - group.start : here - group.start]))
                    at = here
                yield _joined(pieces), part

    @contextmanager
    def _reading(self, groups: list[Group]) -> Iterator[Callable[[], tuple[Group, Rows, Tensor]]]:
        """A function that gives the groups in turn. While one is used a thread reads the next, and ends with that."""
        stopped, buffers, moved = threading.Event(), self._buffers(groups), _mover(self.device)
        pending: list[tuple[threading.Thread, Future[Rows]]] = []
        turn = iter(range(len(groups)))

        def work(number: int, future: Future[Rows]) -> None:
            try:
                future.set_result(moved(self._read(groups[number], buffers[number % 2], stopped)))
            except BaseException as error:  # raised where the group is waited for
                future.set_exception(error)

        def begin() -> None:
            if (number := next(turn, None)) is not None:
                future: Future[Rows] = Future()
                thread = threading.Thread(target=work, args=(number, future), name="isthmus reads ahead")
                pending.append((thread, future))
                thread.start()

        def read() -> tuple[Group, Rows, Tensor]:
            nonlocal taken
            rows, group = pending.pop(0)[1].result(), groups[taken]
            taken += 1
            if self.device.type == "cuda":  # the rows came by another of its streams: they stay until this one is done
                rows._each(lambda part: part.record_stream(torch.cuda.current_stream(self.device)) or part)
            begin()
            order = torch.randperm(group.stop - group.start, generator=torch.Generator().manual_seed(group.seed))
            return group, rows, order.to(self.device)

        taken = 0
        begin()
        try:
            yield read
        finally:
            stopped.set()
            for thread, _ in pending:
                thread.join()

    def _buffers(self, groups: list[Group]) -> list[Tensor]:
        """Memory for two groups, used in turn."""
        size = max(group.stop - group.start for group in groups)
        dtype = torch.from_numpy(np.empty(0, self.shards.dtype)).dtype
        pinned = self.device.type == "cuda"
        return [torch.empty(size, self.n_features, dtype=dtype, pin_memory=pinned) for _ in groups[:2]]

    def _read(self, group: Group, buffer: Tensor, stopped: threading.Event) -> Rows:
        rows, at = buffer.numpy().reshape(-1, *self.shards.shape[1:]), 0
        for start, stop in group.ranges:
            if stopped.is_set():
                break
            self.shards.read(start, stop, out=rows[at : at + stop - start])
            at += stop - start
        x = buffer[: group.stop - group.start]
        return self._with_others(x, lambda part: torch.cat([part[start:stop] for start, stop in group.ranges]))

    def take(self, index: Tensor) -> Rows:
        """The rows at these indices, on the CPU."""
        x = torch.from_numpy(self.shards[index.cpu().numpy()]).reshape(len(index), -1)
        return self._with_others(x, lambda part: part[index.cpu()])

    def _with_others(self, x: Tensor, choose: Callable[[Tensor], Tensor]) -> Rows:
        x = x if self.scaling is None else self.scaling(x)
        return Rows(x, *(None if part is None else choose(part) for part in self._others))

    def to(self, device: torch.device) -> Stream:
        """The same, with batches on a device."""
        return replace(self, device=device)

    def without_float64(self, scaling: Scaling) -> tuple[Stream, Scaling]:
        """The same data for a device without float64 (mps): what needs it is scaled here, on the CPU."""
        if self.shards.dtype != np.float64 and scaling.shift is None:
            return self, scaling
        others = [part.float() if part is not None and part.dtype == torch.float64 else part for part in self._others]
        return replace(self, condition=others[0], weight=others[1], target=others[2], scaling=scaling), Scaling()


def _joined(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    x, *others = zip(*pieces, strict=True)
    return Rows(torch.cat(x), *(None if part[0] is None else torch.cat(part) for part in others))


def _mover(device: torch.device) -> Callable[[Rows], Rows]:
    """A function that brings rows to the device; on CUDA beside the computation, in a stream of its own."""
    if device.type != "cuda":
        return lambda rows: rows.to(device)
    beside = torch.cuda.Stream(device)

    def move(rows: Rows) -> Rows:
        with torch.cuda.stream(beside):
            moved = rows._each(lambda part: part.to(device, non_blocking=True))
        beside.synchronize()  # the buffer is free for the next group
        return moved

    return move


def checked_data(data: Any, name: str) -> Rows | Stream:
    """Training data at the border: `Shards` and large memory maps are streamed where they don't fit in one buffer.

    Args:
        data: a tensor or array (n, F), `Rows`, `Shards`, or a `Stream`.
        name: what to call it in errors.

    Raises:
        ValueError, TypeError: see `checked_rows`.
    """
    if is_large_map(data):
        data = Shards(data)
    if isinstance(data, Shards) and not data.fits_buffer:
        data = Stream(data)
    if not isinstance(data, Stream):
        return checked_rows(data, name)
    if data.n_rows == 0:
        raise ValueError(f"Expected {name} of at least one row, got none.")
    if not data.shards.checked:
        data.shards.statistics()  # one pass that refuses what is not finite
    if all(part is None for part in data._others):
        return data
    # What is in memory is held to what `Rows` is held to.
    x = torch.zeros(1, dtype=torch.float64 if data.shards.dtype == np.float64 else torch.float32)
    others = checked_rows(Rows(x.expand(data.n_rows, 1), *data._others), name)
    return replace(data, condition=others.condition, weight=others.weight, target=others.target)

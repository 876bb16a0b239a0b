"""Several processes that train one model: who this one is, which rows of a batch are its own, sums over all of them.

Processes are started by torchrun, and talk through torch.distributed. What is drawn or averaged over a batch is drawn
and averaged over the whole batch, of which each process holds a part: a model comes out the same from any number.
In one process all of this is the identity.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from .files import reading_only

__all__ = [
    "LostProcess",
    "Part",
    "add_up",
    "agreed",
    "batch_mean",
    "batch_normal",
    "batch_part",
    "batch_uniform",
    "from_first",
    "is_first",
    "joined",
    "lost_in_words",
    "n_processes",
    "own_part",
    "part_of_batch",
    "rank",
    "send_first",
    "wait_for_all",
]


class LostProcess(ConnectionError):
    """Another process of the run ended or does not answer."""


class Part(NamedTuple):
    """The rows start, ..., stop - 1 of a batch of total rows, cut into n_parts: those of this process.

    Attributes:
        start, stop: the rows.
        total: rows of the batch, in all processes.
        n_parts: number of processes.
        n_copies: how many of them have these same rows, and so count them for as many times less.
    """

    start: int
    stop: int
    total: int
    n_parts: int = 1
    n_copies: int = 1

    @property
    def rows(self) -> slice:
        """As an index."""
        return slice(self.start, self.stop)


def started_by_torchrun() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ and "MASTER_ADDR" in os.environ


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes that torchrun started, for as long as the block lasts; in one process nothing happens.

    Inside, training and evaluation are shared by all processes, which all have to call the same functions with the
    same arguments, and only the first of them writes files. `fit` joins by itself; use it around more than that.

    Raises:
        LostProcess: the other processes could not be reached.

    Example:
        >>> with joined():
        ...     n_processes(), is_first()
        (1, True)
    """
    if dist.is_initialized() or not started_by_torchrun():
        with _one_writer():
            yield
        return
    device = None
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    with lost_in_words():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device else "gloo")
    try:
        with _one_writer():
            yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _one_writer() -> Iterator[None]:
    if is_first():
        yield
    else:
        with reading_only():
            yield


def n_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if n_processes() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return rank() == 0


def own_part(total: int) -> Part:
    """The part of so many rows that is this process's: parts are contiguous, and differ by one row at most.

    With fewer rows than processes each has all of them: what a network does with no row is not always known.
    """
    size, number = n_processes(), rank()
    if total < size:
        return Part(0, total, total, size, size)
    return Part(total * number // size, total * (number + 1) // size, total, size)


# --- what all of a batch shares ------------------------------------------------------------------------

_part: Part | None = None


@contextmanager
def part_of_batch(part: Part) -> Iterator[None]:
    """What is drawn or averaged in here belongs to a batch of which this process has a part."""
    global _part
    before, _part = _part, part if n_processes() > 1 else None
    try:
        yield
    finally:
        _part = before


def batch_part() -> Part | None:
    """The part that this process has of the batch at hand; None if it has all of it."""
    return _part


def batch_normal(like: Tensor, shape: torch.Size | tuple[int, ...], dim: int = 0) -> Tensor:
    """Standard normal noise of a shape whose dimension `dim` is the batch, of the dtype and on the device of `like`.

    It is drawn for the whole batch and cut: the same noise in any number of processes.
    """
    return _cut(lambda whole: torch.normal(like.new_zeros(whole), like.new_ones(whole)), tuple(shape), dim)


def batch_uniform(like: Tensor, dim: int = 0) -> Tensor:
    """Noise in [0, 1) of the shape, dtype and device of `like`, whose batch is dimension `dim`; see `batch_normal`."""
    return _cut(lambda whole: torch.rand(whole, dtype=like.dtype, device=like.device), tuple(like.shape), dim)


def _cut(draw: Callable[[tuple[int, ...]], Tensor], shape: tuple[int, ...], dim: int) -> Tensor:
    if _part is None:
        return draw(shape)
    dim %= len(shape)
    whole = draw((*shape[:dim], _part.total, *shape[dim + 1 :]))
    return whole.narrow(dim, _part.start, _part.stop - _part.start)


def batch_mean(values: Tensor) -> Tensor:
    """Mean over dimension 0, the batch, with gradients to all of its rows, wherever they are."""
    global n_sums
    if _part is None:
        return values.mean(0)
    n_sums += 1
    return _Sum.apply(values.sum(0)) / (_part.total * _part.n_copies)


n_sums = 0
"""How often a mean over a batch in several processes was taken: such a step can't be compiled."""


class _Sum(torch.autograd.Function):
    """Sum over processes; each process's loss is its share of one sum, so gradients are summed over them as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return add_up(values.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return add_up(gradients[0].contiguous().clone())


# --- agreement -----------------------------------------------------------------------------------------


def add_up(values: Tensor) -> Tensor:
    """Sum over all processes, in place. (Where all but one add zeros, the sum is to the bit what that one has.)

    Raises:
        LostProcess: not all of them are there any more.
    """
    if n_processes() > 1:
        with lost_in_words():
            dist.all_reduce(values)
    return values


def send_first(values: Tensor) -> Tensor:
    """The first process's values in all of them, in place."""
    if n_processes() > 1:
        with lost_in_words():
            dist.broadcast(values, 0)
    return values


def wait_for_all() -> None:
    """Go on when every process has come here."""
    add_up(torch.zeros(1))


def from_first(value: Any) -> Any:
    """The first process's value, anything that JSON can hold, in all of them."""
    if n_processes() == 1:
        return value
    data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    length = torch.tensor([len(data)])
    send_first(length)
    data = send_first(data if is_first() else torch.empty(int(length), dtype=torch.uint8))
    return json.loads(data.numpy().tobytes())


def agreed(value: Any, what: str) -> None:
    """Make sure that all processes have the same value, anything that JSON can hold.

    Raises:
        ValueError: they differ; in every process, so that all stop.
    """
    different = torch.tensor([float(from_first(value) != json.loads(json.dumps(value)))])
    if add_up(different) > 0:
        raise ValueError(f"Expected the same {what} in all {n_processes()} processes, got different ones; see to it "
                         "that each reads the same files with the same arguments.")  # fmt: skip


@contextmanager
def lost_in_words() -> Iterator[None]:
    """What torch says of a connection that broke, as an error that says what happened; other errors pass."""
    try:
        yield
    except RuntimeError as error:
        text = str(error).strip()
        if not dist.is_available() or not (isinstance(error, dist.DistError) or "gloo" in text.lower()):
            raise
        raise LostProcess(f"Lost another process of this run: {text.splitlines()[0]}") from error

"""Streamed data train as resident ones do: order, batches, resuming in mid-epoch, the reading thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from cases import binary, vae
from isthmus.data import Shards
from isthmus.files import UnreadableFile
from isthmus.processes import Part
from isthmus.training import Interrupted, Rows, Scaling, stream
from isthmus.training.checkpoint import checkpoints
from isthmus.training.rows import fingerprint
from isthmus.training.step import Step
from isthmus.training.stream import Stream
from training_cases import assert_same, dying_at, short_run, weights

N = 1003
X = np.stack([np.arange(N), np.arange(N) % 7, -np.arange(N)], axis=1).astype(np.float32)
OTHERS = {
    "condition": torch.arange(N)[:, None] % 5,
    "weight": 1.0 + torch.arange(N) % 3,
    "target": torch.arange(N) % 7,
}
SMALL = 2000  # bytes: ten groups


def streamed(buffer_bytes: int = SMALL, **others) -> Stream:
    return Stream(Shards(X, buffer_bytes=buffer_bytes), **others or OTHERS)


def same(one: Rows, other: Rows) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- order -------------------------------------------------------------------------------------------


def test_in_one_buffer_the_order_is_that_of_resident_data():
    resident = Rows(torch.from_numpy(X), **OTHERS)
    for seed, epoch, size, first in ((0, 0, 64, 0), (5, 3, 64, 7), (5, 3, 5000, 0)):
        pairs = zip(
            streamed(2**20).batches(seed, epoch, size, first), resident.batches(seed, epoch, size, first), strict=True
        )
        assert all(part == other and same(rows, others) for (rows, part), (others, other) in pairs)


@pytest.mark.parametrize("size", [1, 64, 250])  # within a group, over the borders of groups, larger than groups
def test_an_epoch_is_a_permutation_in_full_batches(size):
    orders = []
    for epoch in (0, 1, 1):
        batches = [rows for rows, _ in streamed().batches(3, epoch, size)]
        lengths = [len(rows.x) for rows in batches]
        assert lengths == [size] * (N // size) + [N % size] * (N % size > 0)
        numbers = torch.cat([rows.x[:, 0] for rows in batches]).long()
        assert sorted(numbers.tolist()) == list(range(N))
        assert torch.equal(torch.cat([rows.condition for rows in batches]), OTHERS["condition"][numbers])
        assert torch.equal(torch.cat([rows.weight for rows in batches]), OTHERS["weight"][numbers])
        orders.append(numbers)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[1], orders[2])


def test_rows_that_are_read_together_come_from_all_over_and_are_shuffled():
    source = streamed()
    groups = source.groups(0, 0)
    assert len(groups) > 8
    numbers = torch.cat([rows.x[:, 0] for rows, _ in source.batches(0, 0, 50)])
    for group in groups[:-1]:
        own = numbers[group.start : group.stop]
        assert own.max() - own.min() > 0.6 * N
        assert (own.diff() != 1).float().mean() > 0.8


@pytest.mark.parametrize("buffer_bytes", [SMALL, 2**20])
def test_batches_begin_anywhere(buffer_bytes):
    source = streamed(buffer_bytes)
    whole = list(source.batches(1, 2, 64))
    for first in range(len(whole) + 1):
        pairs = zip(whole[first:], source.batches(1, 2, 64, first), strict=True)
        assert all(part == other and same(rows, others) for (rows, part), (others, other) in pairs)


def test_only_what_is_needed_is_read():
    rows = Recorded(X)
    source = Stream(Shards(rows, buffer_bytes=SMALL))
    next(source.batches(0, 0, 10, 99))
    assert sum(stop - start for start, stop in rows.read) < 130  # the last group, and the row that tells the dtype


class Recorded:
    """Rows that remember which were asked for."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.shape, self.dtype, self.read = rows, rows.shape, rows.dtype, []

    def __getitem__(self, index: slice) -> np.ndarray:
        self.read.append((index.start, index.stop))
        return self.rows[index]


def test_each_process_gets_its_part_of_every_batch(monkeypatch):
    whole = [rows for rows, _ in streamed().batches(0, 0, 64)]
    n = 3
    for number in range(n):
        monkeypatch.setattr(stream, "own_part", lambda t, k=number: Part(t * k // n, t * (k + 1) // n, t, n))
        for (rows, part), all_rows in zip(streamed().batches(0, 0, 64), whole, strict=True):
            assert same(rows, all_rows.take(torch.arange(len(all_rows.x))[part.rows]))


def test_memory_of_the_order_goes_with_blocks_and_not_with_rows():
    rows = np.broadcast_to(np.uint8(1), (10**10, 64))  # 640 GB
    source = Stream(Shards(rows))
    groups = source.groups(0, 0)
    assert sum(len(group.ranges) for group in groups) < 10**6
    assert groups[-1].stop == len(rows)
    largest = max(group.stop - group.start for group in groups)
    assert largest * (64 + 8) <= source.shards.buffer_bytes


def test_the_fingerprint_tells_rows_and_their_order():
    prints = [fingerprint(one, Scaling()) for one in (streamed(), streamed(2 * SMALL), streamed(2**20))]
    assert len(set(prints)) == 3
    assert prints[2] == fingerprint(Rows(torch.from_numpy(X), **OTHERS), Scaling())
    other = X.copy()
    other[500] += 1
    assert fingerprint(Stream(Shards(other, buffer_bytes=SMALL), **OTHERS), Scaling()) != prints[0]


# --- training ----------------------------------------------------------------------------------------

ROWS = binary(60).x  # 4 steps an epoch
STREAM = Stream(Shards(ROWS.numpy(), buffer_bytes=700))
LARGE = Shards(ROWS.numpy(), buffer_bytes=700)


def test_in_one_buffer_training_is_that_of_resident_data():
    expected = short_run(rows=ROWS)
    for rows in (Stream(Shards(ROWS.numpy())), Shards(ROWS.numpy())):
        found = short_run(rows=rows)
        assert found[1] == expected[1]
        assert_same(found[0], expected[0])


def test_shards_larger_than_a_buffer_are_streamed():
    assert len(STREAM.groups(0, 0)) > 4
    expected, found = short_run(rows=STREAM), short_run(rows=LARGE)
    assert found[1] == expected[1]
    assert_same(found[0], expected[0])
    assert found[1] != short_run(rows=ROWS)[1]


def test_other_units_for_devices_without_double_precision():
    rows = Stream(Shards(X.astype(np.float64), buffer_bytes=SMALL), **OTHERS)
    scaling = Scaling(torch.arange(3.0, dtype=torch.float64), 2.0)
    plain, rest = rows.without_float64(scaling)
    for (one, _), (other, _) in zip(rows.batches(0, 0, 64), plain.batches(0, 0, 64), strict=True):
        assert {part.dtype for part in other} <= {torch.float32, torch.int64}
        assert torch.equal(scaling(one.x), rest(other.x))


@pytest.mark.parametrize("number", range(12))
def test_a_run_stopped_at_any_step_goes_on_as_if_it_was_not(tmp_path, monkeypatch, number):
    expected, history = short_run(rows=LARGE)

    def call(self, rows, step, rate, part=None, original=Step.__call__):
        if step == number:
            monkeypatch.undo()
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, rows, step, rate, part)

    monkeypatch.setattr(Step, "__call__", call)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match=f"after step {number + 1} of 12 and saved"):
            short_run(tmp_path, rows=LARGE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert_no_threads()
    found = short_run(tmp_path, rows=LARGE)
    assert found[1] == history
    assert_same(found[0], expected)


def test_a_run_that_died_goes_on_as_if_it_had_not(tmp_path):
    with dying_at(8):
        short_run(tmp_path, rows=LARGE)
    assert checkpoints(tmp_path)
    assert_same(short_run(tmp_path, rows=LARGE)[0], short_run(rows=LARGE)[0])


def test_a_run_resumes_with_the_same_buffer_only(tmp_path):
    with dying_at(8):
        short_run(tmp_path, rows=LARGE)
    for rows in (Shards(ROWS.numpy(), buffer_bytes=1400), ROWS):
        with pytest.raises(UnreadableFile, match="Expected the data that"):
            short_run(tmp_path, rows=rows)


def test_bad_rows_are_refused_before_training():
    rows = ROWS.numpy().copy()
    rows[33, 2] = np.nan
    model = vae()
    before = weights(model)
    with pytest.raises(ValueError, match="Expected finite numbers in .* row 33"):
        short_run(model=model, rows=Shards(rows, buffer_bytes=700))
    with pytest.raises(ValueError, match="Expected a weight for each of 60 rows"):
        short_run(model=model, rows=replace(STREAM, weight=torch.ones(59)))
    with pytest.raises(ValueError, match="Expected weights of data >= 0"):
        short_run(model=model, rows=replace(STREAM, weight=-torch.ones(60)))
    assert_same(weights(model), before)


# --- the thread that reads ahead ---------------------------------------------------------------------


def reading() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "isthmus reads ahead"]


def assert_no_threads() -> None:
    """Each reads one group and ends: after an exception, whose traceback keeps the batches alive, that is soon."""
    deadline = time.monotonic() + 20
    while reading() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert reading() == []


class Slow(Recorded):
    """Rows that take their time."""

    def __getitem__(self, index: slice) -> np.ndarray:
        time.sleep(0.02)
        return super().__getitem__(index)


def test_the_next_rows_are_read_meanwhile_and_nothing_stays():
    batches = Stream(Shards(Slow(X), buffer_bytes=SMALL)).batches(0, 0, 10)
    next(batches)
    assert len(reading()) == 1
    batches.close()
    assert reading() == []
    batches = Stream(Shards(Slow(X), buffer_bytes=SMALL)).batches(0, 0, 10)
    next(batches)
    del batches
    assert reading() == []


def test_threads_end_with_the_run():
    short_run(rows=LARGE)
    assert reading() == []


class Torn(Recorded):
    """Rows of a disk that fails after some reads."""

    def __getitem__(self, index: slice) -> np.ndarray:
        if len(self.read) > 25:
            raise OSError(5, "Input/output error")
        return super().__getitem__(index)


def test_errors_of_reading_end_the_run_with_their_own_words(tmp_path):
    shards = Shards(Torn(ROWS.numpy()), buffer_bytes=700)
    shards._checked = True
    with pytest.raises(OSError, match="Input/output error"):
        short_run(tmp_path, rows=shards)
    assert_no_threads()
    found = short_run(tmp_path, rows=LARGE, resume=True)
    assert_same(found[0], short_run(rows=LARGE)[0])

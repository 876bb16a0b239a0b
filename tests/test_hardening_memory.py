"""A long run takes no more memory at its end than after its beginning."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

import pytest
import torch

from children import forks, in_child
from isthmus.training.step import Step
from training_cases import short_run as run

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")

ROWS = torch.rand(800, 35, generator=torch.Generator().manual_seed(0)).round()
STEPS_AN_EPOCH = 50
MEGABYTES = 3.0
"""The history is kept, some kilobytes for each of 200 epochs; the rest is room for fragmentation. Half a percent of
the tensors that 10,000 steps make would be more."""
OBJECTS = 200
"""Python's own, and not the history's: one that stays at each step would be hundreds and more."""


def resident() -> float:
    """Megabytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(folder: Path, warm: int, steps: int, kept: list | None = None) -> list[float]:
    """Megabytes and Python objects that a run gains between two of its steps; `kept` leaks a little at each."""
    seen = {}

    def call(self, rows, number, *others, original=Step.__call__):
        if number in (warm, steps - 1):
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # a leak must not hide in memory that was freed before
            seen[number] = resident(), len(gc.get_objects())
        if kept is not None:
            kept.append(torch.ones(3000))
        return original(self, rows, number, *others)

    Step.__call__ = call  # in a child: nobody else sees it
    torch.set_num_threads(1)
    run(folder, patience=None, max_epochs=steps // STEPS_AN_EPOCH, checkpoint_steps=50, rows=ROWS, validation=ROWS[:50])
    (memory, objects), (more_memory, more_objects) = seen[warm], seen[steps - 1]
    return [more_memory - memory, more_objects - objects]


@linux
@forks
@pytest.mark.parametrize(("warm", "steps"), [(200, 1000), pytest.param(2000, 12000, marks=pytest.mark.slow)])
def test_memory_does_not_grow(tmp_path, warm, steps):
    """With a folder, checkpoints, validation, averaged weights and metrics."""
    megabytes, objects = in_child(lambda: growth(tmp_path, warm, steps))
    assert megabytes < MEGABYTES
    assert objects < OBJECTS


@linux
@forks
def test_a_leak_would_be_seen(tmp_path):
    megabytes, objects = in_child(lambda: growth(tmp_path, 200, 1000, kept=[]))
    assert megabytes > MEGABYTES
    assert objects > OBJECTS

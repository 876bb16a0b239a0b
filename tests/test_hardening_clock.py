"""A system's clock that stands, jumps or goes backwards changes neither a run nor, beyond reason, what it records."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import pytest

from isthmus.training import run as running
from isthmus.training.clock import Clock, rows_per_second
from isthmus.training.progress import Progress
from training_cases import ROWS, assert_same, timed_run, timeless
from training_cases import short_run as run


def ticking(step: Callable[[int], float]) -> Callable[[], float]:
    """A clock that moves by step(i) seconds at the ith look at it."""
    state = {"looks": 0, "now": 1e6}

    def now() -> float:
        state["now"] += step(state["looks"])
        state["looks"] += 1
        return state["now"]

    return now


CLOCKS = {
    "stands": lambda i: 0.0,
    "goes backwards": lambda i: -3.0,
    "jumps back a day": lambda i: -86400.0 if i == 40 else 0.25,
    "jumps ahead a day": lambda i: 86400.0 if i == 40 else 0.25,
    "jumps to and fro": lambda i: 1e5 * (-1) ** i,
}


@pytest.fixture(params=CLOCKS)
def clock(request, monkeypatch):
    now = ticking(CLOCKS[request.param])
    monkeypatch.setattr(time, "monotonic", now)
    monkeypatch.setattr(time, "time", now)
    return request.param


def test_a_run_is_the_same_and_its_records_hold_no_impossible_times(tmp_path, clock, monkeypatch, capsys):
    result, history = timed_run(tmp_path, progress=True, max_epochs=6)
    monkeypatch.undo()
    expected, expected_history = run(max_epochs=6)
    assert timeless(history) == expected_history
    assert_same(result, expected)
    seconds = [record["seconds"] for record in history]
    assert seconds == sorted(seconds)
    assert 0 <= seconds[0]
    speeds = [record["rows_per_second"] for record in history]
    assert all(speed is None or 0 <= speed < math.inf for speed in speeds)
    assert (set(speeds) == {None}) == (clock in ("stands", "goes backwards"))
    shown = capsys.readouterr().err
    assert "step 24 of 24" in shown
    assert "-" not in shown
    assert "inf" not in shown
    assert run(tmp_path, max_epochs=6)[1] == expected_history  # checkpoint and metrics are there


def test_checkpoints_and_metrics_go_on_after_a_jump_back(tmp_path, monkeypatch):
    """Ten seconds between two looks: without a jump, and with one of a day, the same number of files is written."""

    def saves(folder, step) -> tuple[int, int]:
        counts = [0, 0]

        def save(*arguments, original=running.save_checkpoint):
            counts[0] += 1
            return original(*arguments)

        def write(*arguments, original=running.write_text):
            counts[1] += 1
            return original(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(running, "save_checkpoint", save)
            patched.setattr(running, "write_text", write)
            patched.setattr(time, "monotonic", ticking(step))
            timed_run(folder, max_epochs=10, checkpoint_steps=None, checkpoint_seconds=200.0)
        return counts[0], counts[1]

    steady = saves(tmp_path / "steady", lambda i: 10.0)
    jumping = saves(tmp_path / "jumping", lambda i: -86400.0 if i == 60 else 10.0)
    assert steady[0] > 5
    assert steady[1] > 10
    assert all(abs(one - other) <= 1 for one, other in zip(steady, jumping, strict=True))


def test_a_clock_stands_still_while_the_system_s_goes_back(monkeypatch):
    moments = iter([10.0, 12.0, 3.0, 4.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    clock = Clock(100.0)
    assert [clock() for _ in range(3)] == [102.0, 102.0, 103.5]


def test_a_speed_in_no_time_is_not_a_number():
    assert math.isnan(rows_per_second(5, 0.0))
    assert rows_per_second(5, 2.0) == 2.5


def test_progress_of_a_terminal_bar_survives_a_jump_back(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(time, "monotonic", ticking(lambda i: -50.0 if i % 7 == 6 else 0.3))
    with Progress(total=50) as shown:
        for step in range(50):
            shown.update(step + 1, 0, 3, ROWS.sum())
    assert shown.bar.finished

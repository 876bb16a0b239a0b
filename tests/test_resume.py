"""A run that is killed and resumed is the run that was not, bit for bit; Ctrl-C stops it between two steps."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from cases import binary, make
from isthmus.files import read_tensors
from isthmus.training import Interrupted, NonFiniteError, Settings, fit
from isthmus.training.checkpoint import checkpoints
from isthmus.training.step import Step
from processes_starting import Started
from training_cases import EAGER, Wrong, assert_same, at_step, timeless, weights
from training_process import train

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")


@pytest.fixture(autouse=True)
def heeded():
    """Ctrl-C counts, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def outcome(folder: Path):
    tensors, metadata = read_tensors(folder / "result")
    assert metrics(folder) == metadata["history"]
    return tensors, timeless(metadata["history"])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(folder)
    tensors, history = outcome(folder)
    assert 10 < len(history) < 99  # early stopping ended it
    assert [record["epoch"] for record in history] == list(range(len(history)))
    return tensors, history


def assert_is(folder: Path, uninterrupted) -> None:
    tensors, history = outcome(folder)
    assert history == uninterrupted[1]
    assert_same(tensors, uninterrupted[0])


@posix
@pytest.mark.parametrize("kills", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_runs_killed_at_random_moments_are_the_run_that_was_not(tmp_path, uninterrupted, kills):
    seed = random.SystemRandom().randrange(2**31)
    process = Started("training_process", "killed", tmp_path, kills, seed)
    text = process.output(timeout=300)
    print(f"seed {seed}; run, step, writing at each kill:\n{text}")  # which pytest shows where this fails
    assert process.returncode == 0
    moments = [line.split() for line in text.splitlines()]
    assert len(moments) == kills
    assert len({(run, step) for run, step, _ in moments}) > kills / 4  # they got on between the kills
    runs = sorted(path for path in tmp_path.iterdir() if path.name.isdigit())
    assert len(runs) == int(moments[-1][0]) + 1 or len(runs) == int(moments[-1][0]) + 2
    for run in runs:
        assert_is(run, uninterrupted)
        assert list(run.rglob(".*")) == []  # what killed writers left is gone


@posix
def test_ctrl_c_stops_after_the_step_saves_and_says_how_to_go_on(tmp_path, uninterrupted):
    child = Started("training_process", "train", tmp_path)
    while not checkpoints(tmp_path):
        assert child.poll() is None, child.output()
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    error = child.output()
    assert child.returncode not in (0, -9)
    step = int(checkpoints(tmp_path)[-1].stem.removeprefix("step-"))
    assert f"Interrupted: Stopped after step {step} of 990 and saved." in error
    assert f"fit(..., folder={str(tmp_path)!r}, resume=True)" in error
    assert f"isthmus train --resume --out {tmp_path}" in error
    assert not (tmp_path / "result").exists()
    train(tmp_path)
    assert_is(tmp_path, uninterrupted)


# --- within this process ---------------------------------------------------------------------------


def run(folder: Path | None, **settings):
    """4 steps an epoch, 12 in all."""
    case = make("VAE")
    settings = {"max_epochs": 3, "batch_size": 16, "average": 0.9, "patience": 5} | EAGER | settings
    rows = case.batch(60).x
    history = fit(
        case.model,
        case.objective,
        rows,
        Settings(**settings),
        validation=rows[:9],
        folder=folder,
        resume=folder is not None,
    )
    return weights(case.model), timeless(history)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@posix
@pytest.mark.parametrize("number", range(12))
def test_a_run_stopped_at_any_step_goes_on_as_if_it_was_not(tmp_path, monkeypatch, number):
    """Also at the last step of an epoch, whose record must be neither lost nor made twice."""
    expected, expected_history = run(None)
    at_step(monkeypatch, number, ctrl_c)
    with pytest.raises(Interrupted, match=f"after step {number + 1} of 12 and saved"):
        run(tmp_path)
    assert len(metrics(tmp_path)) == (number + 1) // 4
    result, history = run(tmp_path)
    assert history == expected_history
    assert timeless(metrics(tmp_path)) == expected_history
    assert_same(result, expected)


@posix
def test_ctrl_c_without_a_folder_says_that_nothing_was_saved(monkeypatch):
    at_step(monkeypatch, 5, ctrl_c)
    with pytest.raises(Interrupted, match="after step 6 of 12; nothing was saved"):
        run(None)
    assert issubclass(Interrupted, KeyboardInterrupt)


@posix
def test_a_second_ctrl_c_stops_at_once(tmp_path, monkeypatch):
    def twice():
        ctrl_c()
        ctrl_c()

    at_step(monkeypatch, 5, twice)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(tmp_path, checkpoint_steps=4)
    assert not isinstance(stopped.value, Interrupted)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000004"]
    assert_same(run(tmp_path, checkpoint_steps=4)[0], run(None)[0])


@posix
@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL, lambda *_: None])
def test_the_handler_of_ctrl_c_is_given_back(monkeypatch, handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        run(None)
        assert signal.getsignal(signal.SIGINT) == handler
        with pytest.raises(NonFiniteError):
            fit(make("VAE").model, Wrong(3), binary(60).x, Settings(batch_size=16, **EAGER))
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


@posix
def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for jobs in the background
    try:
        at_step(monkeypatch, 5, ctrl_c)
        _, history = run(None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(history) == 3


def test_another_thread_may_train():
    """Python lets only the main thread handle signals."""
    results, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: results.append(run(None)))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == before
    assert_same(results[0][0], run(None)[0])


@posix
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # where the tests themselves run in a worker
def test_killed_before_the_first_checkpoint_it_starts_again(tmp_path):
    if not (child := os.fork()):
        Step.__call__ = lambda self, *_: os.kill(os.getpid(), signal.SIGKILL)
        run(tmp_path)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert checkpoints(tmp_path) == []
    result, history = run(tmp_path)
    expected, expected_history = run(None)
    assert history == expected_history
    assert_same(result, expected)

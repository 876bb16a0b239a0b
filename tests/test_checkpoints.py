"""Checkpoints hold all of a run, and are whole or not there; so are its metrics."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict

import pytest
import torch
from torch import nn

from cases import H, conditional_vae, vae
from isthmus.files import read_tensors
from isthmus.training import NonFiniteError, Rows
from isthmus.training import run as running
from isthmus.training.checkpoint import KEPT, checkpoints
from isthmus.training.run import Run
from isthmus.training.step import Step
from training_cases import (
    ROWS,
    SETTINGS,
    Wrong,
    assert_same,
    compiles,
    died_in_step_8,
    differ,
    dying_at,
    partly_frozen_model,
    timeless,
    tree,
    weights,
)
from training_cases import short_run as run


@pytest.fixture
def stopped(tmp_path):
    return died_in_step_8(tmp_path)


# --- all of a run ----------------------------------------------------------------------------------


def batch_norm_model():
    torch.manual_seed(0)
    model = vae()
    model.encoder.net = nn.Sequential(*model.encoder.net, nn.BatchNorm1d(H), nn.Dropout(0.3))
    return model


class Twice(nn.Module):
    """One linear map under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(H, H)
        self.other = nn.Linear(H, H, bias=False)
        self.other.weight = self.one.weight

    def forward(self, x):
        return self.other(self.one(x))


def twice_model():
    torch.manual_seed(0)
    model = vae()
    model.encoder.net = nn.Sequential(*model.encoder.net, Twice())
    return model


def double_model():
    torch.manual_seed(0)
    return vae().double()


@pytest.mark.parametrize("make", [batch_norm_model, twice_model, double_model, partly_frozen_model])
@pytest.mark.parametrize("number", [3, 4, 5, 9])
def test_a_run_that_died_goes_on_bit_for_bit(tmp_path, make, number):
    expected, history = run(model=make())
    with dying_at(number):
        run(tmp_path, model=make())
    result, resumed = run(tmp_path, model=make())
    assert resumed == history
    assert_same(result, expected)


def test_conditions_and_weights_go_on_as_well(tmp_path):
    def go(folder=None):
        torch.manual_seed(0)
        rows = Rows(ROWS, torch.eye(4, dtype=torch.float64)[torch.arange(60) % 4], 1.0 + torch.arange(60) % 3)
        return run(folder, model=conditional_vae(), rows=rows, validation=rows.take(torch.arange(9)))

    expected, history = go()
    with dying_at(7):
        go(tmp_path)
    result, resumed = go(tmp_path)
    assert resumed == history
    assert_same(result, expected)


@compiles
@pytest.mark.slow
def test_a_compiled_run_goes_on_bit_for_bit(tmp_path):
    """In a process that has never computed a KL, whose first call torch can not compile."""
    expected, history = run(compile=True)
    with dying_at(6):
        run(tmp_path, compile=True)
    torch.distributions.kl._KL_MEMOIZE.clear()
    result, resumed = run(tmp_path, compile=True)
    assert resumed == history
    assert_same(result, expected)


@pytest.mark.parametrize("number", [8, 11, 12, 14, 18])
def test_patience_goes_on_where_it_was(tmp_path, monkeypatch, number):
    """The lowest loss, its weights, and the epochs since: the best lies before the death, the end after it."""
    losses = [3.0, 2.0, 2.5, 2.25, 2.75, 0.0]
    monkeypatch.setattr(Run, "_validation_loss", lambda self, _: losses[len(self.state.history)])
    expected, history = run(patience=3, max_epochs=6)
    assert len(history) == 5
    with dying_at(number):
        run(tmp_path, patience=3, max_epochs=6)
    result, resumed = run(tmp_path, patience=3, max_epochs=6)
    assert resumed == history
    assert_same(result, expected)


def test_a_finished_run_resumes_to_itself(tmp_path):
    expected, history = run(tmp_path)
    files = tree(tmp_path)
    again, once_more = run(tmp_path)
    assert (once_more, tree(tmp_path)) == (history, files)
    assert_same(again, expected)


def test_a_run_may_be_made_longer(tmp_path):
    expected, history = run(max_epochs=5)
    run(tmp_path)
    result, longer = run(tmp_path, max_epochs=5, checkpoint_steps=None, checkpoint_seconds=1.0)
    assert longer == history
    assert_same(result, expected)


def test_a_loss_that_is_not_finite_in_validation_does_not_stop_the_run(tmp_path, monkeypatch):
    """JSON has no NaN: where a record holds one, it says None, in memory as in the file."""
    losses = iter([3.0, float("nan"), float("inf")])
    monkeypatch.setattr(Run, "_validation_loss", lambda *_: next(losses))
    _, history = run(tmp_path)
    assert [record["validation"] for record in history] == [3.0, None, None]
    assert timeless(map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())) == history
    _, again = run(tmp_path)
    assert again == history


def test_a_failed_run_leaves_its_last_good_state(tmp_path):
    with pytest.raises(NonFiniteError, match="'ratio' at step 7"):
        run(tmp_path, objective=Wrong(7), model=(failed := batch_norm_model()))
    assert checkpoints(tmp_path)[-1].stem == "step-000000007"
    tensors, _ = read_tensors(checkpoints(tmp_path)[-1])
    assert_same({name: tensors[f"model.{name}"] for name in failed.state_dict()}, weights(failed))
    with pytest.raises(NonFiniteError, match="'ratio' at step 7"):  # it goes on, to the same end
        run(tmp_path, objective=Wrong(7), model=(again := batch_norm_model()))
    assert_same(weights(again), weights(failed))


def test_a_failure_seen_late_is_not_in_a_checkpoint(tmp_path, monkeypatch):
    """On an accelerator one looks every so many steps: a checkpoint in between must look first."""

    def patient(self, original=Run.__post_init__):
        original(self)
        self.check_every = 1000

    monkeypatch.setattr(Run, "__post_init__", patient)
    with pytest.raises(NonFiniteError, match="'ratio' at step 5"):
        run(tmp_path, objective=Wrong(5), checkpoint_steps=7, batch_size=4)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000005"]


# --- whole or not there ----------------------------------------------------------------------------


def test_a_failing_write_leaves_what_was_there(tmp_path, monkeypatch):
    calls = []

    def fail(descriptor, original=os.fsync):
        calls.append(descriptor)
        if len(calls) > 6:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        run(tmp_path, checkpoint_steps=1)
    monkeypatch.undo()
    assert checkpoints(tmp_path)
    assert list(tmp_path.rglob(".*")) == []
    assert_same(run(tmp_path, checkpoint_steps=1)[0], run()[0])


def test_the_newest_are_kept_and_others_files_too(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ("checkpoints/notes.txt", "checkpoints/other.safetensors", "notes.txt"):
        (tmp_path / name).write_text("of the user")
    run(tmp_path, checkpoint_steps=1)
    run(tmp_path, resume=False, checkpoint_steps=1, max_epochs=2)
    mine = [f"checkpoints/step-{step:09d}.safetensors" for step in (7, 8)]
    assert KEPT == len(mine)
    assert tree(tmp_path) == sorted(
        ["checkpoints/notes.txt", "checkpoints/other.safetensors", "notes.txt", "metrics.jsonl", *mine]
    )


def test_starting_anew_forgets_the_earlier_run(stopped):
    with dying_at(0):
        run(stopped, resume=False)
    assert tree(stopped) == []


# --- metrics.jsonl ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_metrics_are_one_whole_record_an_epoch_at_any_time(tmp_path, monkeypatch, seconds):
    """A reader beside the run sees whole records at every step, whether they are written at once or now and then."""
    counts = []

    def read():
        path = tmp_path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def call(self, rows, step, rate, part=None, original=Step.__call__):
        counts.append(len(read()))
        if len(counts) == 11:
            raise SystemExit
        return original(self, rows, step, rate, part)

    monkeypatch.setattr(running, "SECONDS_BETWEEN_METRICS", seconds)
    with monkeypatch.context() as patched:
        patched.setattr(Step, "__call__", call)
        with pytest.raises(SystemExit):
            run(tmp_path)
    assert counts == ([0] * 4 + [1] * 4 + [2] * 3 if seconds == 0 else [0] * 6 + [1] * 3 + [2] * 2)
    _, history = run(tmp_path)
    assert timeless(read()) == history
    assert [record["epoch"] for record in read()] == [0, 1, 2]
    assert [record["step"] for record in read()] == [4, 8, 12]


def test_settings_of_a_checkpoint_are_the_settings(stopped):
    _, metadata = read_tensors(checkpoints(stopped)[-1])
    assert metadata["run"]["settings"] == json.loads(json.dumps(asdict(SETTINGS)))
    assert metadata["step"] == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert differ(run(stopped)[0], {name: tensor + 1 for name, tensor in run()[0].items()})

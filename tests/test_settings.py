"""Settings, schedules, precision and device; what a run shows while it goes, and what it leaves in memory."""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import math
import re
import sys
import weakref

import numpy as np
import pytest
import torch

from cases import autoencoder, binary, make, vae
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import ELBO, Reconstruction
from isthmus.priors import StandardNormal
from isthmus.training import Schedule, Settings, fit, progress
from isthmus.training.step import Step
from training_cases import EAGER

# --- schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(), [1, 1, 1, 1, 1, 1, 1, 1]),
        (Schedule(warm_up=4), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        (Schedule(warm_up=1), [1, 1, 1, 1, 1, 1, 1, 1]),
        (Schedule("cosine"), [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]),
        (Schedule("cosine", final=0.2), [0.2 + 0.4 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]),
        (Schedule("cosine", warm_up=6), [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1, 0.5]),
        (Schedule("stepwise", final=0.1), [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        (Schedule("stepwise", final=0.5, milestones=(0.25,)), [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
        (Schedule("stepwise", warm_up=4, final=0.1), [0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.01]),
        (Schedule("cosine", warm_up=100), [(step + 1) / 100 for step in range(8)]),
    ],
)
def test_schedules_are_what_they_say(schedule, factors):
    assert [schedule(step, 8) for step in range(8)] == pytest.approx(factors, rel=1e-12)


@pytest.mark.parametrize("shape", ["cosine", "stepwise"])
def test_a_schedule_ends_at_its_final_value(shape):
    schedule = Schedule(shape, warm_up=3, milestones=(0.5,), final=0.3)
    assert schedule(1000, 1000) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": "linear"}, "'cosine'"),
        ({"warm_up": -1}, "warm_up >= 0"),
        ({"milestones": (0.5, 1.0)}, r"in \(0, 1\)"),
        ({"final": 1.5}, r"final in \[0, 1\]"),
        ({"final": float("nan")}, r"final in \[0, 1\]"),
    ],
)
def test_a_bad_schedule_is_refused_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        Schedule(**arguments)


def test_training_follows_the_schedule():
    schedule = Schedule("cosine", warm_up=5)
    settings = Settings(max_epochs=3, batch_size=16, learning_rate=0.1, schedule=schedule, **EAGER)
    history = fit(vae(), ELBO(), binary(50).x, settings)  # 4 steps an epoch
    assert [record["learning_rate"] for record in history] == [0.1 * schedule(step, 12) for step in (3, 7, 11)]


def test_the_schedule_scales_the_update():
    """The first step of Adam moves each weight by its rate, whatever the gradient."""
    moved = []
    for schedule in (Schedule(), Schedule(warm_up=4)):
        model = make("autoencoder").model
        before = model.encoder.net[0][0].weight.detach().clone()
        fit(model, Reconstruction(), binary(8).x, Settings(max_epochs=1, schedule=schedule, **EAGER))
        moved.append((model.encoder.net[0][0].weight - before).abs().median().item())
    assert moved == pytest.approx([1e-3, 0.25e-3], rel=1e-2)


def test_the_kl_warms_up_with_the_steps():
    history = fit(vae(), ELBO(beta=2.0, warm_up=8), binary(16).x, Settings(max_epochs=12, batch_size=16, **EAGER))
    share = [(record["loss"] - record["distortion"]) / record["rate"] for record in history]
    assert share == pytest.approx([2 * min(1, step / 8) for step in range(12)], abs=1e-4)


# --- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_epochs", 0, ValueError),
        ("max_epochs", 1.5, TypeError),
        ("batch_size", 0, ValueError),
        ("batch_size", None, TypeError),
        ("batch_size", "8", TypeError),
        ("patience", 0, ValueError),
        ("checkpoint_steps", 0, ValueError),
        ("seed", 0.5, TypeError),
        ("seed", None, TypeError),
        ("learning_rate", 0.0, ValueError),
        ("learning_rate", -1e-3, ValueError),
        ("learning_rate", float("nan"), ValueError),
        ("learning_rate", float("inf"), ValueError),
        ("learning_rate", "0.1", TypeError),
        ("clip_norm", 0.0, ValueError),
        ("checkpoint_seconds", 0.0, ValueError),
        ("average", 0.0, ValueError),
        ("average", 1.0, ValueError),
        ("average", float("nan"), ValueError),
        ("precision", "fp16", ValueError),
        ("compile", "yes", ValueError),
    ],
)
def test_a_bad_setting_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=f"{name}.*got"):
        Settings(**{name: value})


def test_numbers_of_numpy_are_numbers():
    """As a search over parameters gives them; they must reach a checkpoint's JSON."""
    settings = Settings(
        max_epochs=np.int64(2), seed=np.int32(3), learning_rate=np.float32(0.5), average=np.float64(0.9)
    )
    assert json.loads(json.dumps(dataclasses.asdict(settings)))["learning_rate"] == 0.5
    assert type(settings.seed) is int


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu", "meta:x"])
def test_a_device_that_is_not_there_is_refused_in_words(device):
    with pytest.raises(ValueError, match=f"Expected device 'auto', 'cpu', 'cuda' or 'mps', got '{device}'"):
        fit(vae(), ELBO(), binary(4).x, Settings(device=device))


def test_half_precision_trains_as_well(digits):
    """Matrix products in bfloat16 on the CPU: another run, the same loss within half a nat of some 20."""

    def trained(precision: str) -> dict:
        torch.manual_seed(0)
        encoder = Conditional(MLP(64, (32,)), GaussianHead(32, 4))
        model = LatentVariableModel(encoder, Conditional(MLP(4, (32,)), BernoulliHead(32, 64)), StandardNormal(4))
        settings = Settings(max_epochs=10, batch_size=64, learning_rate=3e-3, precision=precision, **EAGER)
        history = fit(model, ELBO(), digits, settings)
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
        return history

    whole, half = trained("fp32"), trained("bf16")
    assert whole[0]["loss"] != half[0]["loss"]
    assert whole[-1]["loss"] < whole[0]["loss"] - 5
    assert half[-1]["loss"] == pytest.approx(whole[-1]["loss"], abs=0.5)


# --- progress --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, stream: io.StringIO, on: bool = True, lines: float = 0.0) -> str:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_READS", 0.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", lines)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    fit(vae(), ELBO(), binary(32).x, Settings(max_epochs=3, batch_size=16, **EAGER), progress=on, title="a VAE")
    return stream.getvalue()


def test_lines_where_there_is_no_terminal(monkeypatch, capsys):
    lines = shown(monkeypatch, io.StringIO()).splitlines()
    assert len(lines) == 6
    form = r"a VAE: step (\d) of 6  epoch (\d)  [\d,]+ rows/s  loss \d+\.\d\d nats  \d+ s left"
    found = [re.fullmatch(form, line).groups() for line in lines]
    assert found == [("1", "1"), ("2", "1"), ("3", "2"), ("4", "2"), ("5", "3"), ("6", "3")]
    assert lines[-1].endswith(" 0 s left")
    assert capsys.readouterr().out == ""


def test_lines_are_few(monkeypatch):
    (line,) = shown(monkeypatch, io.StringIO(), lines=60.0).splitlines()
    assert "step 6 of 6" in line


def test_a_bar_on_a_terminal(monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert "\x1b[" in text
    assert re.search(r"a VAE .*100 %.*epoch 3  [\d,]+ rows/s  loss \d+\.\d\d nats.*0:00:00", text)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_where_it_is_off(monkeypatch, stream):
    assert shown(monkeypatch, stream(), on=False) == ""


# --- threads and memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("small", "threads"), [(20_000_000, 1), (0, 2)])
def test_small_models_train_on_one_thread(small, threads, monkeypatch):
    """And the process has as many as before, afterwards."""
    seen = set()

    def spy(self, *arguments, original=Step.__call__):
        seen.add(torch.get_num_threads())
        return original(self, *arguments)

    monkeypatch.setattr("isthmus.training.loop.SMALL_STEP", small)
    monkeypatch.setattr(Step, "__call__", spy)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit(autoencoder(), Reconstruction(), binary(8).x, Settings(max_epochs=1, **EAGER))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {threads}


def count_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_memory_does_not_grow_with_the_steps(monkeypatch):
    counts = {}

    def spy(self, rows, number, rate, part=None, original=Step.__call__):
        if number in (100, 520):
            counts[number] = count_tensors()
        return original(self, rows, number, rate, part)

    monkeypatch.setattr(Step, "__call__", spy)
    fit(vae(), ELBO(), binary(60).x, Settings(max_epochs=9, batch_size=1, average=0.9, **EAGER))
    # Fewer is no growth: what tests before this one left behind may go meanwhile.
    assert 0 < counts[520] <= counts[100]


def test_a_model_is_let_go_after_training():
    model = autoencoder()
    history = fit(model, Reconstruction(), binary(8).x, Settings(max_epochs=1, **EAGER))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert history

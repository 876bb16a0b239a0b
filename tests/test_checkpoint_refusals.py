"""A checkpoint fits nothing but the run that wrote it, and a damaged one says what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from cases import F, H, vae
from isthmus.files import FORMAT, UnreadableFile, read_tensors, write_tensors
from isthmus.objectives import ELBO, Reconstruction
from isthmus.training import Rows, Scaling, Schedule
from isthmus.training.checkpoint import checkpoints
from isthmus.training.rows import fingerprint
from training_cases import (
    ROWS,
    assert_same,
    died_in_step_8,
    partly_frozen_model,
    weights,
)
from training_cases import short_run as run


@pytest.fixture
def stopped(tmp_path):
    return died_in_step_8(tmp_path)


# --- nothing but the run that wrote it -------------------------------------------------------------

CHANGED = ROWS.clone()
CHANGED[31, 3] += 0.5


def other_activation():
    model = vae()
    model.encoder.net[0][1] = nn.SiLU()
    return model


def other_width():
    model = vae()
    model.encoder.net.append(nn.Linear(H, H))
    return model


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 2e-3}, r"learning_rate 0.001 \(now 0.002\)"),
        ({"batch_size": 8}, r"batch_size 16 \(now 8\)"),
        ({"seed": 1}, r"seed 0 \(now 1\)"),
        ({"average": None}, r"average 0.9 \(now None\)"),
        ({"schedule": Schedule("cosine")}, "schedule"),
        ({"precision": "bf16"}, "precision"),
        ({"objective": ELBO(beta=2.0)}, r"objective .*beta=1\.0.*beta=2\.0"),
        ({"objective": Reconstruction()}, "objective .*ELBO.*Reconstruction"),
        ({"model": other_activation()}, "other layers"),
        ({"model": other_width()}, r"other weights: encoder\.net\.1\.bias"),
        ({"model": vae().double()}, "other weights"),
        ({"model": partly_frozen_model()}, "other parameters were trained"),
        ({"rows": CHANGED}, "data .*crc32"),
        ({"rows": ROWS.flip(0)}, "data .*crc32"),
        ({"rows": ROWS[:59]}, r"data .*\(59, 35\)"),
        ({"rows": ROWS.double()}, "data .*float64"),
        ({"rows": Rows(ROWS, weight=1.0 + torch.arange(60))}, "data .*weight"),
        ({"scaling": Scaling(scale=2.0)}, "data .*scale 2.0"),
        ({"scaling": Scaling(shift=torch.ones(F))}, "data .*crc32"),
        ({"validation": ROWS[:8]}, "validation"),
    ],
)  # fmt: skip
def test_another_run_s_checkpoint_is_refused_in_words(stopped, changes, words):
    torch.manual_seed(0)
    model = changes.pop("model", None) or vae()
    before = weights(model)
    with pytest.raises(UnreadableFile, match=f"(?s){words}"):
        run(stopped, model=model, **changes)
    assert_same(weights(model), before)
    assert len(checkpoints(stopped)) == 2


class Drop:
    """Something whose text is its address."""


@dataclass(frozen=True)
class Denoised(ELBO):
    drop: Drop = field(default_factory=Drop)


def test_an_objective_with_a_function_in_it_resumes(tmp_path):
    """Its address in memory, which another process has elsewhere, is not what it is."""

    first, second = (Denoised(drop=Drop()) for _ in range(2))
    assert repr(first) != repr(second)
    expected, _ = run(objective=first)
    run(tmp_path, objective=first, max_epochs=2)
    assert_same(run(tmp_path, objective=second)[0], expected)


def test_a_fingerprint_is_cheap_and_sees_what_it_can():
    rows = torch.zeros(100_000, 3)
    first = fingerprint(Rows(rows), Scaling())
    rows[0, 0] = 1
    assert fingerprint(Rows(rows), Scaling()) != first
    assert fingerprint(Rows(torch.zeros(1, 1)), Scaling()).startswith("scale 1.0, x (1, 1) float32, crc32")


def test_another_environment_is_warned_of(stopped, monkeypatch):
    monkeypatch.setattr("isthmus.training.loop.SMALL_STEP", 0)  # below it there is one thread in any case
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(RuntimeWarning, match=f"threads {threads} .now {threads + 1}.*not bit for bit"):
            run(stopped)
    finally:
        torch.set_num_threads(threads)


# --- damaged ---------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_named(stopped):
    older, newest = checkpoints(stopped)
    whole = newest.read_bytes()
    for length in {0, 7, 8, 100, *range(0, len(whole), 997), len(whole) - 1}:
        newest.write_bytes(whole[:length])
        with pytest.raises(UnreadableFile, match=rf"{newest}.*If it is damaged, delete it to go on from {older}\."):
            run(stopped)
    for place in range(0, len(whole), 997):
        newest.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(UnreadableFile, match=rf"{newest}.*delete it to go on from {older}\."):
            run(stopped)
    newest.unlink()
    result, history = run(stopped)  # as the message says
    expected, expected_history = run()
    assert history == expected_history
    assert_same(result, expected)


def test_a_damaged_only_checkpoint_says_that_there_is_no_other(stopped):
    older, newest = checkpoints(stopped)
    newest.unlink()
    older.write_bytes(older.read_bytes()[:-1])
    with pytest.raises(UnreadableFile, match="start anew from the first step, as there is no other"):
        run(stopped)


def test_a_foreign_or_newer_file_is_refused_in_words(stopped, monkeypatch):
    _, newest = checkpoints(stopped)
    tensors, metadata = read_tensors(newest)
    metadata.pop("format")
    write_tensors(newest, tensors, metadata | {"kind": "estimator"})
    with pytest.raises(UnreadableFile, match="Expected a checkpoint in .*, got 'estimator'"):
        run(stopped)
    for missing in ("run", "history", "environment"):
        write_tensors(newest, tensors, {name: value for name, value in metadata.items() if name != missing})
        with pytest.raises(UnreadableFile, match=f"whole checkpoint in .*'{missing}'"):
            run(stopped)
    with monkeypatch.context() as patched:
        patched.setattr("isthmus.files.FORMAT", FORMAT + 1)
        write_tensors(newest, tensors, metadata)
    with pytest.raises(UnreadableFile, match="newer version of Isthmus"):
        run(stopped)

"""Runs with each optimiser: they go on bit for bit, in several processes too, from estimators and the command line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cases import make
from estimator_cases import real_table
from isthmus import Autoencoder, StackedAutoencoder, load
from isthmus.cli.main import main
from isthmus.files import UnreadableFile, read_tensors, write_tensors
from isthmus.training import Settings, fit
from isthmus.training.checkpoint import checkpoints
from processes_starting import finish, needs_gloo, outputs, start
from training_cases import EAGER, assert_same, differ, dying_at, weights
from training_cases import short_run as run

each_name = pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])

# --- runs --------------------------------------------------------------------------------------------


@each_name
def test_a_run_that_died_goes_on_bit_for_bit(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "weight_decay": 0.1}
    expected, history = run(**settings)
    with dying_at(8):
        run(tmp_path, **settings)
    result, resumed = run(tmp_path, **settings)
    assert resumed == history
    assert_same(result, expected)


@each_name
def test_settings_choose_the_optimiser(optimizer):
    """Other weights than with its neighbours, and a lower loss than before."""
    found = {}
    for settings in ({"optimizer": optimizer}, {"optimizer": optimizer, "weight_decay": 5.0}, {}):
        settings = {"optimizer": "sgd" if optimizer == "adam" else "adam"} | settings
        found[str(settings)], history = run(max_epochs=12, **settings)
        assert history[-1]["loss"] < history[0]["loss"]
    one, decayed, other = found.values()
    assert differ(one, other)
    for name in ("encoder.net.0.0.weight", "decoder.net.0.0.weight"):
        assert decayed[name].norm() < one[name].norm()


def test_momentum_is_sgd_s():
    results = {momentum: run(optimizer="sgd", momentum=momentum)[0] for momentum in (0.0, 0.9)}
    assert differ(results[0.0], results[0.9])
    assert_same(run(momentum=0.0)[0], run(momentum=0.9)[0])


def test_muon_trains_convolutions():
    case = make("convolutional VAE")
    before = weights(case.model)
    settings = Settings(max_epochs=8, batch_size=16, optimizer="muon", **EAGER)
    history = fit(case.model, case.objective, case.batch(32).x, settings)
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(not torch.equal(tensor, before[name]) for name, tensor in weights(case.model).items())


@needs_gloo
def test_muon_in_several_processes_is_muon_in_one(tmp_path, monkeypatch):
    for n in (1, 2):
        finish(start("muon", tmp_path, n))
    (one, one_said), (two, two_said) = (read_tensors(tmp_path / f"result-{n}") for n in (1, 2))
    # Gradients that differ in their last digit are often rounded to another bfloat16.
    assert_same(two, one, rtol=0, atol=1e-3)
    losses = [[record["validation"] for record in said["history"]] for said in (one_said, two_said)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@needs_gloo
@pytest.mark.slow
def test_momentum_of_a_sharded_run_is_cut_saved_and_refused(tmp_path):
    finish(start("sharded", tmp_path / "whole", 1, OPTIMIZER="sgd"))
    finish(start("sharded", tmp_path, 2, OPTIMIZER="sgd", BREAK_AT="2"))
    texts = outputs(start("sharded", tmp_path, 2, OPTIMIZER="adam"))
    assert all("optimizer 'sgd' (now 'adam'); resume with those" in text for text in texts), texts
    finish(start("sharded", tmp_path, 2, OPTIMIZER="sgd"))
    (whole, _), (cut, _) = read_tensors(tmp_path / "whole" / "result-1"), read_tensors(tmp_path / "result-2")
    assert_same({name: cut[name] for name in whole}, whole, rtol=0, atol=1e-4)


# --- checkpoints -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "sgd"}, r"optimizer 'muon' \(now 'sgd'\)"),
        ({"optimizer": "adam"}, r"optimizer 'muon' \(now 'adam'\)"),
        ({"weight_decay": 0.1}, r"weight_decay 0\.0 \(now 0\.1\)"),
    ],
)
def test_a_checkpoint_of_another_optimiser_is_refused_in_words(tmp_path, changes, words):
    run(tmp_path, optimizer="muon")
    with pytest.raises(UnreadableFile, match=f"{words}; resume with those"):
        run(tmp_path, **{"optimizer": "muon"} | changes)


def test_a_checkpoint_from_before_there_was_a_choice_goes_on(tmp_path):
    expected, history = run()
    with dying_at(8):
        run(tmp_path)
    newest = checkpoints(tmp_path)[-1]
    tensors, metadata = read_tensors(newest)
    assert {name.rstrip("0123456789") for name in tensors if name.startswith("adam")} == {
        "adam.committed", "adam.mean.", "adam.square.",
    }  # fmt: skip
    for name in ("optimizer", "momentum", "weight_decay"):
        del metadata["run"]["settings"][name]
    write_tensors(newest, tensors, metadata)
    result, resumed = run(tmp_path)
    assert resumed == history
    assert_same(result, expected)
    with pytest.raises(UnreadableFile, match=r"weight_decay 0\.0 \(now 0\.1\)"):
        run(tmp_path, weight_decay=0.1)


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_an_impossible_number_of_updates_is_refused(tmp_path, value):
    run(tmp_path, optimizer="sgd")
    newest = checkpoints(tmp_path)[-1]
    tensors, metadata = read_tensors(newest)
    write_tensors(newest, tensors | {"sgd.committed": torch.tensor(value)}, metadata)
    with pytest.raises(UnreadableFile, match="impossible number of updates|not finite"):
        run(tmp_path, optimizer="sgd")


# --- parameters of estimators ----------------------------------------------------------------------


def test_an_estimator_s_parameters_reach_the_settings():
    made = Autoencoder(2, optimizer="sgd", momentum=0.5, weight_decay=0.01)
    assert made._settings(3) == Settings(optimizer="sgd", momentum=0.5, weight_decay=0.01, seed=3)
    with pytest.raises(ValueError, match="Expected optimizer as one of 'adam', 'sgd', 'muon', got 'lion'"):
        Autoencoder(optimizer="lion").fit(real_table())


def test_the_command_line_has_them(tmp_path):
    np.save(tmp_path / "x.npy", real_table())
    arguments = ("--data", tmp_path / "x.npy", "--out", tmp_path / "run", "--no-report")
    chosen = ("--optimizer", "sgd", "--momentum", "0.5", "--weight-decay", "0.01", "--max-epochs", "1")
    assert main(list(map(str, ("train", "autoencoder", *chosen, *arguments)))) == 0
    made = load(tmp_path / "run")
    assert (made.optimizer, made.momentum, made.weight_decay) == ("sgd", 0.5, 0.01)
    other = ("train", "autoencoder", "--optimizer", "muon", "--resume", *arguments)
    assert main(list(map(str, other))) == 2


def test_layers_keep_an_optimiser_of_their_own():
    kinds = (Autoencoder(optimizer="muon", weight_decay=0.1), "autoencoder")
    first, second = StackedAutoencoder(2, hidden=(4,), layer=kinds, optimizer="sgd")._layers(6, likelihood="gaussian")
    assert (first.optimizer, first.weight_decay, second.optimizer) == ("muon", 0.1, "adam")

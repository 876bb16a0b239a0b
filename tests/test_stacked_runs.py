"""Runs of layer-wise training in their folders: they go on with the layer that they were in, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from estimator_cases import pixel_images
from isthmus import PretrainedClassifier, StackedAutoencoder
from isthmus.estimators.training_parameters import fit as fit_network
from isthmus.files import UnreadableFile
from isthmus.training import Interrupted

GREY = (pixel_images() / 255).reshape(-1, 64)
SMALL = {"hidden": (12, 8), "layer_epochs": 2, "max_epochs": 2, "random_state": 0}


def weights(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def stopping(model, *arguments, folder=None, **keywords):
    """`fit`, but that the second layer is stopped."""
    if Path(folder).name == "layer-2":
        raise Interrupted(f"Stopped. To go on: isthmus train --resume --out {folder}")
    return fit_network(model, *arguments, folder=folder, **keywords)


def test_runs_resume_by_layer(tmp_path, monkeypatch):
    """Stopped in the second layer: the first one is read and not trained again, and all ends as if nothing had been."""
    whole = StackedAutoencoder(3, **SMALL).fit(GREY, folder=tmp_path / "whole")
    model, run = StackedAutoencoder(3, **SMALL), tmp_path / "run"
    with monkeypatch.context() as interrupted:
        interrupted.setattr("isthmus.estimators.training_parameters.fit", stopping)
        with pytest.raises(Interrupted, match=rf"--out {run}$"):  # the whole is resumed, not the layer
            model.fit(GREY, folder=run)
    assert not hasattr(model, "model_")
    first = (run / "layer-1" / "metrics.jsonl").read_text()
    steps = []

    def counting(model, *arguments, folder=None, **keywords):
        steps.append((Path(folder).name, len(list(Path(folder).glob("checkpoints/*")))))
        return fit_network(model, *arguments, folder=folder, **keywords)

    monkeypatch.setattr("isthmus.estimators.training_parameters.fit", counting)
    model.fit(GREY, folder=run, resume=True)
    assert steps == [("layer-1", 1), ("layer-2", 0), ("layer-3", 0), ("run", 0)]
    assert (run / "layer-1" / "metrics.jsonl").read_text() == first  # its times too: it was not run again
    assert weights(model.model_) == weights(whole.model_)
    records = (run / "layer-3" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in records] == [r["loss"] for r in whole.layers_[2]["history"]]
    with pytest.raises(UnreadableFile, match="Expected the data that"):
        StackedAutoencoder(3, **SMALL).fit(GREY[:50], folder=run, resume=True)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_run_does_not_go_on_with_what_an_earlier_one_left_in_its_folder(fine_tune, tmp_path, monkeypatch):
    StackedAutoencoder(3, **SMALL).fit(GREY, folder=tmp_path)
    model = StackedAutoencoder(3, **SMALL | {"layer_epochs": 3}, fine_tune=fine_tune)
    whole = weights(model.fit(GREY).model_)
    with monkeypatch.context() as interrupted:
        interrupted.setattr("isthmus.estimators.training_parameters.fit", stopping)
        with pytest.raises(Interrupted):
            model.fit(GREY, folder=tmp_path)
    assert weights(model.fit(GREY, folder=tmp_path, resume=True).model_) == whole


@pytest.mark.parametrize(
    "make",
    [
        lambda: StackedAutoencoder(3, **SMALL | {"random_state": None}, patience=5),
        lambda: PretrainedClassifier(**SMALL | {"random_state": None}, patience=5),
        lambda: PretrainedClassifier(**SMALL | {"random_state": None}, patience=5, pretraining="supervised"),
    ],
    ids=["stacked", "unsupervised", "supervised"],
)
def test_a_run_without_a_chosen_seed_resumes_with_its_own(make, tmp_path, monkeypatch):
    y = load_digits().target[:100]
    with monkeypatch.context() as interrupted:
        interrupted.setattr("isthmus.estimators.training_parameters.fit", stopping)
        with pytest.raises(Interrupted):
            make().fit(GREY, y, folder=tmp_path)
    first = (tmp_path / "layer-1" / "metrics.jsonl").read_text()
    model = make()
    model.fit(GREY, y, folder=tmp_path, resume=True)
    assert (tmp_path / "layer-1" / "metrics.jsonl").read_text() == first
    seed = model._seed(tmp_path)  # all of it is what a run with this seed is
    assert seed == model._seed(tmp_path / "layer-1")
    assert seed != make()._seed(None)

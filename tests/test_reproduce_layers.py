"""Layers that tables measure are those that their classifiers are fine-tuned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.data import load_data
from isthmus.reproduce.classification import classifier_errors, trained_layer
from isthmus.reproduce.data import unit
from isthmus.reproduce.table import Job


@pytest.mark.parametrize(
    "settings",
    [
        {"layer": "contractive", "layer_contraction": 0.2, "layer_tied": True},
        {"layer": "denoising", "layer_corruption": "gaussian"},
        {"layer": "k-sparse", "layer_k": 5, "activation": "relu"},
        {"layer": "rbm", "layer_learning_rate": 0.02},
    ],
    ids=lambda settings: settings["layer"],
)
def test_a_layer_alone_is_that_of_the_classifier(settings, tmp_path):
    data = load_data("digits")
    x, y = unit(data.x_train), data.y_train
    settings |= {"hidden": (12,), "layer_epochs": 2, "max_epochs": 1, "batch_size": 50, "layer_schedule": "cosine"}
    job, other = (Job({}, 3, data, tmp_path / name) for name in ("one", "other"))
    layer = trained_layer(job, x, settings)
    went_on = classifier_errors(job, x, y, settings)
    from_scratch = classifier_errors(other, x, y, settings)
    np.testing.assert_array_equal(went_on, from_scratch)
    found = trained_layer(other, x, settings)  # read from where the classifier left it
    for name, value in layer.model_.state_dict().items():
        torch.testing.assert_close(found.model_.state_dict()[name], value, rtol=0, atol=0)
    assert len(found.history_) == 2

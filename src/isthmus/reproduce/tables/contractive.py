"""Rifai et al. (2011): features of one layer, how far they move with the image, and what a classifier makes of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...evaluation import jacobian_norm
from ..classification import classifier_errors, trained_layer
from ..data import all_training, unit
from ..table import Job, Measure, Published, Row, Table

__all__ = ["TABLE"]

SATURATED = 0.05
"""A sigmoid unit is saturated that is no farther than this from 0 or from 1."""


def _run(job: Job) -> dict[str, np.ndarray]:
    """Train a layer, measure its features, and fine-tune it twice as a classifier: with dropout and without."""
    x, y = all_training(job.data)
    x = unit(x)
    settings = dict(job.settings)
    plain_epochs = settings.pop("plain_epochs")
    found = _of_features(trained_layer(job, x, settings), unit(job.data.x_test))
    other = replace(job, folder=job.place("plain"))
    shutil.copytree(job.place("classifier") / "layer-1", other.place("classifier") / "layer-1", dirs_exist_ok=True)
    plain = settings | {"max_epochs": plain_epochs, "dropout": 0.0, "input_dropout": 0.0}
    found["plain_error"] = classifier_errors(other, x, y, plain)
    return found | {"test_error": classifier_errors(job, x, y, settings)}


def _of_features(layer: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """The norm of the Jacobian at each image, the mean square of its entries, and how many units are saturated."""
    norm = jacobian_norm(layer.model_, torch.from_numpy(x)).double().numpy()
    code = layer.transform(x)
    saturated = (code < SATURATED) | (code > 1 - SATURATED)
    mean_square = 1e4 * norm**2 / (code.shape[1] * x.shape[1])
    return {"jacobian_norm": norm, "mean_square": mean_square, "saturated": 100.0 * saturated.mean(axis=1)}


def _published(error: float, norm: float, saturated: float) -> dict[str, Published]:
    figures = {"test_error": error, "plain_error": error, "mean_square": norm, "saturated": saturated}
    return {name: Published(value, "quoted") for name, value in figures.items()}


SHARED: dict[str, Any] = {
    "hidden": (1000,),
    "layer_schedule": "cosine",
    "schedule": "cosine",
    "layer_epochs": 12,
    "layer_learning_rate": 1e-3,
    "batch_size": 250,
    "precision": "bf16",
    "max_epochs": 15,
    "dropout": 0.5,
    "input_dropout": 0.2,
    "plain_epochs": 8,
    "learning_rate": 1e-3,
}

TABLE = Table(
    name="contractive",
    title="Contractive autoencoders",
    reference="",
    about="",
    measures=(
        Measure("test_error", "test error, fine-tuned with dropout, %"),
        Measure("plain_error", "without dropout, %"),
        Measure("jacobian_norm", "mean norm of the Jacobian"),
        Measure("mean_square", "mean square of its entries, 10⁻⁴"),
        Measure("saturated", "saturated units, %"),
    ),
    rows=(
        Row(
            "contractive",
            "CAE: contractive",
            _run,
            SHARED | {"layer": "contractive", "layer_tied": True, "layer_contraction": 0.1},
            _published(1.14, 0.73, 86.36),
            seeds=1,
        ),
        Row(
            "denoising-gaussian",
            "DAE-g: denoising, Gaussian noise",
            _run,
            SHARED | {"layer": "denoising", "layer_tied": True, "layer_corruption": "gaussian", "layer_strength": 0.3},
            _published(1.18, 0.86, 17.77),
            seeds=1,
        ),
        Row(
            "rbm",
            "RBM",
            _run,
            SHARED | {"layer": "rbm", "layer_learning_rate": 3e-3},
            _published(1.30, 2.50, 78.59),
            seeds=1,
        ),
        Row(
            "denoising-masking",
            "DAE-b: denoising, masking noise",
            _run,
            SHARED | {"layer": "denoising", "layer_tied": True, "layer_corruption": "masking", "layer_strength": 0.3},
            _published(1.57, 7.87, 68.19),
            seeds=1,
        ),
        Row(
            "weight-decay",
            "AE+wd: autoencoder with weight decay",
            _run,
            SHARED | {"layer": "autoencoder", "layer_tied": True, "layer_weight_decay": 0.1},
            _published(1.68, 5.00, 12.97),
            seeds=1,
        ),
        Row(
            "autoencoder",
            "AE: autoencoder",
            _run,
            SHARED | {"layer": "autoencoder", "layer_tied": True},
            _published(1.78, 17.5, 49.90),
            seeds=1,
        ),
    ),
    small={"hidden": (32,), "layer_epochs": 1, "max_epochs": 1, "plain_epochs": 1, "precision": "fp32"},
)

"""Rifai et al. (2011): features of one layer, how far they move with the image, and what a classifier makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...estimators import RBM, Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder, PretrainedClassifier
from ...evaluation import jacobian_norm
from ..classification import misclassified
from ..data import all_training, unit
from ..table import Job, Measure, Published, Row, Table

__all__ = ["TABLE"]

SATURATED = 0.05
"""A sigmoid unit is saturated that is no farther than this from 0 or from 1."""

KINDS: dict[str, Any] = {
    "autoencoder": Autoencoder,
    "denoising": DenoisingAutoencoder,
    "contractive": ContractiveAutoencoder,
    "rbm": RBM,
}

AUTOENCODER: dict[str, Any] = {"hidden": (), "code_activation": "sigmoid", "tied": True}


def _run(job: Job) -> dict[str, np.ndarray]:
    """Train a layer, measure its features, and fine-tune it twice as a classifier: with dropout and without."""
    settings = job.settings
    x, y = all_training(job.data)
    x = unit(x)
    shared = {name: settings[name] for name in ("batch_size", "precision")}
    shared |= {"random_state": job.seed, "verbose": job.verbose}
    layer = _layer(settings, shared)
    plain, dropped = job.place("plain"), job.place("dropout")
    layer.fit(x, folder=plain / "layer-1", resume=True)  # where a classifier looks for what it trained before
    found = _of_features(layer, unit(job.data.x_test))

    def errors(folder: Path, epochs: int, **more: Any) -> np.ndarray:
        model = PretrainedClassifier(
            (settings["n_units"],), layer=layer, layer_epochs=settings["layer_epochs"], max_epochs=epochs,
            learning_rate=settings["learning_rate"], schedule="cosine", **shared, **more,
        )  # fmt: skip
        model.fit(x, y, folder=folder, resume=True)
        return misclassified(model.predict(unit(job.data.x_test)), job.data.y_test)  # type: ignore[arg-type]

    shutil.copytree(plain / "layer-1", dropped / "layer-1", dirs_exist_ok=True)
    rates = {name: settings[name] for name in ("dropout", "input_dropout")}
    found["test_error"] = errors(dropped, settings["max_epochs"], **rates)
    found["plain_error"] = errors(plain, settings["plain_epochs"])
    return found


def _layer(settings: dict[str, Any], shared: dict[str, Any]) -> Any:
    """The layer, unfitted: `layer_strength` is its `strength`, and so on."""
    kind = settings["layer"]
    own = {name.removeprefix("layer_"): value for name, value in settings.items() if name.startswith("layer_")}
    own |= {"n_components": settings["n_units"], "max_epochs": own.pop("epochs"), "schedule": "cosine"} | shared
    return KINDS[kind](**own, **({} if kind == "rbm" else AUTOENCODER))


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
    "n_units": 1000,
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
            SHARED | {"layer": "contractive", "layer_contraction": 0.1},
            _published(1.14, 0.73, 86.36),
            seeds=1,
        ),
        Row(
            "denoising-gaussian",
            "DAE-g: denoising, Gaussian noise",
            _run,
            SHARED | {"layer": "denoising", "layer_corruption": "gaussian", "layer_strength": 0.3},
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
            SHARED | {"layer": "denoising", "layer_corruption": "masking", "layer_strength": 0.3},
            _published(1.57, 7.87, 68.19),
            seeds=1,
        ),
        Row(
            "weight-decay",
            "AE+wd: autoencoder with weight decay",
            _run,
            SHARED | {"layer": "autoencoder", "layer_weight_decay": 0.1},
            _published(1.68, 5.00, 12.97),
            seeds=1,
        ),
        Row(
            "autoencoder",
            "AE: autoencoder",
            _run,
            SHARED | {"layer": "autoencoder"},
            _published(1.78, 17.5, 49.90),
            seeds=1,
        ),
    ),
    small={"n_units": 32, "layer_epochs": 1, "max_epochs": 1, "plain_epochs": 1, "precision": "fp32"},
)

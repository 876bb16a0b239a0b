"""Claim: a plain autoencoder overfits where it has more parameters than data; noise, sparsity and contraction help."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..claims import halved, some_images, trained
from ..data import unit
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

NARROW: dict[str, Any] = {"hidden": (512,), "n_components": 32, "learning_rate": 1e-3}
WIDE: dict[str, Any] = {"hidden": (), "n_components": 400, "code_activation": "sigmoid", "tied": True} | {
    "learning_rate": 3e-3
}

SERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "small": ("32 linear units", NARROW | {"model": "plain", "hidden": ()}),
    "plain": ("deep, code of 32", NARROW | {"model": "plain"}),
    "denoising": (
        "deep, code of 32, denoising",
        NARROW | {"model": "denoising", "chosen": "strength", "among": (0.1, 0.25, 0.5)},
    ),
    "wide": ("code of 400", WIDE | {"model": "plain"}),
    "wide-denoising": (
        "code of 400, denoising",
        WIDE | {"model": "denoising", "chosen": "strength", "among": (0.1, 0.25, 0.5)},
    ),
    "wide-sparse": (
        "code of 400, sparse",
        WIDE | {"model": "sparse", "rho": 0.05, "chosen": "sparsity_weight", "among": (0.03, 0.3, 3.0)},
    ),
    "wide-contractive": (
        "code of 400, contractive",
        WIDE | {"model": "contractive", "chosen": "contraction", "among": (0.01, 0.1, 1.0)},
    ),
}
SIZES = (100, 500, 2000, 10_000)


def _errors(job: Job) -> dict[str, Any]:
    """Squared errors of clean test and training images; the strength of a penalty is chosen on validation images."""
    job, settings = halved(job), dict(job.settings)
    x, _ = some_images(job, settings.pop("n_images"))
    name, among = settings.pop("chosen", None), settings.pop("among", (None,))
    models = {value: trained(job, x, **settings, **({name: value} if name else {})) for value in among}
    chosen = min(models, key=lambda value: models[value].squared_error(unit(job.data.x_valid)).mean())
    model = models[chosen]
    test, train = model.squared_error(unit(job.data.x_test)), float(np.mean(model.squared_error(x)))
    return {"test_error": test, "train_error": train} | ({"chosen": chosen} if name else {})


TABLE = Table(
    name="overfitting",
    title="Overfitting, and what helps",
    about="""A claim of the lectures, tested.""",
    measures=(
        Measure("test_error", "squared error of a test image"),
        Measure("train_error", "of a training image"),
    ),
    rows=tuple(
        Row(
            f"{name}-{n_images}",
            f"{label}; {n_images:,} images",
            _errors,
            settings | {"n_images": n_images, "n_steps": 1500},
            seeds=1,
            series=label,
            at=n_images,
        )
        for name, (label, settings) in SERIES.items()
        for n_images in SIZES
    ),
    small={"n_images": 60, "n_steps": 3, "hidden": (), "n_components": 8, "among": (0.1,)},
    x="training images",
    log_x=True,
)

"""What the tables of claims share: small sets of images, models trained on them for some steps, and their charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..estimators import VAE, Autoencoder, SparseAutoencoder
from .classification import LAYERS
from .data import unit
from .table import Job

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["halved", "log_axis", "some_images", "trained"]

MODELS: dict[str, Any] = LAYERS | {"plain": Autoencoder, "sparse": SparseAutoencoder, "vae": VAE}


def halved(job: Job) -> Job:
    """The same job on images of half the height and width, each pixel the mean of four: a fraction of the time."""
    train, valid, test = (_halved(part) for part in (job.data.x_train, job.data.x_valid, job.data.x_test))
    data = job.data._replace(x_train=train, x_valid=valid, x_test=test, feature_shape=test.shape[1:])
    return replace(job, data=data)


def _halved(images: np.ndarray) -> np.ndarray:
    n, height, width = images.shape
    return unit(images).reshape(n, height // 2, 2, width // 2, 2).mean((2, 4))


def some_images(job: Job, n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in [0, 1] and labels of so many training images, which ones is a matter of the seed."""
    chosen = np.random.default_rng(job.seed).permutation(len(job.data.x_train))[:n_images]
    return unit(job.data.x_train[chosen]), np.asarray(job.data.y_train)[chosen]


def trained(job: Job, x: np.ndarray, *, model: Any, n_steps: int, batch_size: int = 100, **parameters: Any) -> Any:
    """An estimator trained on rows for about so many steps, whatever their number, the learning rate falling to zero.

    Without checkpoints: these runs take seconds.

    Args:
        job: whose seed.
        x: rows, (n, F), or images.
        model: a name in `MODELS`, or an estimator's class.
        n_steps: of the optimiser; whole passes over the rows, so a few more.
        batch_size: rows a step.
        parameters: of the estimator.
    """
    epochs = math.ceil(n_steps / math.ceil(len(x) / batch_size))
    estimator = MODELS.get(model, model)(max_epochs=epochs, batch_size=batch_size, schedule="cosine", **parameters)
    return estimator.set_params(random_state=job.seed, verbose=job.verbose).fit(x)


def log_axis(axes: Axes, places: Sequence[float]) -> None:
    """A logarithmic x axis that names these places and no others."""
    axes.set_xscale("log")
    axes.set_xticks(list(places), [f"{place:,g}" for place in places])
    axes.minorticks_off()

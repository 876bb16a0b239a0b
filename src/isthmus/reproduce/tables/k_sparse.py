"""Makhzani and Frey (2013): codes of which k units are kept, read by logistic regression, and fine-tuned."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..classification import classifier_errors, feature_errors, trained_layer
from ..data import all_training, unit
from ..table import Job, Measure, Published, Row, Table

__all__ = ["TABLE"]


def _read(job: Job) -> dict[str, np.ndarray]:
    """Logistic regression on the codes of one layer, which has not seen a label."""
    x, y = all_training(job.data)
    x, settings = unit(x), dict(job.settings)
    strength = settings.pop("strength")
    layer = trained_layer(job, x, settings)
    active = (layer.transform(unit(job.data.x_test)) != 0).sum(axis=1).astype(float)
    return {"error": feature_errors(job, layer.transform, x, y, strength=strength), "active": active}


def _pixels(job: Job) -> dict[str, np.ndarray]:
    x, y = all_training(job.data)
    return {"error": feature_errors(job, lambda rows: rows, unit(x), y, strength=job.settings["strength"])}


def _fine_tuned(job: Job) -> dict[str, np.ndarray]:
    x, y = all_training(job.data)
    return {"error": classifier_errors(job, unit(x), y, job.settings)}


def _published(error: float) -> dict[str, Published]:
    return {"error": Published(error, "memory")}


LAYER: dict[str, Any] = {
    "hidden": (1000,), "layer_schedule": "cosine", "layer_epochs": 6, "layer_learning_rate": 1e-3, "batch_size": 250,
    "precision": "bf16",
}  # fmt: skip

K_SPARSE: dict[str, Any] = {"layer": "k-sparse", "layer_tied": True}

READ: dict[str, Any] = LAYER | K_SPARSE | {
    "layer_likelihood": "fixed_gaussian", "layer_learning_rate": 4e-3, "layer_epochs": 8, "activation": "identity",
    "layer_alpha": 3.0, "strength": 0.01,
}  # fmt: skip

TUNED: dict[str, Any] = {
    "activation": "relu", "max_epochs": 20, "learning_rate": 1e-3, "schedule": "cosine", "dropout": 0.3,
    "input_dropout": 0.1, "batch_size": 250, "precision": "bf16",
}  # fmt: skip


def _k(k: int, error: float) -> Row:
    label = f"k-sparse autoencoder, k = {k}"
    return Row(f"k-{k}", label, _read, READ | {"layer_k": k}, _published(error), seeds=1)


TABLE = Table(
    name="k-sparse",
    title="k-sparse autoencoders",
    reference="Makhzani, Frey (2014). k-Sparse autoencoders. ICLR.",
    about="""
A layer of 1000 linear units, of which the k largest of each image are kept, learns to reconstruct MNIST's images, with
tied weights and by squared error; then a logistic regression reads the codes, in which three times as many units are
kept. The measure is the share of test images that it gets wrong: 60,000 images to learn from, the other 10,000 to test
on. Below are the same for other features, and networks that go on from such a layer, or from two of them, and are
fine-tuned on the labels.

All published figures here are from memory and none is verified. A dropout autoencoder (1.80 %) is not among the rows:
units of a code are not left out here.

Everything is trained by Adam on a cosine, and for a short time: 6 to 8 epochs a layer, 20 with labels. The strength of
the logistic regression, on standardised features, was chosen among three on the validation images for k = 25 and is the
same in all rows, as were squared error in place of the cross-entropy and one of two learning rates for the k-sparse
codes that it reads; it stops after 100 steps of L-BFGS. In fine-tuning the units are rectified, k of them are kept in
training and in testing alike, and there is dropout. Other learning rates and dropout were not searched.
""",
    findings="""
The aims are missed. Codes read by logistic regression have {k-40[error]} %, {k-25[error]} % and {k-10[error]} % for k
of 40, 25 and 10, about a point more than was published. Of the paper's order, k = 10 is last here too; 40 and 25 are
too close to tell apart, where the paper has 25 ahead. Short training is a suspect: layers see the images 8 times, and k
is still falling in the first 4 of them. In short runs on the validation images a faster learning rate, squared error,
and three times as many units for the classifier as in training each lowered the error. Longer training was not tried.

The fine-tuned layer has {fine-tuned[error]} %, and two of them {deep[error]} %: far from what was published, and two
are no better than one. The loss of the training images falls to almost nothing, so they overfit. Here k units of an
image are kept in fine-tuning too; whether that is so in the paper is not known to us. Neither other values of k nor
more dropout were tried.

The other rows set the scale: raw pixels {pixels[error]} % for 7.20, denoising {denoising[error]} % for 1.95, RBM
{rbm[error]} % for 1.81. All codes are worse here than published by half a point to a point, raw pixels by less, so that
training of 6 to 8 passes is suspected before the logistic regression is. A net that begins at random has
{not-pre-trained[error]} % for 1.60, and is ahead of the fine-tuned k-sparse one: here the choice of k costs more than
its beginning brings.
""",
    measures=(Measure("error", "test error, %"), Measure("active", "units kept of a test image", 0)),
    rows=(
        _k(40, 1.54),
        _k(25, 1.35),
        _k(10, 2.10),
        Row("pixels", "pixels themselves", _pixels, {"strength": 0.01}, _published(7.20), seeds=1),
        Row(
            "denoising",
            "denoising autoencoder, a fifth of the pixels masked",
            _read,
            LAYER
            | {"layer": "denoising", "layer_tied": True, "layer_strength": 0.2, "activation": "relu", "strength": 0.01},
            _published(1.95),
            seeds=1,
        ),
        Row(
            "rbm",
            "RBM",
            _read,
            LAYER | {"layer": "rbm", "layer_learning_rate": 1e-2, "strength": 0.01},
            _published(1.81),
            seeds=1,
        ),
        Row(
            "fine-tuned",
            "k-sparse layer, k = 25, fine-tuned",
            _fine_tuned,
            LAYER | K_SPARSE | TUNED | {"layer_k": 25},
            _published(1.08),
            seeds=1,
        ),
        Row(
            "deep",
            "two k-sparse layers, k = 25, fine-tuned",
            _fine_tuned,
            LAYER | K_SPARSE | TUNED | {"hidden": (1000, 1000), "layer_k": 25},
            _published(0.97),
            seeds=1,
        ),
        Row(
            "not-pre-trained",
            "the same network of one layer from random weights",
            _fine_tuned,
            TUNED | {"hidden": (1000,), "pretraining": "none"},
            _published(1.60),
            seeds=1,
        ),
    ),
    small={"hidden": (64,), "layer_epochs": 1, "max_epochs": 1, "precision": "fp32"},
)

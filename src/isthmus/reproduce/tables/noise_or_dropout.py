"""Claim: noise that masks inputs and dropout are akin: the one is the other on inputs, and both help few labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...corruption import Masking
from ...estimators import Autoencoder
from ...model import LatentVariableModel
from ...nets.dropout import blocks_of, with_dropout
from ..claims import halved, some_images, trained
from ..classification import classifier_errors, feature_errors
from ..data import unit
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

RATE = 0.25


@dataclass(frozen=True)
class RescaledMasking(Masking):
    """Masking after which what is left is divided by its share, so that each feature has the same mean as before."""

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt rows (B, F); and where."""
        corrupted, lost = super().draw(x)
        return corrupted / (1 - torch.as_tensor(self.fraction)), lost


@dataclass(eq=False, repr=False)
class InputDropout(Autoencoder):
    """An autoencoder whose encoder drops inputs, and which is scored on the clean row."""

    def _model(self, n_features: int) -> LatentVariableModel:
        model: Any = super()._model(n_features)
        model.encoder.net = nn.Sequential(with_dropout(blocks_of(model.encoder.net), input_dropout=RATE))
        return model


MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: {"model": "plain"},
    "masking": lambda: {"model": "denoising", "corruption": Masking(RATE)},
    "rescaled-masking": lambda: {"model": "denoising", "corruption": RescaledMasking(RATE)},
    "input-dropout": lambda: {"model": InputDropout},
    "hidden-dropout": lambda: {"model": "plain", "dropout": RATE},
}
"""Made when they are wanted, as a run's settings are plain."""


def _labelled(job: Job, n_images: int, n_labels: int) -> tuple[Any, Any, Any]:
    """Images, and labels of the first so many of them."""
    x, y = some_images(job, n_images)
    return x, y, slice(0, n_labels)


def _codes(job: Job) -> dict[str, Any]:
    """An autoencoder: what a linear classifier reads in its codes, and how well clean images come back."""
    job, settings = halved(job), dict(job.settings)
    x, y, few = _labelled(job, settings.pop("n_images"), settings.pop("n_labels"))
    model = trained(job, x, **MODELS[settings.pop("noise")](), **settings)
    errors = feature_errors(job, model.transform, x[few], y[few], strength=0.1, max_iter=1000)
    return {"error": errors, "squared_error": model.squared_error(unit(job.data.x_test))}


def _classifier(job: Job) -> dict[str, Any]:
    """A classifier with dropout, or with layers that were trained as denoising autoencoders on all images."""
    job, settings = halved(job), dict(job.settings)
    x, y, few = _labelled(job, settings.pop("n_images"), settings.pop("n_labels"))
    if settings["pretraining"] == "none":
        return {"error": classifier_errors(job, x[few], y[few], settings)}
    y = y.astype(int)
    y[few.stop :] = -1
    return {"error": classifier_errors(job, x, y, settings)}


DATA: dict[str, Any] = {"n_images": 10_000, "n_labels": 1000}
CODES = DATA | {"hidden": (512,), "n_components": 64, "learning_rate": 1e-3, "n_steps": 1500}
CLASSIFIER = (
    DATA
    | {"hidden": (512,), "activation": "relu", "pretraining": "none", "max_epochs": 60}
    | {"batch_size": 100, "schedule": "cosine", "learning_rate": 1e-3}
)

TABLE = Table(
    name="noise-or-dropout",
    title="Noise or dropout",
    about="""
The claim: masking inputs, as denoising autoencoders do, and dropout are near relatives.

Dropout of inputs is masking, but that what is left is divided by its share, 1 - rate: `masking` with that division
and `input-dropout` are the same model, and the rows show it. What remains to ask is whether the division matters,
whether dropout of hidden units does what noise in the input does, and what either gives to a classifier of few
labels.

10,000 images of MNIST, averaged to 14 x 14 pixels, seen without labels by autoencoders 196-512-64 and back for 1,500
steps; a logistic regression on their codes learns from 1,000 labels. Classifiers, 196-512-10 with ReLU, learn from
the same 1,000 labels, in the last row after pre-training with masked inputs on all 10,000 images. Rates are 0.25, and
0.5 for the classifier's hidden units; they were not searched.
""",
    findings="""
**Holds.** Masking followed by division and dropout of inputs are the same model: the two rows agree in every digit,
as from one seed both draw the same noise.

The division matters for reconstructions, not for codes. Trained with plain masking, the network expects dimmed
images: clean ones come back with an error of {masking[squared_error]}, against {rescaled-masking[squared_error]} with
division and {plain[squared_error]} without noise. A linear classifier on the codes makes {masking[error]} % errors
either way.

Here noise in the inputs gives the codes little, {masking[error]} % against {plain[error]} % without, less than the
spread over seeds; dropout of hidden units gives nothing, {hidden-dropout[error]} %. Nor does dropout help the
classifier of 1,000 labels much, {classifier-dropout[error]} % and {classifier-input-dropout[error]} % against
{classifier[error]} %. Where the noise pays is pre-training on the images without labels, {classifier-masking[error]}
%: it is the other images that help, which dropout never sees.
""",
    measures=(
        Measure("error", "test error with 1,000 labels, %"),
        Measure("squared_error", "squared error of a clean test image"),
    ),
    rows=(
        Row("plain", "autoencoder", _codes, CODES | {"noise": "plain"}),
        Row("masking", "a quarter of the inputs masked", _codes, CODES | {"noise": "masking"}),
        Row("rescaled-masking", "masked, the rest times 4/3", _codes, CODES | {"noise": "rescaled-masking"}),
        Row("input-dropout", "dropout of a quarter of the inputs", _codes, CODES | {"noise": "input-dropout"}),
        Row("hidden-dropout", "dropout of a quarter of the hidden units", _codes, CODES | {"noise": "hidden-dropout"}),
        Row("classifier", "classifier", _classifier, CLASSIFIER),
        Row("classifier-input-dropout", "classifier, input dropout", _classifier, CLASSIFIER | {"input_dropout": RATE}),
        Row("classifier-dropout", "classifier, dropout of half the units", _classifier, CLASSIFIER | {"dropout": 0.5}),
        Row(
            "classifier-masking",
            "classifier, pre-trained with masking",
            _classifier,
            CLASSIFIER | {"pretraining": "unsupervised", "layer": "denoising", "layer_epochs": 15, "layer_tied": True},
        ),
    ),
    small={"n_images": 100, "n_labels": 50, "n_steps": 3, "hidden": (8,), "n_components": 4, "max_epochs": 2}
    | {"layer_epochs": 1},
)

"""Where pre-training pays: few labels for many images."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from ..classification import classifier_errors
from ..data import unit
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]


def _classifier(job: Job) -> dict[str, np.ndarray]:
    """A classifier that is told the labels of some images, of each class its share."""
    settings = dict(job.settings)
    labels = np.asarray(job.data.y_train)
    told = np.arange(len(labels))
    if (n_labels := settings.pop("n_labels")) < len(labels):
        told, _ = train_test_split(told, train_size=n_labels, stratify=labels, random_state=job.seed)
    known = np.full(len(labels), -1)
    known[told] = labels[told]
    return {"error": classifier_errors(job, unit(job.data.x_train), known, settings)}


SHARED: dict[str, Any] = {
    "hidden": (500, 500), "schedule": "cosine", "batch_size": 250, "input_dropout": 0.2, "precision": "bf16",
}  # fmt: skip

UNITS: dict[str, dict[str, Any]] = {
    "ReLU": {"activation": "relu", "learning_rate": 1e-3, "dropout": 0.25},
    "sigmoid": {"activation": "sigmoid", "learning_rate": 2e-3},
}

EPOCHS = {100: 500, 1_000: 200, 10_000: 50, 50_000: 15}
"""Of fine-tuning, by labels: there are fewer steps in an epoch where there are fewer of them."""

BEGINNINGS: dict[str, dict[str, Any]] = {
    "random": {"pretraining": "none"},
    "denoising": {"pretraining": "unsupervised", "layer": "denoising", "layer_strength": 0.25, "layer_epochs": 5},
}


def _rows() -> tuple[Row, ...]:
    return tuple(
        Row(
            f"{beginning}-{settings['activation']}-{n_labels}",
            f"{n_labels:,} labels, {beginning}, {units}",
            _classifier,
            SHARED | settings | {"n_labels": n_labels, "max_epochs": EPOCHS[n_labels]} | layers,
            seeds=3 if n_labels < 10_000 and beginning == "random" else 1,
            series=f"{beginning}, {units}",
            at=n_labels,
        )
        for units, settings in UNITS.items()
        for beginning, layers in BEGINNINGS.items()
        for n_labels in EPOCHS
    )


TABLE = Table(
    name="greedy-labels",
    title="Where pre-training pays: few labels for many images",
    about="""
Nets with two hidden layers of 500 units that are told the labels of some of MNIST's 50,000 training images. They begin
at random, which uses the images with labels alone, or with layers that were trained without labels on all 50,000 as
denoising autoencoders (a quarter of the pixels masked). Then all is fine-tuned on the labels, by Adam with a cosine
schedule and dropout of a fifth of the pixels and a quarter of the ReLU units. The measure is the share of the 10,000
test images that they get wrong. Labels are drawn anew with each seed, of each class its share, the same for all four
nets. No settings were searched, but that sigmoid nets first had the rate and the dropout of the others, with which
their training loss was far from zero in the end.
""",
    findings="""
One seed each, with the same labels for all nets of a seed. Rows without a figure were not run for want of time, those
with sigmoid units among them.

- **With 100 and 1,000 labels pre-training may pay, but little**, for ReLU units: {denoising-relu-100[error]} against
  {random-relu-100[error]} with 100 and {denoising-relu-1000[error]} against {random-relu-1000[error]} with 1,000; with
  one seed the intervals overlap. With 10,000 there is nothing left of it, {denoising-relu-10000[error]} against
  {random-relu-10000[error]}, nor with 50,000, {denoising-relu-50000[error]} against {random-relu-50000[error]}. Labels
  do more: ten times as many take the net that begins at random from {random-relu-1000[error]} to
  {random-relu-10000[error]}.
- How much it matters which labels are drawn, one seed can't say.
""",
    measures=(Measure("error", "test error, %"),),
    rows=_rows(),
    data_options={"validation_fraction": 1 / 6},
    x="labels",
    log_x=True,
    small={
        "hidden": (16, 16), "n_labels": 100, "max_epochs": 2, "layer_epochs": 1, "precision": "fp32",
    },
)  # fmt: skip

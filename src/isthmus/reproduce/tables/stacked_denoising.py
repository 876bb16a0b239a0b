"""Vincent et al. (2010): deep nets whose layers learned to undo a corruption; how much of it, and of which kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..classification import classifier_errors
from ..data import unit
from ..table import Job, Measure, Published, Row, Table

__all__ = ["TABLE"]


def _classifier(job: Job) -> dict[str, np.ndarray]:
    return {"error": classifier_errors(job, unit(job.data.x_train), np.asarray(job.data.y_train), job.settings)}


def _published(error: float) -> dict[str, Published]:
    return {"error": Published(error, "quoted")}


DEEP: dict[str, Any] = {
    "hidden": (500, 500, 500), "pretraining": "unsupervised", "layer": "denoising", "layer_epochs": 3,
}  # fmt: skip

TODAY: dict[str, Any] = DEEP | {
    "activation": "relu", "learning_rate": 1e-3, "schedule": "cosine", "warm_up": 100, "batch_size": 250,
    "max_epochs": 12, "dropout": 0.25, "input_dropout": 0.2, "precision": "bf16",
}  # fmt: skip

WIDE: dict[str, Any] = TODAY | {
    "hidden": (1000, 1000, 1000), "max_epochs": 30, "dropout": 0.5, "input_dropout": 0.2, "learning_rate": 2e-3,
}  # fmt: skip
"""Wider and longer, with as much dropout as is usual for such nets."""

PAPER: dict[str, Any] = DEEP | {
    "activation": "sigmoid", "optimizer": "sgd", "learning_rate": 0.25, "momentum": 0.0, "batch_size": 50,
    "max_epochs": 15, "layer_optimizer": "sgd", "layer_momentum": 0.0, "layer_learning_rate": 0.05, "layer_tied": True,
}  # fmt: skip
"""Tied weights and gradient descent at a constant rate."""


def _row(name: str, label: str, corruption: str, strength: float, error: float | None = None) -> Row:
    settings = {"layer_corruption": corruption, "layer_strength": strength}
    return Row(name, label, _classifier, TODAY | settings, {} if error is None else _published(error), seeds=1)


TABLE = Table(
    name="stacked-denoising",
    title="Stacked denoising autoencoders",
    reference="""
Vincent, Larochelle, Lajoie, Bengio, Manzagol (2010). Stacked denoising autoencoders: learning useful representations in
a deep network with a local denoising criterion. JMLR 11. Vincent, Larochelle, Bengio, Manzagol (2008). Extracting and
composing robust features with denoising autoencoders. ICML.
""",
    about="""
Classifiers of MNIST's digits with three hidden layers of 500 units, which were trained one at a time before, each
to undo a corruption of what it sees; after that all are fine-tuned on the labels. The measure is the share of the
10,000 test images that they get wrong. 50,000 images to train on and 10,000 to choose settings by, as in the paper.
Its figures on MNIST are 1.40 % for autoencoders without corruption (SAE-3) and 1.28 % for denoising ones (SDAE-3, a
quarter of the features masked); a support vector machine had 1.40 % and a deep belief net 1.24 %.

*Today*: ReLU units, Adam, a cosine schedule, and dropout in fine-tuning; 12 passes over the data. *As published*:
sigmoid units, tied weights and gradient descent without momentum at a constant rate; 15 passes. Before that there are 3
passes for each layer. The paper searched widths, rates, passes and corruption levels on the validation images, and its
runs were longer; here there is one choice for all rows, with next to no search.
""",
    findings="""
One seed each; rows without a figure were not run yet.

- **Aims**: nets of 500 units and 12 passes miss them, {masking-0[error]} for 1.40 without corruption and
  {masking-25[error]} for 1.28 with a quarter of the features masked. Twice the width, more dropout and 30 passes have
  {wide-masking-0[error]}, below 1.40, and {wide-masking-25[error]}, whose interval holds 1.28. Their learning rate and
  dropout were looked at on validation images, with nets of 500 units.
- **The order** is the paper's, corruption helps, but the difference is a fraction of either interval and may be chance:
  dropout of a fifth of the pixels in fine-tuning is masking noise as well, and both nets had it.
- **As published**, after 15 passes, {masking-25-paper[error]} with a quarter masked and {masking-0-paper[error]}
  without corruption: too short to tell, and not in the paper's order.
- Tried before and thrown away: sigmoid units with dropout of hidden ones and Adam at 0.001, whose training loss was far
  from zero after 15 passes; their test errors, which were worse, had been seen when the units were changed.
""",
    measures=(Measure("error", "test error, %"),),
    data_options={"validation_fraction": 1 / 6},
    rows=(
        _row("masking-0", "SAE-3: no corruption", "masking", 0.0, 1.40),
        _row("masking-10", "SDAE-3, masking 10 %", "masking", 0.1),
        _row("masking-25", "SDAE-3, masking 25 %", "masking", 0.25, 1.28),
        _row("masking-40", "SDAE-3, masking 40 %", "masking", 0.4),
        _row("gaussian-30", "SDAE-3, Gaussian noise, 0.3", "gaussian", 0.3),
        _row("salt-and-pepper-25", "SDAE-3, salt and pepper 25 %", "salt_and_pepper", 0.25),
        Row(
            "wide-masking-0",
            "SAE-3 of 1,000 units, longer",
            _classifier,
            WIDE | {"layer_corruption": "masking", "layer_strength": 0.0},
            _published(1.40),
            seeds=1,
        ),
        Row(
            "wide-masking-25",
            "SDAE-3 of 1,000 units, longer, masking 25 %",
            _classifier,
            WIDE | {"layer_corruption": "masking", "layer_strength": 0.25},
            _published(1.28),
            seeds=1,
        ),
        Row(
            "masking-0-paper",
            "SAE-3",
            _classifier,
            PAPER | {"layer_corruption": "masking", "layer_strength": 0.0},
            _published(1.40),
            form="published",
            seeds=1,
        ),
        Row(
            "masking-25-paper",
            "SDAE-3, masking 25 %",
            _classifier,
            PAPER | {"layer_corruption": "masking", "layer_strength": 0.25},
            _published(1.28),
            form="published",
            seeds=1,
        ),
    ),
    small={"hidden": (16, 16), "max_epochs": 1, "layer_epochs": 1, "warm_up": 0, "precision": "fp32"},
)

"""Bengio, Lamblin, Popovici, Larochelle (2007): deep nets on MNIST whose layers were trained one at a time before."""

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
    return {"error": Published(error, "memory")}


DEEP, SHALLOW = (500, 500, 500), (500,)

TODAY: dict[str, Any] = {
    "optimizer": "adam", "learning_rate": 1e-3, "schedule": "cosine", "warm_up": 100, "batch_size": 250,
    "max_epochs": 15, "input_dropout": 0.2, "precision": "bf16",
}  # fmt: skip
"""Fine-tuning as one would do it now."""

RELU = TODAY | {"activation": "relu", "dropout": 0.25}
SIGMOID = TODAY | {"activation": "sigmoid", "learning_rate": 2e-3}

PAPER: dict[str, Any] = {
    "optimizer": "sgd", "learning_rate": 0.25, "momentum": 0.0, "batch_size": 50, "max_epochs": 15,
    "activation": "sigmoid",
}  # fmt: skip
"""Sigmoid units and plain gradient descent at a constant rate."""

TABLE = Table(
    name="greedy",
    title="Greedy layer-wise training of deep networks",
    reference="Bengio, Lamblin, Popovici, Larochelle (2007). Greedy layer-wise training of deep networks. NIPS 19.",
    about="""
Classifiers of MNIST's digits, in per cent of the 10,000 test images that they get wrong: a net with one hidden layer,
and nets with three that begin at random, or with layers that were trained one at a time before, each on the codes of
those below: as the hidden layer of a classifier ("supervised"), as an autoencoder, or as an RBM (the paper's deep
belief net). After that, all layers are fine-tuned together on the labels. 50,000 images to train on, 10,000 to choose
settings by, as in the paper.

*Today*: ReLU units (sigmoid ones above RBMs), Adam, a cosine schedule, dropout of a fifth of the pixels and a quarter
of the ReLU units. *As published*: sigmoid units and gradient descent without momentum at a constant rate. Settings are
a usual choice, the same for all rows of a kind, and were not searched, but that sigmoid nets first had the rate and the
dropout of the others, with which their training loss was far from zero in the
end (their test errors had been seen by then). The paper searched widths and
learning rates and went on for up to hundreds of passes over the data; here there are 15, after 3 for each layer, a
shorter run than theirs.
""",
    findings="""
One seed each, so that differences below half a point may be chance. The rows as published are the shortest against the
paper.

- **Aims.** Below the published figures are the deep net that begins at random, {deep-random[error]} for 2.4, supervised
  layers, {deep-supervised[error]} for 2.0, and one layer where it has 1,000 units and 30 passes, {shallow-wide[error]}
  for 1.9 (with 500 units and 15 passes {shallow[error]}). Missed are RBMs, {deep-rbm[error]} for 1.2, and autoencoders,
  {deep-autoencoder[error]} for 1.4: those had 500 units a layer and 15 passes. With 1,000 units and 30 passes
  autoencoders are below 1.4, as the row `wide-masking-0` of [stacked denoising](stacked-denoising.md) has it; RBMs were
  not tried so.
- **The order survives with sigmoid units and not with ReLU units.** With three layers of sigmoid units, RBMs have
  {deep-rbm[error]} and a beginning at random {deep-random-sigmoid[error]}: pre-training pays, and the intervals do not
  touch. With ReLU units, Adam and dropout the net that begins at random has {deep-random[error]}; neither autoencoders
  nor supervised layers are ahead of it, and its depth helps, where in the paper it was worse than one layer of as many
  units, which here has {shallow[error]}.
- **As published, in sigmoid units and plain gradient descent, the order is the paper's**, at errors that are larger as
  the runs are shorter: RBMs {deep-rbm-paper[error]}, autoencoders {deep-autoencoder-paper[error]}, supervised layers
  {deep-supervised-paper[error]}, and the deep net that begins at random {deep-random-paper[error]}, far behind; one
  layer has {shallow-paper[error]}. After 15 passes a beginning is a head start as well, which hundreds may make up for.
- With today's training RBMs are still first, but their interval holds the figure of the ReLU net that begins at random.
""",
    measures=(Measure("error", "test error, %"),),
    data_options={"validation_fraction": 1 / 6},
    rows=(
        Row(
            "deep-rbm",
            "3 layers, RBMs, sigmoid",
            _classifier,
            SIGMOID
            | {"hidden": DEEP, "pretraining": "unsupervised", "layer": "rbm"}
            | {"layer_epochs": 3, "layer_learning_rate": 1e-2},
            _published(1.2),
        ),
        Row(
            "deep-autoencoder",
            "3 layers, autoencoders, ReLU",
            _classifier,
            RELU
            | {"hidden": DEEP, "pretraining": "unsupervised", "layer": "autoencoder"}
            | {"layer_epochs": 3, "layer_learning_rate": 1e-3},
            _published(1.4),
        ),
        Row(
            "deep-supervised",
            "3 layers, supervised, ReLU",
            _classifier,
            RELU | {"hidden": DEEP, "pretraining": "supervised", "layer_epochs": 3},
            _published(2.0),
        ),
        Row(
            "deep-random",
            "3 layers, none, ReLU",
            _classifier,
            RELU | {"hidden": DEEP, "pretraining": "none"},
            _published(2.4),
        ),
        Row(
            "deep-random-sigmoid",
            "3 layers, none, sigmoid",
            _classifier,
            SIGMOID | {"hidden": DEEP, "pretraining": "none"},
            _published(2.4),
        ),
        Row(
            "shallow",
            "1 layer, none, ReLU",
            _classifier,
            RELU | {"hidden": SHALLOW, "pretraining": "none"},
            _published(1.9),
        ),
        Row(
            "shallow-wide",
            "1 layer of 1,000 units, longer, none, ReLU",
            _classifier,
            RELU | {"hidden": (1000,), "pretraining": "none", "max_epochs": 30, "learning_rate": 2e-3, "dropout": 0.5},
            _published(1.9),
            seeds=1,
        ),
        Row(
            "deep-rbm-paper",
            "3 layers, RBMs",
            _classifier,
            PAPER
            | {"hidden": DEEP, "pretraining": "unsupervised", "layer": "rbm", "layer_epochs": 3}
            | {"layer_optimizer": "sgd", "layer_momentum": 0.0, "layer_learning_rate": 0.1},
            _published(1.2),
            form="published",
            seeds=1,
        ),
        Row(
            "deep-autoencoder-paper",
            "3 layers, autoencoders",
            _classifier,
            PAPER
            | {"hidden": DEEP, "pretraining": "unsupervised", "layer": "autoencoder", "layer_epochs": 3}
            | {"layer_optimizer": "sgd", "layer_momentum": 0.0, "layer_learning_rate": 0.05, "layer_tied": True},
            _published(1.4),
            form="published",
            seeds=1,
        ),
        Row(
            "deep-supervised-paper",
            "3 layers, supervised",
            _classifier,
            PAPER | {"hidden": DEEP, "pretraining": "supervised", "layer_epochs": 3},
            _published(2.0),
            form="published",
            seeds=1,
        ),
        Row(
            "deep-random-paper",
            "3 layers, none",
            _classifier,
            PAPER | {"hidden": DEEP, "pretraining": "none"},
            _published(2.4),
            form="published",
            seeds=1,
        ),
        Row(
            "shallow-paper",
            "1 layer, none",
            _classifier,
            PAPER | {"hidden": SHALLOW, "pretraining": "none"},
            _published(1.9),
            form="published",
            seeds=1,
        ),
    ),
    small={"hidden": (16, 16), "max_epochs": 1, "layer_epochs": 1, "warm_up": 0, "precision": "fp32"},
)

"""Rifai et al. (2011): features of one layer, how far they move with the image, and what a classifier makes of them."""

from __future__ import annotations

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
    """Train a layer, measure its features, and fine-tune it as a classifier."""
    x, y = all_training(job.data)
    x = unit(x)
    found = _of_features(trained_layer(job, x, job.settings), unit(job.data.x_test))
    return {"test_error": classifier_errors(job, x, y, job.settings)} | found


def _of_features(layer: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """The norm of the Jacobian at each image, the mean square of its entries, and how many units are saturated."""
    norm = jacobian_norm(layer.model_, torch.from_numpy(x)).double().numpy()
    code = layer.transform(x)
    saturated = (code < SATURATED) | (code > 1 - SATURATED)
    mean_square = 1e4 * norm**2 / (code.shape[1] * x.shape[1])
    return {"jacobian_norm": norm, "mean_square": mean_square, "saturated": 100.0 * saturated.mean(axis=1)}


def _published(error: float, norm: float, saturated: float) -> dict[str, Published]:
    figures = {"test_error": error, "mean_square": norm, "saturated": saturated}
    return {name: Published(value, "quoted") for name, value in figures.items()}


SHARED: dict[str, Any] = {
    "hidden": (1000,),
    "layer_schedule": "cosine",
    "schedule": "cosine",
    "layer_epochs": 10,
    "layer_learning_rate": 1e-2,
    "batch_size": 250,
    "precision": "bf16",
    "max_epochs": 20,
    "dropout": 0.3,
    "input_dropout": 0.1,
    "learning_rate": 1e-2,
}

TABLE = Table(
    name="contractive",
    title="Contractive autoencoders",
    reference="""
Rifai, Vincent, Muller, Glorot, Bengio (2011). Contractive auto-encoders: explicit invariance during feature extraction.
ICML, table 1.
""",
    about="""
A layer of 1000 sigmoid units learns from MNIST's images without labels, in one of six ways: autoencoders with tied
weights and the cross-entropy, plain, with weight decay, with noise to undo, or with a penalty on the Jacobian of the
code; and an RBM. Then a softmax is put on it and both are fine-tuned on the labels: 60,000 images to train on, the
other 10,000 to test on.

The Jacobian and saturation are of the layer as it is before fine-tuning, over the test images. The norm is the
Frobenius norm of the Jacobian of the 1000 units by the 784 pixels in [0, 1], exactly. A unit is saturated for an image
where its activity is below 0.05 or above 0.95, which is the paper's definition as far as we remember.

The paper's mean norms are around 10⁻⁴. No Jacobian of 1000 units that carry an image has so small a norm, so it was
divided by something that the source of these figures does not name. They stand beside one guess, the mean of the
squares of the Jacobian's entries; what can be compared without a guess is the order of the rows.

Here all is trained by Adam on a cosine, with dropout in fine-tuning, for fewer epochs than one would want: 10 for the
layer and 20 with labels. Learning rates and dropout were chosen in a few short runs on the validation images with the
contractive layer, the Gaussian denoising and the plain one, and are the same in all rows; weights of penalties and
amounts of noise were not searched.
""",
    findings="""
Of the errors, four are below what was published: RBM {rbm[test_error]} %, masking noise {denoising-masking[test_error]}
%, weight decay {weight-decay[test_error]} % and the plain autoencoder {autoencoder[test_error]} %. Two miss it, the
contractive autoencoder with {contractive[test_error]} % for 1.14 and Gaussian noise with
{denoising-gaussian[test_error]} % for 1.18, which the intervals hold. With one seed and 10,000 images the six can't be
told apart, so the paper's order of errors is neither confirmed nor refuted; dropout in fine-tuning, which the paper has
not, may bring the rows closer together. In short runs on the validation images faster learning rates helped most;
neither other weights of the penalty and other noise nor longer training were tried.

Of the features, the Jacobians are ordered much as in the paper: the contractive layer's is the smallest,
{contractive[jacobian_norm]}, the RBM's {rbm[jacobian_norm]} and Gaussian noise's {denoising-gaussian[jacobian_norm]}
follow, then masking noise's {denoising-masking[jacobian_norm]}, weight decay's {weight-decay[jacobian_norm]}, and the
plain autoencoder's {autoencoder[jacobian_norm]} last; the paper has weight decay before masking noise, and Gaussian
noise before the RBM. The saturated units are not: about half are, of the contractive layer ({contractive[saturated]}
%), of the RBM and with either noise, and few with weight decay and without, where the paper has four fifths, 18 % with
Gaussian noise, and half of the plain autoencoder's. The mean squares of the Jacobian's entries,
{contractive[mean_square]}, {rbm[mean_square]} and {weight-decay[mean_square]}, are of the size of the published 0.73,
2.50 and 5.00, which speaks for the guess of what these are; the plain autoencoder's {autoencoder[mean_square]} is not
of the size of 17.5, which speaks against it.
""",
    measures=(
        Measure("test_error", "test error, fine-tuned, %"),
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
            SHARED | {"layer": "denoising", "layer_tied": True, "layer_corruption": "gaussian", "layer_strength": 0.4},
            _published(1.18, 0.86, 17.77),
            seeds=1,
        ),
        Row(
            "rbm",
            "RBM",
            _run,
            SHARED | {"layer": "rbm"},
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
    small={"hidden": (32,), "layer_epochs": 1, "max_epochs": 1, "precision": "fp32"},
)

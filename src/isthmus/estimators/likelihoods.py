"""Likelihoods by name: what data each takes, and its head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from torch import nn

from ..heads import (
    BernoulliHead,
    ContinuousBernoulliHead,
    DiscretisedLogisticHead,
    FixedGaussianHead,
    LearnedGaussianHead,
)
from ..training import Scaling
from .base import PIXEL_LEVELS

__all__ = ["Likelihood", "check_range", "choose_likelihood", "choose_scaling", "likelihood_head"]

Likelihood = Literal["auto", "bernoulli", "continuous_bernoulli", "gaussian", "fixed_gaussian", "discretised_logistic"]
"""p(x|z): "bernoulli" for black and white (grey pixels count as probabilities), "continuous_bernoulli" for grey ones,
"discretised_logistic" for 8-bit ones, "gaussian" with one learned variance a feature, "fixed_gaussian" with variance 1
in the model's units, that is, squared error. "auto": "bernoulli" for uint8 and data in [0, 1], else a Gaussian."""

_HEADS: dict[str, Callable[..., nn.Module]] = {
    "bernoulli": BernoulliHead,
    "continuous_bernoulli": ContinuousBernoulliHead,
    "gaussian": LearnedGaussianHead,
    "fixed_gaussian": FixedGaussianHead,
    "discretised_logistic": DiscretisedLogisticHead,
}


def likelihood_head(name: str, n_features: int, n_outputs: int) -> nn.Module:
    """The head of a likelihood, with its own linear map."""
    return _HEADS[name](n_features, n_outputs)


def choose_likelihood(name: str, rows: np.ndarray, real: str) -> str:
    """Resolve "auto" for some rows: Bernoulli for uint8 and [0, 1], else the Gaussian named `real`."""
    if name != "auto":
        if name not in _HEADS:
            raise ValueError(f"Expected likelihood 'auto' or one of {', '.join(map(repr, _HEADS))}, got {name!r}.")
        return name
    return "bernoulli" if rows.dtype == np.uint8 or (rows.min() >= 0 and rows.max() <= 1) else real


def choose_scaling(name: str, rows: np.ndarray) -> Scaling:
    """From rows as they came to the model's units.

    Gaussian likelihoods see data centred per feature and divided by one number for all features, their root mean
    square, so that the geometry, and with it what squared error means, is kept: as with PCA, features of unlike
    units want a `StandardScaler` before.
    """
    import torch

    if "gaussian" not in name:
        return Scaling(scale=PIXEL_LEVELS if rows.dtype == np.uint8 else 1.0)
    mean = rows.mean(axis=0, dtype=np.float64)
    variance = rows.var(axis=0, dtype=np.float64)
    # Rounding leaves constant columns a variance of about eps^2 mean^2: that is no scale to divide by.
    variance[variance <= (10 * np.finfo(np.float64).eps * np.abs(mean)) ** 2] = 0.0
    scale = float(np.sqrt(variance.mean()))
    return Scaling(torch.from_numpy(mean), scale if scale > 0 else 1.0)


def check_range(name: str, rows: np.ndarray, pixels: bool) -> None:
    """Data that a likelihood has no probability for are an error, not a strange number."""
    if "gaussian" in name or rows.dtype == np.uint8:
        return
    levels = rows if not pixels else rows / PIXEL_LEVELS
    tolerance = 1e-6
    if levels.min() < -tolerance or levels.max() > 1 + tolerance:
        raise ValueError(
            f"Expected data in [0, 1] for the likelihood {name!r}, got [{levels.min():g}, {levels.max():g}]; "
            "scale them (sklearn.preprocessing.MinMaxScaler), pass uint8 pixels, or use likelihood='gaussian'."
        )
    if name == "discretised_logistic" and np.abs(levels * PIXEL_LEVELS - np.rint(levels * PIXEL_LEVELS)).max() > 1e-3:
        raise ValueError(
            f"Expected 8-bit pixels for the likelihood {name!r}, got floats between their levels; pass uint8."
        )

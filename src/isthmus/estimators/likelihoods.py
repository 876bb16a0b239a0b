"""Likelihoods by name: what data each takes, and its head."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..data.shards import Shards
from ..heads import (
    BernoulliHead,
    ContinuousBernoulliHead,
    DiscretisedLogisticHead,
    FixedGaussianHead,
    LearnedGaussianHead,
)
from ..training import Scaling
from .base import PIXEL_LEVELS, TOLERANCE
from .blocks import column_moments

__all__ = ["Likelihood", "check_range", "choose_likelihood", "choose_scaling", "likelihood_head"]

Likelihood = Literal["auto", "bernoulli", "continuous_bernoulli", "gaussian", "fixed_gaussian", "discretised_logistic"]
"""p(x|z): "bernoulli" for black and white (grey pixels count as probabilities), "continuous_bernoulli" for grey ones,
"discretised_logistic" for 8-bit ones, "gaussian" with one learned variance a feature, "fixed_gaussian" with variance 1
in the model's units, that is, squared error. "auto": "bernoulli" for uint8 and data in [0, 1], else a Gaussian."""

_HEADS: dict[str, Any] = {
    "bernoulli": BernoulliHead,
    "continuous_bernoulli": ContinuousBernoulliHead,
    "gaussian": LearnedGaussianHead,
    "fixed_gaussian": FixedGaussianHead,
    "discretised_logistic": DiscretisedLogisticHead,
}


def likelihood_head(name: str, n_features: int, n_outputs: int, project: Any = None) -> nn.Module:
    """The head of a likelihood, with its own linear map, or that of a decoder that brings one."""
    if name not in _HEADS:
        raise ValueError(f"Expected a likelihood among {', '.join(map(repr, _HEADS))}, got {name!r}.")
    return _HEADS[name](n_features, n_outputs, project=project)


def choose_likelihood(name: str, rows: np.ndarray | Shards, real: str) -> str:
    """Resolve "auto" for some rows: Bernoulli for uint8 and [0, 1], else the Gaussian named `real`."""
    if name != "auto":
        return name
    levels = rows.dtype == np.uint8 or (rows.min() >= -TOLERANCE and rows.max() <= 1 + TOLERANCE)
    return "bernoulli" if levels else real


def choose_scaling(name: str, rows: np.ndarray | Shards, weight: np.ndarray | None = None) -> Scaling:
    """From rows as they came to the model's units.

    Gaussian likelihoods see data centred per feature and divided by one number for all features, their root mean
    square, so that the geometry, and with it what squared error means, is kept: as with PCA, features of unlike
    units want a `StandardScaler` before. Rows count by their weight.
    """
    if "gaussian" not in name:
        return Scaling(scale=PIXEL_LEVELS if rows.dtype == np.uint8 else 1.0)
    mean, variance = column_moments(rows, weight)
    scale = float(np.sqrt(variance.mean()))
    return Scaling(torch.from_numpy(mean), scale if scale > 0 else 1.0)


def check_range(name: str, rows: np.ndarray | Shards, pixels: bool) -> None:
    """Data that a likelihood has no probability for are an error, not a strange number."""
    if "gaussian" in name or rows.dtype == np.uint8:
        return
    unit = PIXEL_LEVELS if pixels else 1.0
    lowest, highest = rows.min() / unit, rows.max() / unit
    if lowest < -TOLERANCE or highest > 1 + TOLERANCE:
        raise ValueError(
            f"Expected data in [0, 1] for the likelihood {name!r}, got [{lowest:g}, {highest:g}]; "
            "use sklearn.preprocessing.MinMaxScaler, uint8 pixels, or a Gaussian likelihood."
        )
    blocks = rows.blocks() if isinstance(rows, Shards) else [rows]
    if name == "discretised_logistic" and not all(_is_levels(block / unit * PIXEL_LEVELS) for block in blocks):
        raise ValueError(
            f"Expected 8-bit pixels for the likelihood {name!r}, got floats between their levels; use X as uint8."
        )


def _is_levels(values: np.ndarray) -> bool:
    return bool(np.abs(values - np.rint(values)).max() <= 1e-3)

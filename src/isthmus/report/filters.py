"""What the units of a first layer look for, and what those of a linear decoder draw: weights as images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from ..evaluation.chunks import device_of, evaluating
from .layers import encoder_steps

__all__ = ["decoder_filters", "encoder_filters", "kernel_size"]


def encoder_filters(estimator: Any) -> np.ndarray:
    """Weights of the encoder's first layer, a unit each, in the shape of an example: (n_units, *feature_shape).

    A convolution's are its kernels, (n_channels, channels in, height, width).

    Raises:
        ValueError: the first layer has no weights that belong to features.
    """
    if hasattr(estimator, "components_"):
        return _shaped(np.asarray(estimator.components_), estimator)
    first = _first_layer(estimator)
    if isinstance(first, nn.Conv2d):
        return _numpy(first.weight)
    if not isinstance(first, nn.Linear) or first.in_features < (n_features := estimator.n_features_in_):
        name = "no network" if first is None else type(first).__name__
        raise ValueError(
            f"Expected an encoder that begins with a dense layer or a convolution, got {name}; its weights are no "
            "images."
        )
    return _shaped(_numpy(first.weight)[:, :n_features], estimator)  # what comes after them belongs to a condition


def kernel_size(estimator: Any) -> tuple[int, ...] | None:
    """Height and width of the first layer's kernels, or None where it is no convolution."""
    first = None if hasattr(estimator, "components_") else _first_layer(estimator)
    return tuple(first.weight.shape[2:]) if isinstance(first, nn.Conv2d) else None


def _first_layer(estimator: Any) -> nn.Module | None:
    """The first module with weights that an example meets."""
    found = encoder_steps(estimator)
    return next((s.module for s in found if next(s.module.parameters(), None) is not None), None)


def decoder_filters(estimator: Any) -> np.ndarray:
    """What one step along each unit of the code adds, before the likelihood: (n_units, *feature_shape).

    Raises:
        ValueError: a decoder with hidden layers, for which that depends on where the step begins.
    """
    if hasattr(estimator, "components_"):
        return encoder_filters(estimator)
    decoder = getattr(getattr(estimator, "model_", None), "decoder", None)
    project = getattr(getattr(decoder, "head", None), "project", None)
    if decoder is None or project is None or next(decoder.net.parameters(), None) is not None:
        raise ValueError(
            f"Expected a linear decoder, got one with hidden layers in {type(estimator).__name__}; use hidden=() at "
            "fit, or the filters of the encoder."
        )
    with evaluating(decoder):
        steps = torch.eye(estimator._n_features_out, device=device_of(decoder))
        drawn = project(steps) - project(torch.zeros_like(steps))
    return _shaped(_numpy(drawn)[:, : estimator.n_features_in_], estimator)


def _shaped(weights: np.ndarray, estimator: Any) -> np.ndarray:
    shape = tuple(estimator.feature_shape_)
    if math.prod(shape) != weights.shape[1]:
        raise ValueError(f"Expected a weight for each of {math.prod(shape)} features, got {weights.shape[1]}.")
    return weights.reshape(len(weights), *shape)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()

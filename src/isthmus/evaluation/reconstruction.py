"""How much of an example comes back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .mean import Mean

__all__ = ["ReconstructionError", "reconstruction_error"]


class ReconstructionError(NamedTuple):
    """Squared errors of reconstructions, in squared units of the data.

    Attributes:
        squared_error: summed over the features of each example, (n,).
        n_features: number of features F.
    """

    squared_error: np.ndarray
    n_features: int

    @property
    def mean(self) -> Mean:
        """Squared error per example: the figure of Hinton and Salakhutdinov (2006)."""
        return Mean.of(self.squared_error)

    @property
    def per_feature(self) -> Mean:
        """Squared error per feature, which many programs call the mean squared error."""
        return Mean.of(self.squared_error / self.n_features)


def reconstruction_error(X: ArrayLike, reconstruction: ArrayLike) -> ReconstructionError:
    r"""Squared error of reconstructions, :math:`\|x - \hat x\|^2`, summed over each example's features.

    Use it to compare models whose likelihoods can't be compared: it needs none, and every model has it. It says
    nothing about how likely data are, and a wider code always has less.

    Args:
        X: examples, (n, ...); their features are flattened. uint8 pixels are divided by 255 first by whoever calls.
        reconstruction: the same shape and units.

    Returns:
        Errors of each example, their mean, and the mean per feature.

    Raises:
        ValueError: shapes differ, or unsigned integers, which belong in other units.

    References:
        Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks", Science 313.

    Example:
        >>> error = reconstruction_error([[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.5], [0.0, 0.0]])
        >>> error.squared_error, error.mean.value, error.per_feature.value
        (array([0.25, 2. ]), 1.125, 0.5625)
    """
    original, decoded = np.asarray(X), np.asarray(reconstruction)
    if original.shape != decoded.shape or original.ndim < 2:
        raise ValueError(f"Expected two arrays (n, ...) of one shape, got {original.shape} and {decoded.shape}.")
    if np.uint8 in (original.dtype, decoded.dtype):
        raise ValueError("Expected floats in one unit, got uint8; use X / 255 for both, or estimator.squared_error(X).")
    rows = len(original)
    difference = np.subtract(original, decoded, dtype=np.float64).reshape(rows, -1)
    return ReconstructionError(np.square(difference).sum(axis=1), difference.shape[1])

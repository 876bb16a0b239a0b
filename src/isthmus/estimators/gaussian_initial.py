"""Parameters that a user gives a mixture of Gaussians to start from, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["initial_covariances", "initial_means", "initial_weights"]


def _array(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.array(given, dtype=np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"Expected {name} of shape {shape} and finite, got shape {found.shape}; use None for none.")
    return found


def initial_weights(given: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """Weights (K,) of components that are (K, F), or None.

    Raises:
        ValueError: of another shape, or no probabilities.
    """
    if given is None:
        return None
    found = _array("weights_init", given, shape[:1])
    if found.min() < 0 or abs(found.sum() - 1) > 1e-6:
        raise ValueError(f"Expected weights_init as probabilities that sum to 1, got {found.tolist()}.")
    return found


def initial_means(given: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """Means (K, F), or None.

    Raises:
        ValueError: of another shape.
    """
    return None if given is None else _array("means_init", given, shape)


def initial_covariances(precisions: Any, shape: tuple[int, int], kind: str) -> np.ndarray | None:
    """Covariances of a kind from their inverses, for components that are (K, F), or None.

    Raises:
        ValueError: of another shape, or not positive definite.
    """
    if precisions is None:
        return None
    n_components, n_features = shape
    shapes = {"full": (*shape, n_features), "tied": (n_features, n_features), "diag": shape}
    found = _array("precisions_init", precisions, shapes.get(kind, (n_components,)))
    if kind in ("diag", "spherical"):
        if found.min() <= 0:
            raise ValueError("Expected precisions_init above 0, got others; use 1 / variance.")
        return 1 / found
    if not np.allclose(found, found.swapaxes(-1, -2)) or np.linalg.eigvalsh(found).min() <= 0:
        raise ValueError("Expected precisions_init symmetric and positive definite, got others.")
    inverses = np.linalg.inv(found)
    return (inverses + inverses.swapaxes(-1, -2)) / 2

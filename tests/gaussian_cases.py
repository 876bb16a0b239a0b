"""Rows of a few bumps, and mixtures of Gaussians on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.mixtures import Gaussians

__all__ = ["bumps", "every_kind", "mixture"]

KINDS = ("full", "tied", "diag", "spherical")
every_kind = pytest.mark.parametrize("kind", KINDS)


def bumps(seed: int = 0, n: int = 300, n_features: int = 3, n_bumps: int = 3, apart: float = 3.0) -> np.ndarray:
    """Rows of a few correlated bumps, (n, F) float64."""
    generator = np.random.default_rng(seed)
    middles = apart * generator.normal(size=(n_bumps, n_features)) + 5
    shapes = generator.normal(size=(n_bumps, n_features, n_features))
    label = generator.integers(0, n_bumps, n)
    return middles[label] + np.einsum("nij,nj->ni", shapes[label], generator.normal(size=(n, n_features)))


def mixture(kind: str, rows: np.ndarray, n_components: int = 3, seed: int = 0) -> Gaussians:
    """A mixture whose components are any rows, and whose covariances are any."""
    generator = np.random.default_rng(seed)
    n_features = rows.shape[1]
    roots = generator.normal(size=(n_components, n_features, n_features))
    full = roots @ roots.swapaxes(1, 2) + np.eye(n_features)
    covariances = {"full": full, "tied": full[0], "diag": full.diagonal(axis1=1, axis2=2), "spherical": full[:, 0, 0]}
    weights = generator.dirichlet(np.ones(n_components) * 3)
    means = rows[generator.choice(len(rows), n_components, replace=False)]
    return Gaussians(*(torch.from_numpy(np.array(part)) for part in (weights, means, covariances[kind])), kind)

"""Every estimator, small and quick, and data for it: what tests of all estimators run over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isthmus import (
    IWAE,
    PCA,
    RBM,
    VAE,
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FactorAnalysis,
    KSparseAutoencoder,
    ProbabilisticPCA,
    SparseAutoencoder,
    StackedAutoencoder,
)

__all__ = [
    "KINDS",
    "LINEAR",
    "MAKE",
    "QUICK",
    "every_estimator",
    "every_kind",
    "every_network",
    "pixel_images",
    "real_table",
]

QUICK = {"hidden": (16,), "max_epochs": 2, "random_state": 0}
BATCHES = QUICK | {"batch_size": 16}  # what sigmoid codes learn from one batch is the same to the last digit
LINEAR = {  # which take no part in training
    "PCA": lambda n=2, **more: PCA(n),
    "ProbabilisticPCA": lambda n=2, **more: ProbabilisticPCA(n),
    "FactorAnalysis": lambda n=2, **more: FactorAnalysis(n),
}


def _of_rbm(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters without those of networks, and the nearest likelihood that a Boltzmann machine has."""
    kept = {name: value for name, value in parameters.items() if name in RBM._get_param_names()}
    nearest = {"gaussian": "fixed_gaussian", "continuous_bernoulli": "bernoulli"}
    likelihood = kept.get("likelihood", "auto")
    return kept | {"likelihood": nearest.get(likelihood, likelihood)}


MAKE = LINEAR | {
    "Autoencoder": lambda n=2, **more: Autoencoder(n, **QUICK | more),
    "ContractiveAutoencoder": lambda n=2, **more: ContractiveAutoencoder(n, **BATCHES | more),
    "DenoisingAutoencoder": lambda n=2, **more: DenoisingAutoencoder(n, **QUICK | more),
    "IWAE": lambda n=2, **more: IWAE(n, **{"n_samples": 3} | QUICK | more),
    # Without annealing, which is a share of all epochs: a run that is stopped by asking for fewer would have another.
    "KSparseAutoencoder": lambda n=2, **more: KSparseAutoencoder(n, **{"k": 1, "annealing": 0.0} | QUICK | more),
    "RBM": lambda n=2, **more: RBM(n, **_of_rbm(QUICK | more)),
    "SparseAutoencoder": lambda n=2, **more: SparseAutoencoder(n, **{"sparsity_weight": 0.1} | BATCHES | more),
    "StackedAutoencoder": lambda n=2, **more: StackedAutoencoder(n, **{"layer_epochs": 1} | QUICK | more),
    "VAE": lambda n=2, **more: VAE(n, **QUICK | more),
}
WITHOUT_OWN_LAYERS = (*LINEAR, "RBM", "StackedAutoencoder")
NETWORKS = {name: make for name, make in MAKE.items() if name not in WITHOUT_OWN_LAYERS}
every_estimator = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
every_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
KINDS = {name: MAKE[name] for name in ("PCA", "FactorAnalysis", "Autoencoder", "RBM", "StackedAutoencoder", "VAE")}
"""One of each way to take rows and to give them back: others differ from these in objective or code alone."""
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def real_table(n: int = 120) -> np.ndarray:
    """Six correlated columns that vary in three directions, and a little in all, (n, 6) float64."""
    generator = np.random.RandomState(0)
    return generator.randn(n, 3) @ generator.randn(3, 6) + 0.1 * generator.randn(n, 6) + 3


def pixel_images() -> np.ndarray:
    """scikit-learn's digits as pixels, (100, 8, 8) uint8."""
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:100] * 255 / 16).astype(np.uint8)

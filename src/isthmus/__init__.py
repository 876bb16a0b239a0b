"""Autoencoders and the latent-variable models around them: trained fast, measured in exact nats.

The names below are loaded when first used, so that `import isthmus` costs nothing: torch alone takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import load_data
    from .estimators import (
        IWAE,
        PCA,
        RBM,
        VAE,
        Autoencoder,
        BayesianGaussianMixture,
        BayesianNeuralNetwork,
        BayesianNeuralNetworkClassifier,
        BernoulliMixture,
        ConditionalVAE,
        ContractiveAutoencoder,
        DenoisingAutoencoder,
        DensityNetwork,
        DensityNetworkClassifier,
        FactorAnalysis,
        GaussianMixture,
        KMeans,
        KSparseAutoencoder,
        PretrainedClassifier,
        ProbabilisticPCA,
        SparseAutoencoder,
        StackedAutoencoder,
        load,
    )
    from .evaluation import evaluate
    from .inference import fit_posterior
    from .model import Batch, Conditional, LatentVariableModel, Trace
    from .training import Settings, fit

__all__ = [
    "IWAE",
    "PCA",
    "RBM",
    "VAE",
    "Autoencoder",
    "Batch",
    "BayesianGaussianMixture",
    "BayesianNeuralNetwork",
    "BayesianNeuralNetworkClassifier",
    "BernoulliMixture",
    "Conditional",
    "ConditionalVAE",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "DensityNetwork",
    "DensityNetworkClassifier",
    "FactorAnalysis",
    "GaussianMixture",
    "KMeans",
    "KSparseAutoencoder",
    "LatentVariableModel",
    "PretrainedClassifier",
    "ProbabilisticPCA",
    "Settings",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "Trace",
    "evaluate",
    "fit",
    "fit_posterior",
    "load",
    "load_data",
]

__version__ = "0.1.0"

_HOME = {
    "data": ("load_data",),
    "estimators": (
        "IWAE",
        "PCA",
        "RBM",
        "VAE",
        "Autoencoder",
        "BayesianGaussianMixture",
        "BayesianNeuralNetwork",
        "BayesianNeuralNetworkClassifier",
        "BernoulliMixture",
        "ConditionalVAE",
        "ContractiveAutoencoder",
        "DenoisingAutoencoder",
        "DensityNetwork",
        "DensityNetworkClassifier",
        "FactorAnalysis",
        "GaussianMixture",
        "KMeans",
        "KSparseAutoencoder",
        "PretrainedClassifier",
        "ProbabilisticPCA",
        "SparseAutoencoder",
        "StackedAutoencoder",
        "load",
    ),
    "evaluation": ("evaluate",),
    "inference": ("fit_posterior",),
    "model": ("Batch", "Conditional", "LatentVariableModel", "Trace"),
    "training": ("Settings", "fit"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE[name]}", __name__), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Estimators with the interface of scikit-learn, one class a file."""

from .autoencoder import Autoencoder
from .base import LatentEstimator
from .factor_analysis import FactorAnalysis
from .network import BaseAutoencoder
from .pca import PCA
from .probabilistic_pca import ProbabilisticPCA
from .saved import load
from .vae import VAE

__all__ = [
    "PCA",
    "VAE",
    "Autoencoder",
    "BaseAutoencoder",
    "FactorAnalysis",
    "LatentEstimator",
    "ProbabilisticPCA",
    "load",
]

"""Estimators with the interface of scikit-learn, one class a file."""

from .autoencoder import Autoencoder
from .base import LatentEstimator
from .bayesian_gaussian_mixture import BayesianGaussianMixture
from .bayesian_neural_network import BayesianNeuralNetwork, BayesianNeuralNetworkClassifier
from .bernoulli_mixture import BernoulliMixture
from .classifier import PretrainedClassifier
from .conditional_vae import ConditionalVAE
from .contractive import ContractiveAutoencoder
from .denoising import DenoisingAutoencoder
from .density_network import DensityNetwork, DensityNetworkClassifier
from .factor_analysis import FactorAnalysis
from .gaussian_mixture import CollapsedComponentWarning, GaussianMixture
from .iwae import IWAE
from .k_sparse import KSparseAutoencoder
from .kmeans import KMeans
from .network import BaseAutoencoder
from .pca import PCA
from .probabilistic_pca import ProbabilisticPCA
from .rbm import RBM
from .saved import load
from .sparse import SparseAutoencoder
from .stacked import StackedAutoencoder
from .training_parameters import TrainingParameters
from .vae import VAE

__all__ = [
    "IWAE",
    "PCA",
    "RBM",
    "VAE",
    "Autoencoder",
    "BaseAutoencoder",
    "BayesianNeuralNetwork",
    "BayesianNeuralNetworkClassifier",
    "BayesianGaussianMixture",
    "BernoulliMixture",
    "CollapsedComponentWarning",
    "ConditionalVAE",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "DensityNetwork",
    "DensityNetworkClassifier",
    "FactorAnalysis",
    "GaussianMixture",
    "KMeans",
    "KSparseAutoencoder",
    "LatentEstimator",
    "PretrainedClassifier",
    "ProbabilisticPCA",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "TrainingParameters",
    "load",
]

"""Posteriors over the weights of small networks, many networks at once."""

from .descend import descend, train_networks
from .dropout import dropped
from .laplace import LaplaceFit, fit_laplace, linearised
from .likelihoods import Classes, ConstantNoise, InputNoise, OutputLikelihood
from .mean_field import MeanFieldFit, fit_mean_field
from .network import Network
from .outputs import Outputs, Posterior, WeightPosterior, log_probabilities, outputs_of, target_gaussians
from .point import PointFit, fit_point_networks

__all__ = [
    "Classes",
    "ConstantNoise",
    "InputNoise",
    "LaplaceFit",
    "MeanFieldFit",
    "Network",
    "OutputLikelihood",
    "Outputs",
    "PointFit",
    "Posterior",
    "WeightPosterior",
    "descend",
    "dropped",
    "fit_laplace",
    "fit_mean_field",
    "fit_point_networks",
    "linearised",
    "log_probabilities",
    "outputs_of",
    "target_gaussians",
    "train_networks",
]

"""Posteriors over the weights of small networks, many networks at once."""

from .dropout import dropped
from .laplace import linearised
from .likelihoods import Classes, ConstantNoise, InputNoise, OutputLikelihood
from .network import Network
from .outputs import Outputs, Posterior, WeightPosterior, log_probabilities, outputs_of, target_gaussians

__all__ = [
    "Classes",
    "ConstantNoise",
    "InputNoise",
    "Network",
    "OutputLikelihood",
    "Outputs",
    "Posterior",
    "WeightPosterior",
    "dropped",
    "linearised",
    "log_probabilities",
    "outputs_of",
    "target_gaussians",
]

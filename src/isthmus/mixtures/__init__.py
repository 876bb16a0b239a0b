"""Mixtures: models with one discrete cause a row, learned by expectation maximisation; pure functions of tensors.

Work on CPU and GPU alike: dtype and device are those of the data. The estimators of `isthmus.estimators` are built
from them.
"""

from .bernoulli import (
    Bernoullis,
    BernoulliStatistics,
    bernoulli_log_joint,
    fit_bernoullis,
    maximised_bernoullis,
    start_bernoullis,
)
from .em import EMResult, em
from .gaussian import Gaussians, rows_from_noise
from .kmeans import Clusters, closest, k_means, k_means_plus_plus, lloyd, squared_distances
from .mini_batch import mini_batch_k_means, mini_batch_step
from .variational_bound import divergence, fit_variational, predictive_log_joint, student_parameters
from .variational_gaussian import GaussianPrior, VariationalGaussians, expected_log_joint, moments_of, posterior_of

__all__ = [
    "posterior_of",
    "moments_of",
    "expected_log_joint",
    "VariationalGaussians",
    "GaussianPrior",
    "student_parameters",
    "predictive_log_joint",
    "fit_variational",
    "divergence",
    "rows_from_noise",
    "Gaussians",
    "start_bernoullis",
    "maximised_bernoullis",
    "fit_bernoullis",
    "bernoulli_log_joint",
    "BernoulliStatistics",
    "Bernoullis",
    "Clusters",
    "EMResult",
    "closest",
    "em",
    "k_means",
    "k_means_plus_plus",
    "lloyd",
    "mini_batch_k_means",
    "mini_batch_step",
    "squared_distances",
]

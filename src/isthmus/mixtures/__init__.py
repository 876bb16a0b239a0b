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
from .conditional import ConditionalGaussians, conditional
from .covariance_rule import CovarianceRule, log_prior, regularised
from .em import EMResult, em
from .gaussian import (
    Gaussians,
    component_log_densities,
    log_density,
    precisions_cholesky,
    responsibilities,
    rows_from_noise,
    sample,
)
from .gaussian_fit import GaussianFit, collapsed_components, fit_gaussians
from .gaussian_start import start_gaussians
from .gaussian_sums import expectations
from .kmeans import Clusters, closest, k_means, k_means_plus_plus, lloyd, squared_distances
from .mini_batch import mini_batch_k_means, mini_batch_step
from .missing import draw_missing, fit_missing, impute, missing_component_log_densities, missing_moments
from .moments import Moments, maximised, moments_of
from .online import OnlineMixture, fit_in_batches, fit_in_passes, online_start, online_step
from .prepared import Prepared
from .variational_bound import divergence, fit_variational, predictive_log_joint, student_parameters
from .variational_gaussian import GaussianPrior, VariationalGaussians, expected_log_joint, posterior_of

__all__ = [
    "ConditionalGaussians",
    "OnlineMixture",
    "conditional",
    "draw_missing",
    "fit_in_batches",
    "fit_in_passes",
    "fit_missing",
    "impute",
    "missing_component_log_densities",
    "missing_moments",
    "online_start",
    "online_step",
    "CovarianceRule",
    "log_prior",
    "regularised",
    "component_log_densities",
    "log_density",
    "precisions_cholesky",
    "responsibilities",
    "sample",
    "GaussianFit",
    "collapsed_components",
    "fit_gaussians",
    "start_gaussians",
    "expectations",
    "Moments",
    "maximised",
    "Prepared",
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

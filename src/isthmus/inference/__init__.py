"""Inference: from any log-density of a vector to a distribution that stands for it, and how far to trust that.

Pure functions of torch tensors; `fit_posterior` is where to start.
"""

from .annealed import annealed_importance_sampling, bidirectional_monte_carlo
from .density import LogDensity
from .divergences import divergence, fit_moments, match_moments
from .families import Family, Flow, FullRank, GaussianMixtureFamily, LinearFamily, LowRank, MeanField, Student
from .fit import fit_posterior
from .gradients import evidence_bound, importance_weighted_bound, leave_one_out
from .importance import importance_sampling, simple_monte_carlo
from .linear_response import linear_response, linear_response_of
from .optimise import ImproperDensityError
from .parameters import Parameters
from .paths import path_log_prob
from .posterior import Posterior, Quantity
from .predictive import compare_models, predictive_density
from .psis import effective_sample_size, pareto_smooth
from .stochastic import StochasticFit, fit_family
from .variational_em import RowFactors, VariationalEM, amortisation_gap, factor_bound, fit_factors, variational_em

__all__ = [
    "Family",
    "Flow",
    "FullRank",
    "GaussianMixtureFamily",
    "ImproperDensityError",
    "LinearFamily",
    "LogDensity",
    "LowRank",
    "MeanField",
    "Parameters",
    "Posterior",
    "Quantity",
    "RowFactors",
    "StochasticFit",
    "Student",
    "VariationalEM",
    "amortisation_gap",
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "compare_models",
    "divergence",
    "effective_sample_size",
    "evidence_bound",
    "factor_bound",
    "fit_factors",
    "fit_family",
    "fit_moments",
    "fit_posterior",
    "importance_sampling",
    "importance_weighted_bound",
    "leave_one_out",
    "linear_response",
    "linear_response_of",
    "match_moments",
    "pareto_smooth",
    "path_log_prob",
    "predictive_density",
    "simple_monte_carlo",
    "variational_em",
]

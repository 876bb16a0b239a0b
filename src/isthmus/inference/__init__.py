"""Inference: from any log-density of a vector to a distribution that stands for it, and how far to trust that.

Pure functions of torch tensors; `fit_posterior` is where to start.
"""

from .density import LogDensity
from .families import Family, Flow, GaussianMixtureFamily, LinearFamily, LowRank, MeanField
from .gradients import evidence_bound, importance_weighted_bound, leave_one_out, path_log_prob
from .parameters import Parameters
from .psis import effective_sample_size, pareto_smooth

__all__ = [
    "Family",
    "Flow",
    "GaussianMixtureFamily",
    "LinearFamily",
    "LogDensity",
    "LowRank",
    "MeanField",
    "Parameters",
    "effective_sample_size",
    "evidence_bound",
    "importance_weighted_bound",
    "leave_one_out",
    "pareto_smooth",
    "path_log_prob",
]

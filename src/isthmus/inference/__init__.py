"""Inference: from any log-density of a vector to a distribution that stands for it, and how far to trust that.

Pure functions of torch tensors; `fit_posterior` is where to start.
"""

from .density import LogDensity
from .families import Family, LinearFamily, MeanField
from .parameters import Parameters
from .psis import effective_sample_size, pareto_smooth

__all__ = [
    "Family",
    "LinearFamily",
    "LogDensity",
    "MeanField",
    "Parameters",
    "effective_sample_size",
    "pareto_smooth",
]

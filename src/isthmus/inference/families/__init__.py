"""Families of distributions that a posterior is approximated by."""

from .base import Family, LinearFamily
from .flow import Flow, FlowDistribution
from .full_rank import FullRank
from .low_rank import LowRank
from .mean_field import MeanField
from .mixture import GaussianMixtureFamily
from .student import MultivariateStudentT, Student

__all__ = [
    "Family",
    "Flow",
    "FlowDistribution",
    "FullRank",
    "GaussianMixtureFamily",
    "LinearFamily",
    "LowRank",
    "MeanField",
    "MultivariateStudentT",
    "Student",
]

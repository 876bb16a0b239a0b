"""Heads: features in, distribution out."""

from .base import LOG_SCALE_FLOOR, Head, bounded_log_scale
from .bernoulli import BernoulliHead, ContinuousBernoulliHead
from .categorical import CategoricalHead
from .discretised_logistic import DiscretisedLogisticHead
from .gaussian import FixedGaussianHead, FullGaussianHead, GaussianHead, LearnedGaussianHead
from .point import PointHead

__all__ = [
    "LOG_SCALE_FLOOR",
    "BernoulliHead",
    "CategoricalHead",
    "ContinuousBernoulliHead",
    "DiscretisedLogisticHead",
    "FixedGaussianHead",
    "FullGaussianHead",
    "GaussianHead",
    "Head",
    "LearnedGaussianHead",
    "PointHead",
    "bounded_log_scale",
]

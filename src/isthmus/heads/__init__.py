"""Heads: features in, distribution out."""

from .base import LOG_SCALE_FLOOR, Head, bounded_log_scale
from .bernoulli import BernoulliHead, ContinuousBernoulliHead
from .categorical import CategoricalHead
from .discretised_logistic import DiscretisedLogisticHead
from .gaussian import FixedGaussianHead, FullGaussianHead, GaussianHead, LearnedGaussianHead
from .mixture import MixtureHead
from .point import PointHead
from .top_k import TopKHead, top_k_mask

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
    "MixtureHead",
    "PointHead",
    "TopKHead",
    "bounded_log_scale",
    "top_k_mask",
]

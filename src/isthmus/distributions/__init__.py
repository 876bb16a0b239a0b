"""What torch.distributions lacks: deterministic codes, likelihoods of pixels, and exact KLs between Gaussians."""

from .codes import FixedScaleNormal, Point, at_least_float32, kl_per_dimension, normal, reparameterise
from .likelihoods import ContinuousBernoulli, DiscretisedLogistic, OneHotGroups, log_prob_per_dimension

__all__ = [
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "FixedScaleNormal",
    "OneHotGroups",
    "Point",
    "at_least_float32",
    "kl_per_dimension",
    "log_prob_per_dimension",
    "normal",
    "reparameterise",
]

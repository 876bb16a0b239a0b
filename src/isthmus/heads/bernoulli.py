"""Likelihoods of pixels in [0, 1]: black or white, and grey."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Bernoulli, Independent

from ..distributions import ContinuousBernoulli
from .base import Head, Projection

__all__ = ["BernoulliHead", "ContinuousBernoulliHead"]


class BernoulliHead(Head):
    r"""Independent Bernoulli outputs with logits from the features.

    Use it for binary data. On grey values in [0, 1] it is the usual cross-entropy: the expected code length of pixels
    drawn black or white with those probabilities, and no density of the grey values (`ContinuousBernoulliHead`).

    Args:
        n_features: width of the features.
        n_outputs: number of outputs.
        project: see `Head`.

    Example:
        >>> BernoulliHead(4, 2)(torch.zeros(3, 4)).log_prob(torch.ones(3, 2)).shape
        torch.Size([3])
    """

    def __init__(self, n_features: int, n_outputs: int, *, project: Projection | None = None) -> None:
        super().__init__(n_features, n_outputs, project=project)

    def forward(self, features: Tensor) -> Independent:
        """The distribution of the outputs."""
        (logits,) = self.project_to_parameters(features)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


class ContinuousBernoulliHead(Head):
    """Independent densities on [0, 1], see `isthmus.distributions.ContinuousBernoulli`.

    Use it for grey pixels; log-densities may be positive. For 8-bit pixels and code lengths: `DiscretisedLogisticHead`.

    Args:
        n_features: width of the features.
        n_outputs: number of outputs.
        project: see `Head`.

    References:
        Loaiza-Ganem and Cunningham (2019). The continuous Bernoulli: fixing a pervasive error in variational
        autoencoders. NeurIPS.

    Example:
        >>> ContinuousBernoulliHead(4, 2)(torch.zeros(3, 4)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(self, n_features: int, n_outputs: int, *, project: Projection | None = None) -> None:
        super().__init__(n_features, n_outputs, project=project)

    def forward(self, features: Tensor) -> Independent:
        """The distribution of the outputs."""
        (logits,) = self.project_to_parameters(features)
        return Independent(ContinuousBernoulli(logits), 1, validate_args=False)

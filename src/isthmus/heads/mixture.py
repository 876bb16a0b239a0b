"""Mixture density: targets of which one input has several likely values."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from ..distributions import at_least_float32, normal
from .base import LOG_SCALE_FLOOR, Head, bounded_log_scale
from .gaussian import lower_triangular

__all__ = ["MixtureHead"]


class MixtureHead(Head):
    r"""Mixture of Gaussians whose weights, means and covariances come from the features.

    .. math:: p(y|h) = \sum_k \pi_k(h)\, N(y; \mu_k(h), \Sigma_k(h))

    Use it where the same input may have answers far apart, as inverse problems do, or noise that is skewed.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the event.
        n_components: Gaussians in the mixture.
        covariance: "diag", or "full" with a Cholesky factor of each component.
        floor: smallest log-scale, see `bounded_log_scale`.

    Raises:
        ValueError: no component, or an unknown covariance.

    References:
        Bishop (1994). Mixture density networks. Aston University, NCRG/94/004.

    Example:
        >>> head = MixtureHead(4, 2, n_components=3)
        >>> head(torch.zeros(5, 4)).log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        n_components: int,
        covariance: Literal["diag", "full"] = "diag",
        floor: float = LOG_SCALE_FLOOR,
    ) -> None:
        if n_components < 1:
            raise ValueError(f"Expected n_components >= 1, got {n_components}.")
        if covariance not in ("diag", "full"):
            raise ValueError(f"Expected covariance as 'diag' or 'full', got {covariance!r}.")
        super().__init__(n_features, n_outputs, 2 * n_components)
        self.n_components, self.floor = n_components, floor
        self.weigh = nn.Linear(n_features, n_components)
        n_below = n_outputs * (n_outputs - 1) // 2 if covariance == "full" else 0
        self.below = nn.Linear(n_features, n_components * n_below) if n_below else None
        # Components begin apart, or they would learn the same.
        self.apart = nn.Parameter(torch.randn(n_components, n_outputs))

    def forward(self, features: Tensor) -> MixtureSameFamily:
        """The distribution of the outputs."""
        numbers = at_least_float32(self.project(features))
        loc, log_scale = numbers.unflatten(-1, (2, self.n_components, self.n_outputs)).unbind(-3)
        loc, scale = loc + self.apart, bounded_log_scale(log_scale, self.floor).exp()
        weights = Categorical(logits=at_least_float32(self.weigh(features)), validate_args=False)
        if self.below is None:
            return MixtureSameFamily(weights, normal(loc, scale), validate_args=False)
        below = at_least_float32(self.below(features)).unflatten(-1, (self.n_components, -1))
        factor = scale.unsqueeze(-1) * lower_triangular(below, self.n_outputs)
        parts = MultivariateNormal(loc, scale_tril=factor, validate_args=False)
        return MixtureSameFamily(weights, parts, validate_args=False)

"""What regressors predict: for each row a mixture of Gaussians, of one component or of several."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

__all__ = ["Components", "components_of"]

N_HALVINGS = 60  # of the interval in which a quantile lies: to the last digit


class Components(NamedTuple):
    """Mixtures of K Gaussians over k targets, one for each of n rows, in float64.

    Attributes:
        log_weights: (n, K), which need not be normalised.
        means: (n, K, k).
        factor: standard deviations (n, K, k), or Cholesky factors of covariances (n, K, k, k).
    """

    log_weights: Tensor
    means: Tensor
    factor: Tensor

    def rescaled(self, mean: Tensor, scale: Tensor) -> Components:
        """In other units: times the scale, plus the mean, of each target (k,)."""
        wide = scale.unsqueeze(-1) if self.factor.ndim == 4 else scale
        return Components(self.log_weights, self.means * scale + mean, self.factor * wide)

    def distribution(self, one_target: bool) -> Distribution:
        """As torch has them, batch shape (n,): events are numbers where there is one target, else vectors (k,)."""
        means, factor = self.means, self.factor
        if one_target:
            scale = factor[..., 0, 0] if factor.ndim == 4 else factor[..., 0]
            parts: Distribution = Normal(means[..., 0], scale, validate_args=False)
        elif factor.ndim == 4:
            parts = MultivariateNormal(means, scale_tril=factor, validate_args=False)
        else:
            parts = Independent(Normal(means, factor, validate_args=False), 1, validate_args=False)
        if means.shape[1] == 1:
            return _first(parts)
        weights = Categorical(logits=self.log_weights, validate_args=False)
        return MixtureSameFamily(weights, parts, validate_args=False)

    @property
    def weights(self) -> Tensor:
        """Normalised, (n, K, 1)."""
        return self.log_weights.softmax(-1).unsqueeze(-1)

    @property
    def scales(self) -> Tensor:
        """Standard deviation of each target in each component, (n, K, k)."""
        return self.factor.square().sum(-1).sqrt() if self.factor.ndim == 4 else self.factor

    @property
    def mean(self) -> Tensor:
        """Of the mixture, (n, k)."""
        return (self.weights * self.means).sum(1)

    @property
    def sd(self) -> Tensor:
        """Of the mixture, (n, k)."""
        spread = self.scales.square() + (self.means - self.mean.unsqueeze(1)).square()
        return (self.weights * spread).sum(1).sqrt()

    def cdf(self, y: Tensor) -> Tensor:
        """Probability that each target is at most y, (n, k)."""
        return (self.weights * torch.special.ndtr((y.unsqueeze(1) - self.means) / self.scales)).sum(1)

    def quantile(self, probability: float) -> Tensor:
        """Of each target, (n, k), found by halving."""
        far = torch.special.ndtri(torch.tensor(probability, dtype=self.means.dtype)) * self.scales
        low, high = (self.means + far).min(1).values, (self.means + far).max(1).values
        for _ in range(N_HALVINGS if self.means.shape[1] > 1 else 0):
            middle = (low + high) / 2
            below = self.cdf(middle) < probability
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2


def components_of(distribution: Distribution) -> Components:
    """The components of what a Gaussian head gives, or a head of their mixture, with batch shape (n,).

    Raises:
        TypeError: another distribution.
    """
    if isinstance(distribution, MixtureSameFamily):
        logits = distribution.mixture_distribution.logits
        means, factor = _loc_and_factor(distribution.component_distribution)
    else:
        means, factor = (part.unsqueeze(1) for part in _loc_and_factor(distribution))
        logits = means.new_zeros(means.shape[:2])
    return Components(logits.double(), means.double(), factor.double())


def _loc_and_factor(parts: Distribution) -> tuple[Tensor, Tensor]:
    if isinstance(parts, MultivariateNormal):
        return parts.loc, parts.scale_tril
    if isinstance(parts, Independent) and isinstance(parts.base_dist, Normal):
        return parts.base_dist.loc, parts.base_dist.scale
    raise TypeError(f"Expected Gaussians, or a mixture of them, got {type(parts).__name__}.")


def _first(parts: Distribution) -> Distribution:
    """The only component, (n,) of (n, 1)."""
    if isinstance(parts, Normal):
        return Normal(parts.loc[:, 0], parts.scale[:, 0], validate_args=False)
    if isinstance(parts, MultivariateNormal):
        return MultivariateNormal(parts.loc[:, 0], scale_tril=parts.scale_tril[:, 0], validate_args=False)
    loc, scale = _loc_and_factor(parts)
    return Independent(Normal(loc[:, 0], scale[:, 0], validate_args=False), 1, validate_args=False)

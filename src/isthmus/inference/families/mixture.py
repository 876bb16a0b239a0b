"""Mixtures of Gaussians as posteriors of several modes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from ..draws import standard_draws
from .base import Family

__all__ = ["GaussianMixtureFamily"]


class GaussianMixtureFamily(Family):
    r"""A mixture of normal distributions, :math:`q(x) = \sum_c \pi_c N(x; m_c, \Sigma_c)`.

    For posteriors of several modes, or bent ones. Expectations are stratified, :math:`\sum_c \pi_c E_{q_c}[f]` with
    draws from every component, which is differentiable in all parameters without relaxing the choice of a component:
    see `stratified`. The entropy has no closed form; log q does.

    Args:
        dim: dimension of the vector.
        n_components: of the mixture.
        location, scale: about where it starts, (dim,) each or one number. Components start apart, at draws from this
            normal distribution, as alike ones would stay so.
        covariance: "diagonal" or "full" of each component.
        seed: of the starting locations.
        dtype: of the parameters.

    Raises:
        ValueError: fewer than one component, or another covariance.

    References:
        Morningstar et al. (2021). Automatic differentiation variational inference with mixtures. AISTATS.

    Example:
        >>> family = GaussianMixtureFamily(2, n_components=3)
        >>> draws, weights = family.stratified(family(), 12)
        >>> draws.shape, weights.sum().item()
        (torch.Size([12, 2]), 1.0)
    """

    name = "mixture"

    def __init__(
        self,
        dim: int,
        n_components: int = 4,
        location: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        *,
        covariance: str = "diagonal",
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__(dim)
        if n_components < 1:
            raise ValueError(f"Expected n_components >= 1, got {n_components}.")
        if covariance not in ("diagonal", "full"):
            raise ValueError(f"Expected covariance 'diagonal' or 'full', got {covariance!r}.")
        scale = torch.as_tensor(scale, dtype=dtype).expand(dim).clone()
        generator = torch.Generator().manual_seed(seed)
        apart = torch.randn(n_components, dim, generator=generator, dtype=torch.float64).to(dtype).to(scale.device)
        self.locations = nn.Parameter(torch.as_tensor(location, dtype=dtype) + scale * apart)
        self.log_scales = nn.Parameter(scale.log().repeat(n_components, 1))
        self.logits = nn.Parameter(scale.new_zeros(n_components))
        # Of the Cholesky factor, in units of the scale of each row.
        self.lower = nn.Parameter(scale.new_zeros(n_components, dim, dim)) if covariance == "full" else None

    def components(self) -> Distribution:
        """The components, of batch shape (n_components,)."""
        scales = self.log_scales.exp()
        if self.lower is None:
            return Independent(Normal(self.locations, scales, validate_args=False), 1, validate_args=False)
        return MultivariateNormal(self.locations, scale_tril=self._factors(), validate_args=False)

    def _factors(self) -> Tensor:
        """Cholesky factors of "full" covariances, (n_components, dim, dim)."""
        scales = self.log_scales.exp()
        return scales.unsqueeze(-1) * self.lower.tril(-1) + torch.diag_embed(scales)  # type: ignore[union-attr]

    def forward(self) -> Distribution:
        """The distribution at the present parameters; its `rsample` is not differentiable, `stratified` is."""
        weights = Categorical(logits=self.logits, validate_args=False)
        return MixtureSameFamily(weights, self.components(), validate_args=False)

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws (n, dim) in random order, of each component its share to within one, and whitened."""
        like = self.locations
        edges = (n * self.logits.double().softmax(0).cumsum(0)).cpu() + torch.rand((), generator=generator).item()
        edges[-1] = n + 0.5  # whatever rounding left of the sum of weights
        chosen = torch.searchsorted(edges, torch.arange(1, n + 1, dtype=torch.float64), right=False)
        chosen = chosen[torch.randperm(n, generator=generator)]
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        for k in range(len(self.logits)):
            if (count := int((chosen == k).sum())) > self.dim + 1:
                noise[chosen == k] = standard_draws(count, self.dim, generator, antithetic=False)
        chosen, noise = chosen.to(like.device), noise.to(like)
        if self.lower is None:
            return self.locations[chosen] + self.log_scales.exp()[chosen] * noise
        return self.locations[chosen] + (self._factors()[chosen] @ noise.unsqueeze(-1)).squeeze(-1)

    def stratified(self, q: Distribution, n: int) -> tuple[Tensor, Tensor]:
        """As many draws from each component, n in all rounded up, and what each counts; both differentiable.

        Args:
            q: this family's distribution.
            n: draws.

        Returns:
            Draws (S, dim) and weights (S,), which add up to 1.
        """
        each = -(-n // len(self.logits))
        draws = q.component_distribution.rsample((each,))  # type: ignore[attr-defined]
        weights = (self.logits.softmax(0) / each).expand(each, -1)
        return draws.reshape(-1, self.dim), weights.reshape(-1)

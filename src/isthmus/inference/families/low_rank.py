"""Low-rank Gaussians: a few directions of correlation beside independent coordinates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, LowRankMultivariateNormal

from .base import LinearFamily

__all__ = ["LowRank"]


class LowRank(LinearFamily):
    r"""A normal distribution with covariance :math:`U U^T + \mathrm{diag}\,s^2`, U of a few columns.

    (2 + rank) dim numbers: for vectors too long for a full covariance (some hundreds and more) whose coordinates vary
    together along a few directions. For short ones use the full-rank family.

    Args:
        dim: dimension of the vector.
        rank: columns of U.
        location, scale: where it starts, (dim,) each or one number; standard normal unless said. U starts small, at a
            hundredth of the scale, as from 0 it could not be moved.
        dtype: of the parameters.

    Raises:
        ValueError: a rank below 1 or above dim.

    References:
        Ong, Nott, Smith (2018). Gaussian variational approximation with a factor covariance structure. JCGS 27.

    Example:
        >>> q = LowRank(100, rank=3)
        >>> q.n_parameters, q().covariance_matrix.shape
        (500, torch.Size([100, 100]))
    """

    name = "low-rank"

    def __init__(
        self,
        dim: int,
        rank: int = 5,
        location: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        *,
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__(dim)
        if not 1 <= rank <= dim:
            raise ValueError(f"Expected a rank from 1 to {dim}, the dimension, got {rank}.")
        scale = torch.as_tensor(scale, dtype=dtype).expand(dim).clone()
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(dim, rank, generator=generator, dtype=torch.float64).to(dtype).to(scale.device)
        self.location = nn.Parameter(torch.zeros_like(scale) + torch.as_tensor(location, dtype=dtype))
        self.log_scale = nn.Parameter(scale.log())
        self.factor = nn.Parameter(0.01 * scale[:, None] * noise)

    @property
    def noise_dim(self) -> int:
        """Noise of the directions and of each coordinate."""
        return self.factor.shape[1] + self.dim

    def forward(self) -> Distribution:
        """The distribution at the present parameters."""
        variances = (2 * self.log_scale).exp()
        return LowRankMultivariateNormal(self.location, self.factor, variances, validate_args=False)

    def push(self, noise: Tensor) -> Tensor:
        """Draws (S, dim) for standard normal noise (S, rank + dim)."""
        along, own = noise.split((self.factor.shape[1], self.dim), dim=-1)
        return self.location + along @ self.factor.T + self.log_scale.exp() * own

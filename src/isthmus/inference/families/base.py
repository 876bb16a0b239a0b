"""What a family of approximating distributions is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ..seeding import seeded

__all__ = ["Family", "LinearFamily"]


class Family(nn.Module):
    """Distributions over a vector that share a form; the parameters are the module's.

    `forward()` is the distribution at the present parameters, of event shape (dim,), with `rsample` and `log_prob`.

    Args:
        dim: dimension of the vector.
    """

    name = "family"

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self) -> Distribution:
        """The distribution at the present parameters."""
        raise NotImplementedError

    @property
    def n_parameters(self) -> int:
        """How many numbers are fitted."""
        return sum(parameter.numel() for parameter in self.parameters())

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws (n, dim) as a function of the generator; torch's own random numbers are left as they were."""
        with seeded(generator):
            return self().sample((n,))


class LinearFamily(Family):
    """A family whose draws are a linear map of standard normal noise: x = location + A noise.

    `push(noise)` maps (S, `noise_dim`) to draws (S, dim), differentiable in the parameters.
    """

    @property
    def noise_dim(self) -> int:
        """Dimension of the noise; dim unless a family says otherwise."""
        return self.dim

    def push(self, noise: Tensor) -> Tensor:
        """Draws (S, dim) for noise (S, noise_dim)."""
        raise NotImplementedError

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws (n, dim) as a function of the generator."""
        like = next(self.parameters())
        noise = torch.randn(n, self.noise_dim, generator=generator, dtype=like.dtype, device=generator.device)
        return self.push(noise.to(like.device))

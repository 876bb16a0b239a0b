"""The mean-field family: a normal distribution with independent coordinates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from .base import LinearFamily

__all__ = ["MeanField"]


class MeanField(LinearFamily):
    r"""Independent normal coordinates, :math:`q(x) = \prod_i N(x_i; m_i, s_i^2)`.

    2 dim numbers, and the quickest to fit. Fitted by KL(q||p) its means are good and its variances those of each
    coordinate given all others (1/precision), too small where coordinates depend on each other.

    Args:
        dim: dimension of the vector.
        location, scale: where it starts, (dim,) each or one number; standard normal unless said.
        dtype: of the parameters.

    Example:
        >>> MeanField(3)().event_shape
        torch.Size([3])
    """

    name = "mean-field"

    def __init__(
        self,
        dim: int,
        location: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        *,
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__(dim)
        scale = torch.as_tensor(scale, dtype=dtype)
        location = torch.as_tensor(location, dtype=dtype, device=scale.device)
        self.location = nn.Parameter(scale.new_zeros(dim) + location)
        self.log_scale = nn.Parameter(scale.new_zeros(dim) + scale.log())

    @property
    def scale(self) -> Tensor:
        """Standard deviations (dim,)."""
        return self.log_scale.exp()

    def forward(self) -> Distribution:
        """The distribution at the present parameters."""
        return Independent(Normal(self.location, self.scale, validate_args=False), 1, validate_args=False)

    def push(self, noise: Tensor) -> Tensor:
        """Draws (S, dim) for standard normal noise (S, dim)."""
        return self.location + self.scale * noise

"""The full-rank family: a normal distribution with any covariance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from .base import LinearFamily

__all__ = ["FullRank"]


class FullRank(LinearFamily):
    r"""A normal distribution of any covariance, :math:`q(x) = N(x; m, L L^\top)` with L lower triangular.

    dim + dim (dim + 1) / 2 numbers: for up to some hundred dimensions, where coordinates depend on each other.

    Args:
        dim: dimension of the vector.
        location: where it starts, (dim,) or one number.
        factor: Cholesky factor (dim, dim) with a positive diagonal, or one number for a multiple of the identity.
        dtype: of the parameters.

    Raises:
        ValueError: the factor's diagonal is not positive.

    Example:
        >>> FullRank(2, factor=torch.tensor([[2.0, 0.0], [1.0, 1.0]]))().covariance_matrix.tolist()
        [[4.0, 2.0], [2.0, 2.0]]
    """

    name = "full-rank"

    def __init__(
        self,
        dim: int,
        location: Tensor | float = 0.0,
        factor: Tensor | float = 1.0,
        *,
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__(dim)
        factor = torch.as_tensor(factor, dtype=dtype)
        factor = factor * torch.eye(dim, dtype=dtype, device=factor.device) if factor.ndim == 0 else factor.tril()
        if factor.shape != (dim, dim) or not bool((factor.diagonal() > 0).all()):
            raise ValueError(f"Expected a Cholesky factor ({dim}, {dim}) with a positive diagonal, got {factor}")
        location = torch.as_tensor(location, dtype=dtype, device=factor.device)
        self.location = nn.Parameter(factor.new_zeros(dim) + location)
        self.log_diagonal = nn.Parameter(factor.diagonal().log())
        self.below = nn.Parameter(factor.tril(-1))

    @property
    def factor(self) -> Tensor:
        """Cholesky factor of the covariance, (dim, dim)."""
        return self.below.tril(-1) + self.log_diagonal.exp().diag_embed()

    @property
    def n_parameters(self) -> int:
        """How many numbers are fitted."""
        return self.dim + self.dim * (self.dim + 1) // 2

    def forward(self) -> Distribution:
        """The distribution at the present parameters."""
        return MultivariateNormal(self.location, scale_tril=self.factor, validate_args=False)

    def push(self, noise: Tensor) -> Tensor:
        """Draws (S, dim) for standard normal noise (S, dim)."""
        return self.location + noise @ self.factor.mT

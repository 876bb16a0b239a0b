"""Multivariate Student's t: a normal distribution with heavier tails, for weights that stay bounded."""

from __future__ import annotations

from math import lgamma, log, pi

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from ..draws import standard_draws
from .base import Family

__all__ = ["MultivariateStudentT", "Student"]


class MultivariateStudentT(Distribution):
    r"""Student's t of a vector, :math:`x = m + L z \sqrt{\nu / u}`, z standard normal and u chi-squared.

    Args:
        df: degrees of freedom, above 2 for a covariance of :math:`L L^\top \nu / (\nu - 2)`.
        loc: (dim,).
        scale_tril: L, (dim, dim).

    Example:
        >>> found = MultivariateStudentT(3.0, torch.zeros(1), torch.eye(1)).log_prob(torch.tensor([[2.0]]))
        >>> torch.allclose(found, torch.distributions.StudentT(3.0).log_prob(torch.tensor(2.0)))
        True
    """

    arg_constraints = {}  # noqa: RUF012  as torch's own
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, df: float, loc: Tensor, scale_tril: Tensor):
        self.df, self.loc, self.scale_tril = float(df), loc, scale_tril
        super().__init__(event_shape=loc.shape, validate_args=False)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Draws, differentiable in location and scale."""
        shape = torch.Size(sample_shape)
        noise = torch.randn(shape + self.loc.shape, dtype=self.loc.dtype, device=self.loc.device)
        half = torch.full(shape, self.df / 2, dtype=self.loc.dtype, device=self.loc.device)
        stretch = (half / torch._standard_gamma(half)).sqrt()
        return self.loc + stretch[..., None] * (noise @ self.scale_tril.mT)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        dim, df = len(self.loc), self.df
        centred = (value - self.loc).reshape(-1, dim)
        squares = torch.linalg.solve_triangular(self.scale_tril, centred.mT, upper=False).square().sum(0)
        constant = lgamma((df + dim) / 2) - lgamma(df / 2) - 0.5 * dim * log(df * pi)
        volume = self.scale_tril.diagonal().abs().log().sum()
        return constant - volume - 0.5 * (df + dim) * torch.log1p(squares / df).reshape(value.shape[:-1])


class Student(Family):
    r"""Student's t around a location, for posteriors like a normal one but for their tails.

    As a proposal of importance sampling it bounds weights where a normal distribution does not, at the price of a part
    of the draws that grows with the dimension: for some tens of dimensions.

    Args:
        dim: dimension of the vector.
        location: (dim,) or one number.
        factor: L, (dim, dim) with a positive diagonal.
        df: degrees of freedom.
        dtype: of the parameters.
    """

    name = "student"

    def __init__(
        self, dim: int, location: Tensor | float, factor: Tensor, *, df: float = 4.0, dtype: torch.dtype = torch.float64
    ):
        super().__init__(dim)
        factor = factor.to(dtype)
        self.df = df
        self.location = nn.Parameter(factor.new_zeros(dim) + torch.as_tensor(location, dtype=dtype))
        self.log_diagonal = nn.Parameter(factor.diagonal().log())
        self.below = nn.Parameter(factor.tril(-1))

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws (n, dim): whitened normal noise, stretched by lengths of which each quantile has its share."""
        from scipy.special import chdtri

        device = generator.device
        noise = standard_draws(n, self.dim, generator, antithetic=False)
        places = torch.randperm(n, generator=generator, device=device).double()
        levels = (places + torch.rand(n, generator=generator, dtype=torch.float64, device=device)) / n
        squares = torch.from_numpy(chdtri(self.df, levels.clamp(1e-12, 1 - 1e-12).cpu().numpy()))
        stretch = (self.df / squares).sqrt()[:, None].to(noise)
        q = self()
        return q.loc + (stretch * noise).to(q.loc) @ q.scale_tril.mT

    def forward(self) -> MultivariateStudentT:
        """The distribution at the present parameters."""
        factor = self.below.tril(-1) + self.log_diagonal.exp().diag_embed()
        return MultivariateStudentT(self.df, self.location, factor)

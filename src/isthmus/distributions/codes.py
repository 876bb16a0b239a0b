"""Distributions of codes: points, samples as functions of noise, and exact KLs between Gaussians."""

from __future__ import annotations

import math
from functools import singledispatch

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, register_kl
from torch.distributions.kl import kl_divergence

__all__ = [
    "FixedScaleNormal",
    "Point",
    "at_least_float32",
    "kl_per_dimension",
    "normal",
    "reparameterise",
]


def normal(loc: Tensor, scale: Tensor) -> Independent:
    """Diagonal Gaussian over the last dimension; validation belongs to the borders, not the step."""
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class FixedScaleNormal(Independent):
    """Diagonal Gaussian over the last dimension whose scale is a number: its log-density takes half the operations."""

    def __init__(self, loc: Tensor, scale: float) -> None:
        super().__init__(Normal(loc, loc.new_full((), scale), validate_args=False), 1, validate_args=False)
        self.fixed_scale = scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the last dimension."""
        loc = self.base_dist.loc
        constant = loc.shape[-1] * (math.log(self.fixed_scale) + 0.5 * math.log(2 * math.pi))
        return (value - loc).square().sum(-1) * (-0.5 / self.fixed_scale**2) - constant


def at_least_float32(tensor: Tensor) -> Tensor:
    """Raise half precision to float32, as densities need it; leave float32 and float64 alone."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


class Point(Distribution):
    """A deterministic code: all its mass on one point, of shape (B, D). It has samples, but no density."""

    arg_constraints: dict = {}
    has_rsample = True

    def __init__(self, code: Tensor) -> None:
        self.code = code
        super().__init__(code.shape[:-1], code.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The code itself."""
        return self.code

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """The code, once per sample."""
        return self.code.expand(*sample_shape, *self.code.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Always a TypeError: a point has no density."""
        raise TypeError(
            "Expected a code with a density, got a deterministic one (Point), whose KL to any prior is infinite; "
            "use Reconstruction(), or a Gaussian head for the encoder."
        )


@singledispatch
def reparameterise(q: Distribution, noise: Tensor) -> Tensor:
    r"""The sample of q as a function of standard-normal noise, :math:`z = \mu + L \epsilon`.

    Use it where a sample must be a pure function of noise drawn elsewhere: scores keyed by a row's content, paired
    comparisons, quadrature points. Compiled steps call `rsample`.

    Args:
        q: diagonal or full Gaussian, or a `Point`, of event shape (D,).
        noise: standard-normal, (K, B, D).

    Returns:
        Samples with gradient to the parameters of q, (K, B, D).

    Raises:
        TypeError: another distribution.

    Example:
        >>> reparameterise(normal(torch.ones(1, 2), torch.full((1, 2), 2.0)), torch.ones(3, 1, 2))[0]
        tensor([[3., 3.]])
    """
    raise TypeError(
        f"Expected a Gaussian or a Point, whose samples are a function of Gaussian noise, got {type(q).__name__}; "
        "use q.rsample."
    )


@reparameterise.register
def _(q: Normal, noise: Tensor) -> Tensor:
    return q.loc + q.scale * noise


@reparameterise.register
def _(q: MultivariateNormal, noise: Tensor) -> Tensor:
    return q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)


@reparameterise.register
def _(q: Point, noise: Tensor) -> Tensor:
    return q.code.expand_as(noise)


@reparameterise.register
def _(q: Independent, noise: Tensor) -> Tensor:
    return reparameterise(q.base_dist, noise)


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor:
    r"""Exact KL of each dimension, :math:`KL(q_j \| p_j)`, for two diagonal Gaussians.

    Args:
        q: diagonal Gaussian of event shape (D,).
        p: diagonal Gaussian of event shape (D,).

    Returns:
        Nats, (..., D); their sum over D is `kl_divergence(q, p)`.

    Raises:
        TypeError: not both are diagonal Gaussians, whose KL alone is a sum over dimensions.

    Example:
        >>> zero, one = torch.zeros(1, 2), torch.ones(1, 2)
        >>> kl_per_dimension(normal(torch.tensor([[2.0, 0.0]]), one), normal(zero, one))
        tensor([[2., 0.]])
    """
    if not (_is_diagonal(q) and _is_diagonal(p)):
        raise TypeError(
            f"Expected two diagonal Gaussians, got {_describe(q)} and {_describe(p)}, whose KL is no sum over "
            "dimensions; use a diagonal Gaussian for both."
        )
    return kl_divergence(q.base_dist, p.base_dist)  # type: ignore[attr-defined]


def _is_diagonal(q: Distribution) -> bool:
    return isinstance(q, Independent) and isinstance(q.base_dist, Normal) and q.reinterpreted_batch_ndims == 1


def _describe(q: Distribution) -> str:
    return f"{type(q).__name__}({_describe(q.base_dist)})" if isinstance(q, Independent) else type(q).__name__


@register_kl(MultivariateNormal, Independent)
def _kl_full_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    if not _is_diagonal(p):
        raise NotImplementedError(f"No KL from {_describe(q)} to {_describe(p)}.")
    loc, scale = p.base_dist.loc, p.base_dist.scale
    squares = q.scale_tril.square().sum(-1) + (q.loc - loc).square()  # E[(z - loc)^2]
    log_ratio = scale.log() - q.scale_tril.diagonal(dim1=-2, dim2=-1).log()
    return (0.5 * squares / scale.square() + log_ratio - 0.5).sum(-1)


@register_kl(Independent, MultivariateNormal)
def _kl_diagonal_full(q: Independent, p: MultivariateNormal) -> Tensor:
    if not _is_diagonal(q):
        raise NotImplementedError(f"No KL from {_describe(q)} to {_describe(p)}.")
    scale_tril = torch.diag_embed(q.base_dist.scale)
    return kl_divergence(MultivariateNormal(q.base_dist.loc, scale_tril=scale_tril, validate_args=False), p)

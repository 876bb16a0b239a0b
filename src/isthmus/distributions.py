"""What torch.distributions lacks: deterministic codes, discretised likelihoods, and exact KLs between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

__all__ = ["Point", "at_least_float32", "normal"]


def normal(loc: Tensor, scale: Tensor) -> Distribution:
    """Diagonal Gaussian over the last dimension; validation belongs to the borders, not the step."""
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


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

"""Standard normal noise whose moments are exact, so that few draws say what many would."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["standard_draws"]


def standard_draws(
    n: int,
    dim: int,
    generator: torch.Generator,
    *,
    antithetic: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    r"""Standard normal draws of mean zero and, where there are enough of them, of covariance I to rounding.

    An average of a quadratic over such draws is its expectation: a normal distribution is fitted to a normal density
    without error. Draws are whitened, :math:`Z^\top Z / n = I`; of fewer draws than dimensions, directions are
    orthogonal and each coordinate has variance one.

    Args:
        n: draws, even if antithetic.
        dim: dimension of a draw.
        generator: where they come from.
        antithetic: for each draw z, -z is one, too: averages of odd functions vanish.
        dtype: of the draws; the moments are computed in float64.

    Returns:
        The draws (n, dim), on the generator's device.

    Raises:
        ValueError: fewer than two draws, or an odd number of antithetic ones.

    Example:
        >>> noise = standard_draws(32, 2, torch.Generator().manual_seed(0))
        >>> torch.allclose(noise.mT @ noise / 32, torch.eye(2, dtype=torch.float64))
        True
    """
    if n < 2 or (antithetic and n % 2):
        raise ValueError(f"Expected {'an even number of' if antithetic else 'two or more'} draws, got {n}")
    count = n // 2 if antithetic else n
    noise = torch.randn(count, dim, generator=generator, dtype=torch.float64, device=generator.device)
    if not antithetic:
        noise = noise - noise.mean(0)
    if count - (not antithetic) >= dim:
        values, vectors = torch.linalg.eigh(noise.mT @ noise / count)
        noise = noise @ (vectors * values.rsqrt()) @ vectors.mT
    else:
        if antithetic:
            noise = torch.linalg.qr(noise.mT).Q.mT
        noise = noise / noise.square().mean(0).sqrt()
    return (torch.cat([noise, -noise]) if antithetic else noise).to(dtype)

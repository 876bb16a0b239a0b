"""Laplace's approximation: a normal distribution with the curvature of the density at its mode."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .density import LogDensity
from .families import FullRank
from .optimise import Optimum, newton

__all__ = ["fit_laplace"]

Vector = NDArray[np.float64]


def fit_laplace(log_density: LogDensity, start: Vector) -> tuple[FullRank, Optimum]:
    r"""A normal distribution at the mode, :math:`N(\hat x, (-\nabla^2 \log p(\hat x))^{-1})`.

    Good where much is known of every parameter. Of one evaluation a step it is the cheapest fit, and the worst where
    the mode is not where the mass is: k-hat tells.

    Args:
        log_density: the target; its mode is found by Newton's method.
        start: where to begin, (dim,).

    Returns:
        the family, and the optimum.

    Raises:
        ValueError: no mode is found where the Hessian is negative definite, and so there is no such approximation.
    """
    dim = log_density.dim

    def second_order(x: Vector):
        point = torch.from_numpy(x).to(log_density.device, log_density.dtype)[None]
        values, gradient, product = log_density.curvature(point)

        def derivatives() -> tuple[Vector, Vector]:
            hessian = product(torch.eye(dim, dtype=point.dtype, device=point.device)[:, None])[:, 0]
            return -gradient[0].double().cpu().numpy(), -(0.5 * (hessian + hessian.mT)).double().cpu().numpy()

        return -float(values[0]) if bool(gradient.isfinite().all()) else np.inf, derivatives

    def longest(x: Vector, step: Vector) -> float:
        return 1 / max(1.0, float((np.abs(step) / (100 * (1 + np.abs(x)))).max()))

    optimum = newton(second_order, start, longest=longest, max_iter=100)
    if not optimum.converged or optimum.hessian is None:
        raise ValueError(
            f"Expected a density with a mode, got none after {optimum.n_steps} steps from the start; "
            "use family='auto', which needs none"
        )
    covariance = torch.from_numpy(np.linalg.inv(optimum.hessian))
    factor = torch.linalg.cholesky(0.5 * (covariance + covariance.mT))
    family = FullRank(dim, torch.from_numpy(optimum.theta).to(log_density.device, log_density.dtype),
                      factor.to(log_density.device, log_density.dtype), dtype=log_density.dtype)  # fmt: skip
    return family, optimum

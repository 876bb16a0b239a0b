"""Linear response: covariances that a mean-field fit implies, but does not have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["linear_response", "linear_response_of"]

Vector = NDArray[np.float64]


def linear_response(hessian: Vector) -> Tensor | None:
    r"""Posterior covariance from the Hessian of minus the bound in (m, log s) at its minimum.

    .. math:: \mathrm{Cov} = \frac{dm}{dt} \Big|_{t = 0} = (H^{-1})_{mm}

    where t tilts the target by exp(t'x): how far the fitted means move is what a covariance is. Exact for a normal
    target, though each variance of the fit itself is that of a coordinate given all others.

    Args:
        hessian: (2 dim, 2 dim), positive definite.

    Returns:
        the covariance (dim, dim), float64; None where it is not positive definite to rounding.

    References:
        Giordano, Broderick, Jordan (2015). Linear response methods for accurate covariance estimates from mean field
            variational Bayes. NeurIPS.
        Giordano, Ingram, Broderick (2024). Black box variational inference with a deterministic objective: faster,
            more accurate, and even more black box. JMLR 25(18).

    Example:
        >>> precision = np.array([[2.0, 1.2], [1.2, 1.5]])
        >>> covariance = linear_response(np.block([[precision, np.zeros((2, 2))], [np.zeros((2, 2)), 2 * np.eye(2)]]))
        >>> torch.allclose(covariance, torch.from_numpy(np.linalg.inv(precision)))
        True
    """
    dim = len(hessian) // 2
    scale = 1 / np.sqrt(np.maximum(hessian.diagonal(), 1e-300))
    try:
        factor = np.linalg.cholesky(hessian * scale * scale[:, None])
    except np.linalg.LinAlgError:
        return None
    half = np.linalg.solve(factor, np.diag(scale)[:, :dim])
    covariance = half.T @ half
    return torch.from_numpy(0.5 * (covariance + covariance.T)) if np.isfinite(covariance).all() else None


def linear_response_of(
    product: Callable[[Vector], Vector], directions: Vector, scale: Vector, *, tolerance: float = 1e-6
) -> Tensor:
    r"""Covariances :math:`c' \mathrm{Cov}\, C` of chosen directions, by conjugate gradients: for many dimensions.

    Args:
        product: the Hessian, (2 dim, 2 dim), as a function of a vector.
        directions: C, (K, dim); rows of the identity for single coordinates.
        scale: the fit's standard deviations (dim,), the preconditioner.
        tolerance: relative residual.

    Returns:
        covariance of the K directions (K, K).

    Raises:
        ValueError: the Hessian is not positive definite: this is no minimum.
    """
    dim = directions.shape[1]
    variances = np.concatenate([scale**2, np.full(dim, 0.5)])
    columns = [_conjugate_gradients(product, np.append(row, np.zeros(dim)), variances, tolerance) for row in directions]
    covariance = directions @ np.stack([column[:dim] for column in columns], 1)
    return torch.from_numpy(0.5 * (covariance + covariance.T))


def _conjugate_gradients(
    product: Callable[[Vector], Vector], right: Vector, preconditioner: Vector, tolerance: float
) -> Vector:
    """Solves H x = right."""
    solution, residual = np.zeros_like(right), right.copy()
    scaled = preconditioner * residual
    direction, size = scaled, residual @ scaled
    goal = tolerance**2 * size
    for _ in range(2 * len(right)):
        if size <= goal:
            return solution
        image = product(direction)
        curvature = direction @ image
        if curvature <= 0:
            raise ValueError("Expected a positive definite Hessian, got one that is not; has the fit converged?")
        solution = solution + (size / curvature) * direction
        residual = residual - (size / curvature) * image
        scaled = preconditioner * residual
        before, size = size, residual @ scaled
        direction = scaled + (size / before) * direction
    return solution

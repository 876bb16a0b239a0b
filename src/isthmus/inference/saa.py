"""Sample-average approximation: the bound on fixed draws of noise, a function that a real optimiser can climb."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .density import LogDensity

__all__ = ["FullRankObjective", "MeanFieldObjective"]

Vector = NDArray[np.float64]
COLUMNS = 16  # of a Hessian, computed at once


class MeanFieldObjective:
    r"""Minus the bound of independent normals, averaged over fixed noise; a function of (m, log s).

    .. math:: -\frac{1}{M} \sum_j \log p(m + s z_j) - \sum_i \log s_i - \frac{d}{2} \log 2 \pi e

    Args:
        log_density: the target.
        noise: fixed standard normal draws (M, dim), as of `standard_draws`.
    """

    def __init__(self, log_density: LogDensity, noise: Tensor):
        self.log_density, self.noise, self.dim = log_density, noise, log_density.dim
        self.constant = -0.5 * self.dim * (1 + log(2 * pi))

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """The same, with its gradient (2 dim,)."""
        points, pushed = self._points(theta)
        values, gradient = self.log_density.value_and_gradient(points)
        return self._value(values, theta), self._gradient(gradient, pushed)

    def second_order(self, theta: Vector) -> tuple[float, Callable[[], tuple[Vector, Vector]]]:
        """The value, and a function that goes on to the gradient and the Hessian (2 dim, 2 dim)."""
        points, pushed = self._points(theta)
        values, gradient, product = self.log_density.curvature(points)
        n, dim = points.shape

        def derivatives() -> tuple[Vector, Vector]:
            blocks = points.new_zeros(3, dim, dim, dtype=torch.float64)
            for start in range(0, dim, COLUMNS):
                stop = min(start + COLUMNS, dim)
                one_hot = torch.eye(dim, dtype=points.dtype, device=points.device)[start:stop, None]
                columns = product(one_hot.expand(-1, n, -1)).double()  # of each draw's Hessian: (K, M, dim)
                also = columns * pushed.T[start:stop, :, None]
                blocks[0, :, start:stop] = -columns.mean(1).T
                blocks[1, :, start:stop] = -also.mean(1).T
                blocks[2, :, start:stop] = -(also * pushed).mean(1).T
            mean, cross, scale = blocks.cpu().numpy()
            scale[np.diag_indices(dim)] -= _array((gradient * pushed).mean(0))
            hessian = np.block([[mean, cross], [cross.T, scale]])
            if not np.isfinite(hessian).all():
                hessian = self._by_differences(theta)
            return self._gradient(gradient, pushed), 0.5 * (hessian + hessian.T)

        finite = bool(gradient.isfinite().all())
        return self._value(values, theta) if finite else np.inf, derivatives

    def _by_differences(self, theta: Vector) -> Vector:
        """The Hessian from gradients: torch's second derivatives may be NaN where values and gradients are finite.

        `logaddexp` has such ones, of numbers that are more than 709 apart.
        """
        step = 1e-4  # of a scale, and of a log scale: central differences are right to about a millionth
        size = np.concatenate([np.exp(theta[self.dim :]), np.ones(self.dim)]) * step
        rows = [
            (self.value_and_gradient(theta + shift)[1] - self.value_and_gradient(theta - shift)[1]) / (2 * by)
            for shift, by in zip(np.diag(size), size, strict=True)
        ]
        return np.stack(rows)

    def product(self, theta: Vector) -> Callable[[Vector], Vector]:
        """The Hessian at theta as a function of a vector (2 dim,)."""
        points, pushed = self._points(theta)
        _, gradient, product = self.log_density.curvature(points)
        along = _array((gradient * pushed).mean(0))

        def times(vector: Vector) -> Vector:
            first, second = self._tensors(vector)
            result = product((first + pushed * second)[None])[0]
            scale = -_array((result * pushed).mean(0)) - along * vector[self.dim :]
            return np.concatenate([-_array(result.mean(0)), scale])

        return times

    def _tensors(self, theta: Vector) -> tuple[Tensor, Tensor]:
        both = torch.from_numpy(theta).to(self.noise)
        return both[: self.dim], both[self.dim :]

    def _points(self, theta: Vector) -> tuple[Tensor, Tensor]:
        location, log_scale = self._tensors(theta)
        pushed = log_scale.exp() * self.noise
        return location + pushed, pushed

    def _value(self, values: Tensor, theta: Vector) -> float:
        return float(-values.double().mean()) - float(theta[self.dim :].sum()) + self.constant

    def _gradient(self, gradient: Tensor, pushed: Tensor) -> Vector:
        return -np.concatenate([_array(gradient.mean(0)), _array((gradient * pushed).mean(0)) + 1])


class FullRankObjective:
    r"""Minus the bound of a normal with any covariance, averaged over fixed noise, around a first guess.

    Draws are :math:`x = m_0 + C (u + T z)`, with C the guess's Cholesky factor and T lower triangular with the
    exponentials of parameters on its diagonal: where the guess is good, all parameters are near zero and of one scale.

    Args:
        log_density: the target.
        noise: fixed standard normal draws (M, dim), M >= 2 dim: of fewer, the objective has no minimum.
        location, factor: the guess, (dim,) and (dim, dim).
    """

    def __init__(self, log_density: LogDensity, noise: Tensor, location: Tensor, factor: Tensor):
        if len(noise) < 2 * log_density.dim:
            raise ValueError(f"Expected {2 * log_density.dim} draws or more for full rank, got {len(noise)}")
        self.log_density, self.noise, self.dim = log_density, noise, log_density.dim
        self.location, self.factor = location, factor
        self.rows, self.columns = torch.tril_indices(self.dim, self.dim)
        self.diagonal = self.rows == self.columns
        volume = float(factor.diagonal().abs().double().log().sum())
        self.constant = -0.5 * self.dim * (1 + log(2 * pi)) - volume

    def start(self) -> Vector:
        """The guess's own parameters."""
        return np.zeros(self.dim + len(self.rows))

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Minus the bound in nats, and its gradient (dim + dim (dim + 1) / 2,)."""
        shift, triangle = self._tensors(theta)
        points = self.location + (shift + self.noise @ triangle.T) @ self.factor.T
        values, gradient = self.log_density.value_and_gradient(points)
        inside = gradient @ self.factor
        by_triangle = (inside.T @ self.noise / len(points))[self.rows, self.columns]
        on = self.diagonal.to(triangle.device)
        by_triangle = torch.where(on, by_triangle * triangle[self.rows, self.columns] + 1, by_triangle)
        log_volume = float(torch.from_numpy(theta[self.dim :])[self.diagonal].sum())
        value = float(-values.double().mean()) - log_volume + self.constant
        return value, -np.concatenate([_array(inside.mean(0)), _array(by_triangle)])

    def solution(self, theta: Vector) -> tuple[Tensor, Tensor]:
        """Location (dim,) and Cholesky factor (dim, dim) at theta."""
        shift, triangle = self._tensors(theta)
        return self.location + self.factor @ shift, self.factor @ triangle

    def _tensors(self, theta: Vector) -> tuple[Tensor, Tensor]:
        both = torch.from_numpy(theta).to(self.noise)
        entries = both[self.dim :]
        triangle = self.noise.new_zeros(self.dim, self.dim)
        triangle[self.rows, self.columns] = torch.where(self.diagonal.to(both.device), entries.exp(), entries)
        return both[: self.dim], triangle


def _array(tensor: Tensor) -> Vector:
    return tensor.detach().double().cpu().numpy()

"""A Gaussian with a few directions of its own variance, and what a linear-Gaussian model knows of its codes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LinearGaussian"]


@dataclass(frozen=True)
class LinearGaussian:
    r"""The density of :math:`x = W^T z + \epsilon`, with z from N(0, I) and epsilon from N(0, Psi), of centred rows.

    With :math:`y = x / s` for the scale :math:`s = \sqrt{\Psi / \sigma^2}`, the covariance of y is :math:`\lambda_i`
    along orthonormal directions :math:`u_i` and :math:`\sigma^2` across all of them, so that

    .. math:: -2 \log p(x) = F \log 2\pi + \sum_j \log s_j^2 + \sum_i \left(\log \lambda_i + \frac{(u_i^T y)^2}
        {\lambda_i}\right) + (F - D) \log \sigma^2 + \frac{|y|^2 - \sum_i (u_i^T y)^2}{\sigma^2} .

    It is Woodbury's identity in coordinates where nothing cancels: the last numerator is a sum of squares, too.

    Args:
        directions: u, orthonormal rows (D, F) float64.
        variances: lambda, (D,).
        noise: sigma^2; may be 0 where D = F, or where only codes are asked for.
        scale: s, (F,).
        rotation: from coordinates along the directions to the code z, (D, D).

    References:
        Tipping, Bishop (1999). Probabilistic principal component analysis. JRSS B 61, eqs. 4 to 8.
    """

    directions: Tensor
    variances: Tensor
    noise: float
    scale: Tensor | None = None
    rotation: Tensor | None = None

    @classmethod
    def of_loadings(cls, loadings: Tensor, noise: Tensor) -> LinearGaussian:
        """The density of W, (D, F), and the variances Psi of the noise: (F,), or () where they are alike."""
        mean = noise.mean()
        scale = torch.sqrt(noise / mean) if mean > 0 else torch.ones_like(noise)
        scale = scale.expand(loadings.shape[1])
        rotation, singular, directions = torch.linalg.svd(loadings / scale, full_matrices=False)
        # In the order of rows: products with columns round by a row's place among others.
        return cls(directions.contiguous(), singular.square() + mean, float(mean), scale, rotation)

    def project(self, centred: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates along the directions, (n, D), and the squared distance from what they span, (n,)."""
        scaled = centred if self.scale is None else centred / self.scale
        along = scaled @ self.directions.T
        return along, (scaled - along @ self.directions).square().sum(dim=1)

    def log_density(self, centred: Tensor) -> Tensor:
        """log p(x) of centred rows (n, F), in nats, (n,)."""
        along, distance = self.project(centred)
        n_features = self.directions.shape[1]
        n_outside = n_features - len(self.directions)
        constant = n_features * math.log(2 * math.pi) + float(self.variances.log().sum())
        if self.scale is not None:
            constant += 2 * float(self.scale.log().sum())
        squares = (along.square() / self.variances).sum(dim=1)
        if n_outside:
            constant, squares = constant + n_outside * math.log(self.noise), squares + distance / self.noise
        return -0.5 * (constant + squares)

    @property
    def has_density(self) -> bool:
        """Whether no direction is without variance, beyond rounding."""
        n_outside = self.directions.shape[1] - len(self.directions)
        smallest = float(self.variances.min())
        smallest = min(smallest, self.noise) if n_outside else smallest
        return smallest > 4 * torch.finfo(torch.float64).eps * float(self.variances.max())

    def posterior_mean(self, centred: Tensor) -> Tensor:
        """E[z|x] of centred rows (n, F), (n, D)."""
        signal = (self.variances - self.noise).clamp_min(0).sqrt()
        # A direction in which the data do not vary says nothing of the code: 0 / 0 stands for 0.
        gain = torch.where(self.variances > 0, signal / self.variances, 0.0)[:, None] * self.directions
        # One product with all of it: of a few columns, a second one would round by a row's place among others.
        gain = gain if self.rotation is None else self.rotation @ gain
        return centred @ (gain if self.scale is None else gain / self.scale).T

    @property
    def posterior_covariance(self) -> Tensor:
        """Cov[z|x], (D, D): the same for every x."""
        left = torch.where(self.variances > 0, self.noise / self.variances, 1.0)
        if self.rotation is None:
            return torch.diag(left)
        return (self.rotation * left) @ self.rotation.T

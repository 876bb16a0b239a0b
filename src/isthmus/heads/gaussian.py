"""Gaussian codes and Gaussian likelihoods: four ways to come by a covariance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal

from ..distributions import FixedScaleNormal, at_least_float32, normal
from .base import LOG_SCALE_FLOOR, Head, Projection, bounded_log_scale

__all__ = ["FixedGaussianHead", "FullGaussianHead", "GaussianHead", "LearnedGaussianHead", "lower_triangular"]


class GaussianHead(Head):
    r"""Diagonal Gaussian with mean and scale from the features, :math:`N(\mu(h), diag(\sigma(h)^2))`.

    Use it for posteriors q(z|x), and for outputs whose noise differs from row to row.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the event.
        floor: smallest log-scale, see `bounded_log_scale`.
        project: see `Head`.

    References:
        Kingma and Welling (2014). Auto-encoding variational Bayes. ICLR, eq. 9 and appendix C.2.

    Example:
        >>> GaussianHead(4, 2)(torch.zeros(3, 4)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        floor: float = LOG_SCALE_FLOOR,
        project: Projection | None = None,
    ) -> None:
        super().__init__(n_features, n_outputs, 2, project=project)
        self.floor = floor

    def forward(self, features: Tensor) -> Independent:
        """The distribution of the outputs."""
        loc, log_scale = self.project_to_parameters(features)
        return normal(loc, bounded_log_scale(log_scale, self.floor).exp())


class FullGaussianHead(Head):
    r"""Gaussian with mean and full covariance from the features, :math:`N(\mu(h), L(h) L(h)^T)`.

    L = diag(sigma) (I + N), with N strictly lower triangular. Use it for posteriors of few dimensions that are
    correlated: it needs n_outputs (n_outputs + 3) / 2 numbers.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the event.
        floor: smallest log of L's diagonal, see `bounded_log_scale`.

    Example:
        >>> FullGaussianHead(4, 2)(torch.zeros(3, 4)).scale_tril.shape
        torch.Size([3, 2, 2])
    """

    def __init__(self, n_features: int, n_outputs: int, *, floor: float = LOG_SCALE_FLOOR) -> None:
        super().__init__(n_features, n_outputs, 2)
        self.floor = floor
        n_below = n_outputs * (n_outputs - 1) // 2
        self.below = nn.Linear(n_features, n_below) if n_below else None

    def forward(self, features: Tensor) -> MultivariateNormal:
        """The distribution of the outputs."""
        loc, log_scale = self.project_to_parameters(features)
        scale = bounded_log_scale(log_scale, self.floor).exp()
        below = scale.new_zeros(*scale.shape[:-1], 0) if self.below is None else at_least_float32(self.below(features))
        factor = lower_triangular(below, self.n_outputs)
        # Rows share their scale, so that L is as well conditioned where scales are small.
        return MultivariateNormal(loc, scale_tril=scale.unsqueeze(-1) * factor, validate_args=False)


def lower_triangular(below: Tensor, n: int) -> Tensor:
    """Matrices (..., n, n) with ones on the diagonal and the entries (..., n (n - 1) / 2) below it, row by row.

    Example:
        >>> lower_triangular(torch.tensor([2.0]), 2)
        tensor([[1., 0.],
                [2., 1.]])
    """
    rows = torch.arange(n, device=below.device).unsqueeze(1)
    columns = rows.T
    # Where each entry stands in the list of them; those that are not below the diagonal point at a zero after it.
    place = torch.where(columns < rows, rows * (rows - 1) // 2 + columns, n * (n - 1) // 2)
    padded = torch.cat((below, below.new_zeros(*below.shape[:-1], 1)), dim=-1)
    return padded[..., place] + torch.eye(n, dtype=below.dtype, device=below.device)


class FixedGaussianHead(Head):
    r"""Gaussian of fixed variance, :math:`N(\mu(h), \sigma^2 I)`: squared error over :math:`2\sigma^2`, in nats.

    Use it to train on squared error, or where the noise is known.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the event.
        scale: sigma, in the model's units.
        project: see `Head`.

    Raises:
        ValueError: a scale that is not positive and finite.

    Example:
        >>> p = FixedGaussianHead(4, 2)(torch.zeros(3, 4))
        >>> -p.log_prob(p.mean + 1)  # half the squared error, 1, and log(2 pi)
        tensor([2.8379, 2.8379, 2.8379], grad_fn=<NegBackward0>)
    """

    def __init__(
        self, n_features: int, n_outputs: int, *, scale: float = 1.0, project: Projection | None = None
    ) -> None:
        if not 0 < scale < math.inf:
            raise ValueError(f"Expected a scale > 0, got {scale}.")
        super().__init__(n_features, n_outputs, project=project)
        self.scale = scale

    def forward(self, features: Tensor) -> Independent:
        """The distribution of the outputs."""
        (loc,) = self.project_to_parameters(features)
        return FixedScaleNormal(loc, self.scale)


class LearnedGaussianHead(Head):
    r"""Gaussian with one learned scale per output, the same for every row, :math:`N(\mu(h), diag(\sigma^2))`.

    Use it as the likelihood of real-valued data: the weight of each column, and that of the rate beside the
    distortion, is learned and not set.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the event.
        floor: smallest log-scale, see `bounded_log_scale`.
        project: see `Head`.

    References:
        Rybkin, Daniilidis and Levine (2021). Simple and effective VAE training with calibrated decoders. ICML, sec. 3.

    Example:
        >>> LearnedGaussianHead(4, 2)(torch.zeros(3, 4)).stddev[0]
        tensor([1.0009, 1.0009], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        floor: float = LOG_SCALE_FLOOR,
        project: Projection | None = None,
    ) -> None:
        super().__init__(n_features, n_outputs, project=project)
        self.floor = floor
        self.log_scale = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, features: Tensor) -> Independent:
        """The distribution of the outputs."""
        (loc,) = self.project_to_parameters(features)
        return normal(loc, bounded_log_scale(at_least_float32(self.log_scale), self.floor).exp())

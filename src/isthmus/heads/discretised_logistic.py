"""Likelihood of pixels as they are stored."""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import Independent

from ..distributions import DiscretisedLogistic
from .base import Head, Projection, bounded_log_scale

__all__ = ["DiscretisedLogisticHead"]


class DiscretisedLogisticHead(Head):
    """Independent logistic outputs rounded to levels, see `isthmus.distributions.DiscretisedLogistic`.

    Use it for 8-bit pixels, as multiples of 1/255 in [0, 1]: minus its log-likelihood is a lossless code's length.
    The scale stays above 1/64 of the step between levels, where the nearest level has all the probability that
    float32 can tell from one: a constant pixel costs nothing, and no probability exceeds one.

    Args:
        n_features: width of the features.
        n_outputs: number of outputs.
        n_levels: number of levels, 256 for 8 bits.
        project: see `Head`.

    Raises:
        ValueError: fewer than two levels.

    References:
        Salimans, Karpathy, Chen and Kingma (2017). PixelCNN++. ICLR, eq. 2.

    Example:
        >>> DiscretisedLogisticHead(4, 2)(torch.zeros(3, 4)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(
        self, n_features: int, n_outputs: int, *, n_levels: int = 256, project: Projection | None = None
    ) -> None:
        if n_levels < 2:
            raise ValueError(f"Expected n_levels >= 2, got {n_levels}.")
        super().__init__(n_features, n_outputs, 2, project=project)
        self.n_levels = n_levels

    def forward(self, features: Tensor) -> Independent:
        """The distribution of the outputs."""
        loc, log_scale = self.project_to_parameters(features)
        # Training starts from mid-grey and a width of about a quarter of the range.
        log_scale = bounded_log_scale(log_scale - 2, floor=-math.log(64 * (self.n_levels - 1)))
        return Independent(DiscretisedLogistic(loc + 0.5, log_scale, self.n_levels), 1, validate_args=False)

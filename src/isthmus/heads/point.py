"""The head of a deterministic code."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..distributions import Point
from .base import Head, Projection

__all__ = ["PointHead"]


class PointHead(Head):
    r"""A deterministic code, :math:`z = a(W h + b)`.

    Use it for autoencoders that are trained on reconstruction alone; it has no density, so no ELBO.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the code.
        activation: of the code, a function or module; None is the identity. `torch.sigmoid` for a penalty that reads
            codes as activities in [0, 1].
        project: see `Head`.

    Example:
        >>> PointHead(4, 2)(torch.zeros(3, 4)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        activation: Callable[[Tensor], Tensor] | None = None,
        project: Projection | None = None,
    ) -> None:
        super().__init__(n_features, n_outputs, project=project)
        self.activation = activation

    def forward(self, features: Tensor) -> Point:
        """The code."""
        (code,) = self.project_to_parameters(features)
        return Point(code if self.activation is None else self.activation(code))

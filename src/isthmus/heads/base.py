"""What every head shares: one projection of the features, raised to a precision that densities can stand."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from ..distributions import at_least_float32

__all__ = ["LOG_SCALE_FLOOR", "Head", "Projection", "bounded_log_scale"]

Projection = Callable[[int, int], nn.Module]
"""(n_features, n_outputs) -> module from (..., n_features) to (..., n_outputs), such as `nn.Linear`."""

LOG_SCALE_FLOOR = -7.0
"""Smallest logarithm of a scale, in nats: scales stay above exp(-7), about 0.0009 of the model's unit."""

LOG_SCALE_CEILING = 20.0  # a row far from all data gets a large finite score, not infinity


def bounded_log_scale(log_scale: Tensor, floor: float = LOG_SCALE_FLOOR) -> Tensor:
    r"""Keep a log-scale above a floor, smoothly, :math:`f + \log(1 + \exp(s - f))`.

    A column without variance would else drive its density to infinity, and with it every comparison of models. Far
    above the floor nothing changes; below it the gradient shrinks, but never to zero, so that no output gets stuck.

    Args:
        log_scale: as it comes from a projection, any shape.
        floor: its smallest value.

    Returns:
        The bounded log-scale, of the same shape.

    Example:
        >>> bounded_log_scale(torch.tensor([-100.0, 0.0])).exp()
        tensor([0.0009, 1.0009])
    """
    return (floor + F.softplus(log_scale - floor)).clamp(max=LOG_SCALE_CEILING)


class Head(nn.Module):
    """Features (..., n_features) to a distribution with events (n_outputs,); to be subclassed.

    Args:
        n_features: width of the features.
        n_outputs: dimension of the event.
        n_parameters: numbers that the distribution needs for each output.
        project: makes the map from features to `n_parameters * n_outputs` numbers, parameter by parameter: the first
            n_outputs numbers are the first parameter. `nn.Linear` by default; conv decoders pass their own `project`.

    Raises:
        ValueError: widths below 1.
    """

    def __init__(
        self, n_features: int, n_outputs: int, n_parameters: int = 1, *, project: Projection | None = None
    ) -> None:
        super().__init__()
        if n_features < 1 or n_outputs < 1:
            raise ValueError(f"Expected n_features and n_outputs >= 1, got {n_features} and {n_outputs}.")
        self.n_outputs, self.n_parameters = n_outputs, n_parameters
        self.project = (project or nn.Linear)(n_features, n_parameters * n_outputs)

    def project_to_parameters(self, features: Tensor) -> tuple[Tensor, ...]:
        """Each parameter of the distribution, (..., n_outputs), in float32 or float64."""
        numbers = at_least_float32(self.project(features))
        return (numbers,) if self.n_parameters == 1 else numbers.chunk(self.n_parameters, dim=-1)

    def forward(self, features: Tensor) -> Distribution:
        """The distribution."""
        raise NotImplementedError

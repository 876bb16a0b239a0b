"""A layer's units: which activation they have, and what follows from it for penalties on their output or slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Unit", "last_activation", "unit_of"]


class Unit(NamedTuple):
    """What an activation says of a unit, as functions of its output a.

    Attributes:
        slope: derivative of the activation.
        activity: how active the unit is, 0 at rest; None where an output says nothing of the kind.
    """

    slope: Callable[[Tensor], Tensor]
    activity: Callable[[Tensor], Tensor] | None = None


def _same(a: Tensor) -> Tensor:
    return a


SIGMOID = Unit(lambda a: a * (1 - a), _same)
TANH = Unit(lambda a: 1 - a * a, lambda a: (a + 1) / 2)
RELU = Unit(lambda a: (a > 0).to(a.dtype), _same)
IDENTITY = Unit(torch.ones_like)

_UNITS: dict[Any, Unit] = {
    nn.Sigmoid: SIGMOID,
    torch.sigmoid: SIGMOID,
    F.sigmoid: SIGMOID,
    nn.Tanh: TANH,
    torch.tanh: TANH,
    F.tanh: TANH,
    nn.ReLU: RELU,
    torch.relu: RELU,
    F.relu: RELU,
    nn.Identity: IDENTITY,
    None: IDENTITY,
}


def unit_of(activation: Any) -> Unit | None:
    """The unit of an activation, a module or function; None for one whose slope can't be told from its output.

    Example:
        >>> unit_of(nn.Tanh()).slope(torch.tensor([0.0, 1.0]))
        tensor([1., 0.])
    """
    if isinstance(activation, nn.LeakyReLU):
        below = activation.negative_slope
        if below < 0:  # then its output does not say on which side it is
            return None
        return Unit(lambda a: torch.where(a > 0, a.new_ones(()), a.new_full((), below)), _same)
    return _UNITS.get(type(activation) if isinstance(activation, nn.Module) else activation)


def last_activation(net: nn.Module) -> nn.Module:
    """The module that a net's output comes out of, as far as its structure says."""
    while True:
        children = list(net.children())
        plain = isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward
        if not children or not (plain or len(children) == 1):
            return net
        net = children[-1]

"""How a code turns with its input: rows of an encoder's Jacobian, by hand where its layers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..distributions import at_least_float32
from ..heads import PointHead
from ..model import Conditional
from ..nets import MLP, Dropout, blocks_of
from .units import Unit, unit_of

__all__ = ["Dense", "dense_layers", "one_layer_norm", "pulled_back"]


class Dense(NamedTuple):
    """A layer a(W h + b): its weights and its unit."""

    weight: Tensor
    unit: Unit


def dense_layers(encoder: Conditional) -> list[Dense] | None:
    """The layers of an encoder from data to code, where it is fully connected and slopes follow from outputs.

    Args:
        encoder: of a model.

    Returns:
        The layers; None for convolutions, own networks, heads of distributions, activations such as SiLU, and
        dropout while training.
    """
    if type(encoder.net) is not MLP or type(encoder.head) is not PointHead:
        return None
    if any(isinstance(part, Dropout) and part.training for part in encoder.net):  # whose slopes are drawn
        return None
    pairs: list[Any] = [*blocks_of(encoder.net), (encoder.head.project, encoder.head.activation)]
    layers = []
    for linear, activation in pairs:
        unit = unit_of(activation)
        if unit is None or type(linear) is not nn.Linear:
            return None
        layers.append(Dense(linear.weight, unit))
    return layers


def one_layer_norm(encoder: Conditional, code: Tensor, n_features: int) -> Tensor | None:
    r"""Squared norm of the Jacobian of an encoder of one layer, :math:`\sum_j a'(z_j)^2 \|W_j\|^2`, in closed form.

    Args:
        encoder: of a model.
        code: its output z, (B, D).
        n_features: columns of W that belong to x; those of a condition come after them.

    Returns:
        (B,); None for an encoder of another kind.
    """
    layers = dense_layers(encoder)
    if layers is None or len(layers) != 1:
        return None
    rows = layers[0].weight[:, :n_features].square().sum(1)
    return (layers[0].unit.slope(code).square() * rows).sum(-1)


def pulled_back(
    encoder: Conditional,
    x: Tensor,
    condition: Tensor | None,
    outputs: Sequence[Tensor],
    directions: Tensor,
    *,
    create_graph: bool = False,
) -> Tensor:
    """Directions in the code times the encoder's Jacobian with respect to x.

    Fully connected layers are gone through backwards by hand, in plain products that automatic differentiation then
    passes once; other encoders run again and are differentiated, twice where the result is to have gradients.

    Args:
        encoder: of a model.
        x: what it saw, (B, F).
        condition: what it saw beside x, or None.
        outputs: of its hidden layers and its code, as in a trace.
        directions: (K, B, D).
        create_graph: whether the result of automatic differentiation is to have gradients.

    Returns:
        (K, B, F), float32 or float64.
    """
    layers = dense_layers(encoder)
    if layers is None:
        return _by_autograd(encoder, x, condition, directions, create_graph)
    back = directions
    for number in reversed(range(len(layers))):
        weight, unit = layers[number]
        slope = unit.slope(at_least_float32(outputs[number]))
        back = at_least_float32((back * slope) @ (weight if number else weight[:, : x.shape[-1]]))
    return back


def _by_autograd(
    encoder: Conditional, x: Tensor, condition: Tensor | None, directions: Tensor, create_graph: bool
) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        code = at_least_float32(encoder(x, condition).mean)
        last = len(directions) - 1
        rows = [
            torch.autograd.grad(code, x, direction, create_graph=create_graph, retain_graph=create_graph or i < last)[0]
            for i, direction in enumerate(directions)
        ]
    return at_least_float32(torch.stack(rows))

"""How a code turns with its input: rows of an encoder's Jacobian, by hand where its layers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..distributions import at_least_float32
from ..heads import PointHead
from ..model import Conditional
from ..nets import MLP
from .units import Unit, unit_of

__all__ = ["Dense", "dense_layers", "one_layer_norm", "pulled_back", "pulled_back_by_autograd"]


class Dense(NamedTuple):
    """A layer a(W h + b): its weights and its unit."""

    weight: Tensor
    unit: Unit


def dense_layers(encoder: Conditional) -> list[Dense] | None:
    """The layers of an encoder from data to code, where it is fully connected and slopes follow from outputs.

    Args:
        encoder: of a model.

    Returns:
        The layers; None for convolutions, own networks, heads of distributions, and activations such as SiLU.
    """
    if type(encoder.net) is not MLP or type(encoder.head) is not PointHead:
        return None
    pairs = [*encoder.net, (encoder.head.project, encoder.head.activation)]
    layers = []
    for linear, activation in pairs:  # type: ignore[misc]
        unit = unit_of(activation)
        if type(linear) is not nn.Linear or unit is None:
            return None
        layers.append(Dense(linear.weight, unit))
    return layers


def one_layer_norm(layer: Dense, code: Tensor, n_features: int) -> Tensor:
    r"""Squared norm of the Jacobian of one layer, :math:`\sum_j a'(z_j)^2 \|W_j\|^2`, in closed form.

    Args:
        layer: the only one.
        code: its output z, (B, D).
        n_features: columns of W that belong to x; those of a condition come after them.

    Returns:
        (B,).
    """
    rows = layer.weight[:, :n_features].square().sum(1)
    return (layer.unit.slope(code).square() * rows).sum(-1)


def pulled_back(layers: Sequence[Dense], outputs: Sequence[Tensor], directions: Tensor, n_features: int) -> Tensor:
    """Directions in the code times the Jacobian, layer by layer from the code to the data.

    Args:
        layers: from data to code.
        outputs: of each layer, (B, width).
        directions: (K, B, D).
        n_features: columns of the first W that belong to x.

    Returns:
        (K, B, n_features), float32 or float64.
    """
    back = directions
    for number in reversed(range(len(layers))):
        weight, unit = layers[number]
        slope = unit.slope(at_least_float32(outputs[number]))
        back = (at_least_float32(back) * slope) @ (weight if number else weight[:, :n_features])
    return at_least_float32(back)


def pulled_back_by_autograd(
    encoder: Conditional, x: Tensor, condition: Tensor | None, directions: Tensor, *, create_graph: bool
) -> Tensor:
    """The same for any encoder, which runs once more.

    Args:
        encoder: any.
        x: what it sees, (B, F).
        condition: what it sees beside x, or None.
        directions: (K, B, D).
        create_graph: whether the result is to have gradients.

    Returns:
        (K, B, F), float32 or float64.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        code = at_least_float32(encoder(x, condition).mean)
        last = len(directions) - 1
        rows = [
            torch.autograd.grad(code, x, direction, create_graph=create_graph, retain_graph=create_graph or i < last)[0]
            for i, direction in enumerate(directions)
        ]
    return at_least_float32(torch.stack(rows))

"""Penalties that keep most units of a layer at rest: on their mean activity, and on their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from ..distributions import at_least_float32
from ..model import Conditional, LatentVariableModel, Trace
from ..nets import blocks_of
from ..processes import batch_mean
from .base import Loss
from .units import last_activation, unit_of

__all__ = ["KLSparsity", "L1Sparsity", "Layers", "bernoulli_kl", "unit_activities", "unit_sizes"]

Layers = Literal["code", "hidden", "all"] | Sequence[int]
"""Which layers a penalty sums over: the code, the encoder's hidden layers, both, or their numbers. Hidden layers are
0, 1, ... from the data on, and the code comes after them; -1 is the code."""


def bernoulli_kl(rho: float, activity: Tensor, margin: float = 1e-3) -> Tensor:
    r"""KL from a wanted to a measured activity, made finite and convex on the whole line.

    .. math:: KL(\rho \| a) = \rho \log\frac{\rho}{a} + (1 - \rho) \log\frac{1 - \rho}{1 - a}

    for a in [margin, 1 - margin], and the tangent at the nearer end outside: a ReLU unit that no example of a batch
    turns on has activity 0, another one may have 3, where the formula is infinite or not defined.

    Args:
        rho: the wanted activity, between margin and 1 - margin.
        activity: measured, any shape and any real numbers.
        margin: where the tangents begin.

    Returns:
        Nats, of the shape of `activity`.

    Raises:
        ValueError: rho or margin out of range.

    Example:
        >>> bernoulli_kl(0.25, torch.tensor([-0.01, 0.0, 0.25, 0.5]))
        tensor([3.9071, 1.4146, 0.0000, 0.1308])
    """
    _check(rho, margin)
    a = activity.clamp(margin, 1 - margin)
    kl = rho * (rho / a).log() + (1 - rho) * ((1 - rho) / (1 - a)).log()
    beyond = activity - a
    # The clamp passes no gradient outside, and `beyond` none inside: there the slope is the tangent's.
    slope = (a - rho) / (a * (1 - a))
    return kl + slope.detach() * beyond


def _check(rho: float, margin: float) -> None:
    if not 0 < margin < rho < 1 - margin:
        raise ValueError(f"Expected 0 < margin < rho < 1 - margin, got rho={rho} and margin={margin}.")


def unit_activities(encoder: Conditional, hidden: Sequence[Tensor], code: Tensor, layers: Layers) -> list[Tensor]:
    r"""How active each unit was in each example, 0 at rest: a for sigmoid, ReLU and leaky ReLU, (a + 1) / 2 for tanh.

    Args:
        encoder: of a model.
        hidden: its hidden activations, as in a trace.
        code: its output, (B, D).
        layers: which layers.

    Returns:
        Activities of each layer, (B, width).

    Raises:
        ValueError: layers that are not there, or whose activation has no activity.
    """
    activities = []
    for output, activation in _chosen(encoder, hidden, code, layers):
        unit = unit_of(activation)
        if unit is None or unit.activity is None:
            name = "the identity" if activation is None else getattr(activation, "__name__", type(activation).__name__)
            raise ValueError(
                f"Expected layers of sigmoid, tanh, ReLU or leaky ReLU units, whose activity is defined, got {name}; "
                "use one of these as activation (of the code: code_activation), other layers, or an L1 penalty."
            )
        activities.append(unit.activity(output))
    return activities


def unit_sizes(encoder: Conditional, hidden: Sequence[Tensor], code: Tensor, layers: Layers) -> list[Tensor]:
    """Absolute outputs of units, whatever their activation; arguments, result and errors as of `unit_activities`."""
    return [output.abs() for output, _ in _chosen(encoder, hidden, code, layers)]


def _chosen(encoder: Conditional, hidden: Sequence[Tensor], code: Tensor, layers: Layers) -> list[tuple[Tensor, Any]]:
    """Output and activation of each chosen layer."""
    # An empty net has no layer, and a trace then holds its input.
    blocks = zip(hidden, blocks_of(encoder.net), strict=False)
    below = [(output, last_activation(block)) for output, block in blocks]
    every = [*below, (code, getattr(encoder.head, "activation", None))]
    if isinstance(layers, str):
        chosen = {"code": every[-1:], "hidden": below, "all": every}[layers]
    else:
        if not all(-len(every) <= number < len(every) for number in layers):
            raise ValueError(f"Expected layers among 0, ..., {len(every) - 1}, the last being the code, got {layers}.")
        chosen = [every[number] for number in dict.fromkeys(number % len(every) for number in layers)]  # each once
    if not chosen:
        raise ValueError(f"Expected a layer to be sparse, got none for layers={layers!r}; use 'code'.")
    return [(at_least_float32(output), activation) for output, activation in chosen]


def _traced(trace: Trace, model: nn.Module) -> tuple[Conditional, tuple[Tensor, ...], Tensor]:
    """The encoder, its hidden activations, and its code."""
    encoder = cast(LatentVariableModel, model).encoder
    if encoder is None:
        raise ValueError("Expected a model with an encoder for a penalty on its units, got none.")
    return encoder, trace.hidden, trace.layers[0].q.mean


def _check_layers(layers: Layers) -> None:
    names = get_args(get_args(Layers)[0])
    if isinstance(layers, str) and layers not in names:
        raise ValueError(f"Expected layers as one of {', '.join(map(repr, names))} or numbers, got {layers!r}.")


@dataclass(frozen=True)
class KLSparsity:
    r"""Penalty on units whose mean activity over the batch is not rho, :math:`\beta \sum_j KL(\rho \| \hat a_j)`.

    Use it for codes of many units of which each example turns on few. It belongs to the batch, not to its examples, and
    so stands in the loss's `batch`: how well it knows the mean activity depends on the batch size. Activity is defined
    for sigmoid, tanh, ReLU and leaky ReLU units, and finite everywhere, see `bernoulli_kl`. (The formula by itself is
    infinite as soon as one ReLU unit is off for a whole batch, as the first step of a fresh network often has it.)

    The weight stands beside a loss in nats, summed over features. Published weights beside an average over F features
    are F times as large here: 3 beside the mean squared error of 784 pixels is 2352 beside their squared error, and
    1176 beside half of it, the distortion of `FixedGaussianHead`.

    Args:
        rho: wanted mean activity of every unit.
        weight: beta, in units of the loss.
        layers: which layers: "code", "hidden", "all", or numbers, see `Layers`.
        margin: where the KL is continued by its tangent.

    Raises:
        ValueError: values out of range; when called, layers that are not there or whose activation has no activity.

    References:
        Lee, Ekanadham, Ng (2008). Sparse deep belief net model for visual area V2. NeurIPS, eq. 3 (the aim).
        Ng (2011). Sparse autoencoder. CS294A lecture notes, sec. 3 (the KL).

    Example:
        >>> from isthmus.objectives import Reconstruction
        >>> objective = Reconstruction() + KLSparsity(rho=0.05, weight=10.0)
        >>> objective.penalties[0].weight
        10.0
    """

    rho: float = 0.05
    weight: float = 1.0
    layers: Layers = "code"
    margin: float = 1e-3

    def __post_init__(self) -> None:
        _check(self.rho, self.margin)
        _check_weight(self.weight)
        _check_layers(self.layers)

    def __call__(self, trace: Trace, model: nn.Module) -> Loss:
        """The penalty of the batch; the term "sparsity" is the sum of KLs without its weight."""
        active = torch.cat(unit_activities(*_traced(trace, model), self.layers), dim=-1)
        kl = bernoulli_kl(self.rho, _mean(active, trace.batch.weight), self.margin).sum()
        return Loss(kl.new_zeros(len(active)), self.weight * kl, {"sparsity": kl})


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over the batch; with weights, their mean in this batch is 1, so that it is a mean of the values."""
    if weight is None:
        return batch_mean(values)
    column = weight.to(values.dtype)[:, None]
    sums = batch_mean(torch.cat((values * column, column), dim=-1))  # one message where there are several processes
    return sums[:-1] / sums[-1].clamp(min=torch.finfo(values.dtype).tiny)


@dataclass(frozen=True)
class L1Sparsity:
    r"""Penalty on the size of activations, :math:`\lambda \sum_j |h_j|`, of each example.

    Use it where activations should be exactly or nearly zero, whatever their mean: with ReLU units many are exactly
    zero. It works with every activation, and does not depend on the batch. A decoder with free weights can make codes
    small without making them sparse; `tied=True` on estimators prevents that.

    Args:
        weight: lambda, nats per unit of activation.
        layers: which layers: "code", "hidden", "all", or numbers, see `Layers`.

    Raises:
        ValueError: values out of range; when called, layers that are not there.

    References:
        Olshausen, Field (1996). Emergence of simple-cell receptive field properties by learning a sparse code for
            natural images. Nature 381.

    Example:
        >>> L1Sparsity(weight=0.1).layers
        'code'
    """

    weight: float = 1.0
    layers: Layers = "code"

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        _check_layers(self.layers)

    def __call__(self, trace: Trace, model: nn.Module) -> Loss:
        """The penalty of each example; the term "l1" is the sum of sizes without its weight."""
        size = torch.cat(unit_sizes(*_traced(trace, model), self.layers), dim=-1).sum(-1)
        return Loss(self.weight * size, terms={"l1": size})


def _check_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise ValueError(f"Expected a weight >= 0, got {weight}.")

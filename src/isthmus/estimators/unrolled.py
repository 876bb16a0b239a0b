"""A stack of trained layers as one deep model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..model import Conditional, LatentVariableModel
from ..nets import Transposed, with_dropout

__all__ = ["MeanOf", "encoder_of", "unrolled"]


class MeanOf(nn.Module):
    """The mean of a distribution as the layer of a net: a code, or what is expected of the layer below.

    Args:
        head: features -> distribution.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Means, (..., n_outputs)."""
        return self.head(x).mean


def encoder_of(
    layers: Sequence[LatentVariableModel], dropout: float = 0.0, input_dropout: float = 0.0
) -> nn.Sequential:
    """The layers' encoders, one after the other, from the data to the code of the last one; their modules, no copies.

    Args:
        layers: whose encoder is one map and its head, from the data upwards.
        dropout: rate at which units of each code are left out while training; see `isthmus.nets.Dropout`.
        input_dropout: the same for the data.
    """
    blocks = (MeanOf(_head(layer.encoder)) for layer in layers)
    return nn.Sequential(with_dropout(blocks, dropout, input_dropout))


def unrolled(layers: Sequence[LatentVariableModel], *, tied: bool, dropout: float = 0.0) -> LatentVariableModel:
    r"""The layers' encoders, then their decoders backwards: :math:`e_1, \dots, e_L, d_L, \dots, d_1`.

    The modules are the layers' own, and so are the weights: for layers that are to stay, pass copies.

    Args:
        layers: whose encoder and decoder are one map and its head each, from the data upwards.
        tied: leave decoders the weights of their encoders, where layers have it so; else they get copies of them,
            which training then takes apart.
        dropout: rate at which units of all codes but the last one are left out while training, on either side.

    Returns:
        The deep model; its likelihood is that of the first layer.

    References:
        Hinton, Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313, fig. 1.
    """
    *below, top = layers
    first, *above = layers
    backwards = (MeanOf(_head(layer.decoder)) for layer in reversed(above))
    back = nn.Sequential(with_dropout(backwards, dropout))
    decoder = Conditional(back, _head(first.decoder))
    if not tied:
        _untie(decoder)
    return LatentVariableModel(Conditional(encoder_of(below, dropout), _head(top.encoder)), decoder, prior=None)


def _head(conditional: Conditional | None) -> nn.Module:
    """The head of an encoder or decoder that has no other layer."""
    if conditional is None or any(True for _ in conditional.net.parameters()):
        raise ValueError("Expected layers whose encoders and decoders are one map each, got others; use hidden=().")
    return conditional.head


def _untie(module: nn.Module) -> None:
    """Give each map that mirrors another one weights of its own, which begin as those."""
    for name, child in module.named_children():
        if isinstance(child, Transposed):
            setattr(module, name, _own_weights(child))
        else:
            _untie(child)


def _own_weights(mirror: Transposed) -> nn.Module:
    weight = mirror.mirrored.weight
    n_outputs, n_inputs = weight.shape
    own: Any = nn.utils.skip_init(nn.Linear, n_outputs, n_inputs, device=mirror.bias.device, dtype=mirror.bias.dtype)
    with torch.no_grad():
        own.weight.copy_(weight.T)
        own.bias.copy_(mirror.bias)
    return own

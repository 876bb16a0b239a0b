"""Decoders whose weights are an encoder's, transposed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import with_dropout
from .mlp import Activation, activation_module

__all__ = ["TiedMLP", "Transposed", "linear_maps"]


class Transposed(nn.Module):
    r"""The map back from a linear one's outputs to its inputs, :math:`x = W^T h + c`, with its weights.

    There is one tensor of weights, which belongs to the map that is mirrored: it is trained, saved and moved once, and
    the two can't come apart. The bias is this module's own.

    Args:
        linear: the map that is mirrored.

    Example:
        >>> forth = nn.Linear(5, 2)
        >>> back = Transposed(forth)
        >>> back(forth(torch.zeros(3, 5))).shape, [name for name, _ in back.named_parameters()]
        (torch.Size([3, 5]), ['bias'])
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._mirrored = (linear,)  # in a tuple, as a submodule would have its parameters counted and saved twice
        self.bias = nn.Parameter(torch.zeros(linear.in_features))

    @property
    def mirrored(self) -> nn.Linear:
        """The map that is mirrored."""
        return self._mirrored[0]

    def forward(self, h: Tensor) -> Tensor:
        """Inputs (..., in_features) from outputs (..., out_features)."""
        return F.linear(h, self._mirrored[0].weight.T, self.bias)


class TiedMLP(nn.Sequential):
    r"""The mirror of linear maps, :math:`h_{l-1} = a(W_l^T h_l + c_l)`, without the first one, which is the head's.

    Args:
        mirrored: the encoder's linear maps, from the data to the code.
        activation: after each map.
        dropout: rate at which units are left out while training, after the activation; see `Dropout`.

    Attributes:
        n_features: width of the output.

    Example:
        >>> forth = nn.Linear(8, 4), nn.Linear(4, 2)
        >>> TiedMLP(forth, "sigmoid")(torch.zeros(3, 2)).shape
        torch.Size([3, 4])
    """

    def __init__(self, mirrored: Sequence[nn.Linear], activation: Activation = "relu", dropout: float = 0.0) -> None:
        backwards = reversed(mirrored[1:])
        blocks = (nn.Sequential(Transposed(linear), activation_module(activation)) for linear in backwards)
        super().__init__(with_dropout(blocks, dropout))
        self.n_features = mirrored[0].out_features


def linear_maps(net: nn.Module) -> list[nn.Linear]:
    """The linear maps of a net, in the order in which they are registered: for `MLP` that of the forward pass.

    Args:
        net: such as an `MLP`, or a `Conditional` of one with a head.

    Returns:
        The maps.
    """
    return [module for module in net.modules() if isinstance(module, nn.Linear)]

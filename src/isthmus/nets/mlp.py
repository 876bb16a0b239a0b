"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import nn

from .dropout import with_dropout

__all__ = ["MLP", "Activation", "activation_module"]

ActivationName = Literal["relu", "silu", "tanh", "sigmoid", "gelu", "leaky_relu", "identity"]
Activation = ActivationName | Callable[[], nn.Module]
"""An activation by name, or whatever makes its module, such as `nn.ELU`."""

_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "identity": nn.Identity,
}


def activation_module(activation: Activation) -> nn.Module:
    """A fresh module of an activation.

    Args:
        activation: a name, or whatever makes a module when called.

    Returns:
        The module.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> activation_module("relu")
        ReLU()
    """
    if callable(activation):
        return activation()
    if activation not in _MODULES:
        names = ", ".join(map(repr, get_args(ActivationName)))
        raise ValueError(f"Expected activation as a module's class or one of {names}, got {activation!r}.")
    return _MODULES[activation]()


class MLP(nn.Sequential):
    r"""A stack of blocks, :math:`h_{l+1} = a(W_l h_l + b_l)`; each block's output counts as hidden activations.

    Use it for tables, and for images where speed or a baseline matters more than the picture.

    Args:
        n_inputs: width of the input (..., n_inputs).
        hidden: widths of the blocks; () is the identity, so that the model is linear.
        activation: after each linear map.
        dropout: rate at which units are left out while training, after the activation; see `Dropout`.
        input_dropout: the same for inputs.

    Attributes:
        n_features: width of the output (..., n_features).

    Raises:
        ValueError: a width below 1, an unknown activation, or a rate out of range.

    Example:
        >>> net = MLP(784, (512, 256))
        >>> net(torch.zeros(5, 3, 784)).shape
        torch.Size([5, 3, 256])
    """

    def __init__(
        self,
        n_inputs: int,
        hidden: Sequence[int] = (),
        activation: Activation = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        widths = (n_inputs, *hidden)
        if min(widths) < 1:
            raise ValueError(f"Expected widths >= 1, got {widths}.")
        blocks = (
            nn.Sequential(nn.Linear(width, following), activation_module(activation))
            for width, following in zip(widths[:-1], widths[1:], strict=True)
        )
        super().__init__(with_dropout(blocks, dropout, input_dropout))
        self.n_inputs, self.n_features = n_inputs, widths[-1]

"""The networks of an estimator, from its parameters: layers, convolutions, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..nets import MLP, ConvDecoder, ConvEncoder, ResNetDecoder, ResNetEncoder, TiedMLP, Transposed, linear_maps
from .own_network import OwnNetwork

if TYPE_CHECKING:
    from ..model import Conditional
    from .network import BaseAutoencoder

__all__ = ["Architecture", "check_dropout", "decoder_network", "encoder_network", "hidden_widths", "tied_network"]

Architecture = Literal["mlp", "conv", "resnet"]
"""Of encoder and decoder: fully connected, or for images convolutional, plain or residual."""

_OF_IMAGES: dict[str, tuple[type[ConvEncoder], type[ConvDecoder]]] = {
    "conv": (ConvEncoder, ConvDecoder),
    "resnet": (ResNetEncoder, ResNetDecoder),
}


def hidden_widths(estimator: BaseAutoencoder) -> tuple[int, ...]:
    """Widths of the encoder's layers, or channels of its stages."""
    if estimator.hidden is not None:
        return tuple(estimator.hidden)
    return (512,) if estimator.architecture == "mlp" else (32, 64)


def check_dropout(rate: float, widths: Sequence[int], name: str = "dropout") -> None:
    """Make sure that a rate is one, and that there are units to leave out.

    Args:
        rate: of dropout.
        widths: of the layers that it is for.
        name: of the parameter.

    Raises:
        ValueError: another rate, or no layer.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"Expected {name} as a rate, 0 <= {name} < 1, got {rate}.")
    if rate and not widths:
        raise ValueError(f"Expected hidden layers to leave units out of, got {name}={rate} and none; use {name}=0.")


class BesideFeatures(nn.Module):
    """A network of rows alone, that of images say, in a model that joins a condition to rows: it joins the features.

    Args:
        net: rows (..., n_features of a row) -> features.
        n_conditions: width of the condition, the last so many columns of the input.
        n_features: width of the output, that of the net's and the condition's.
    """

    def __init__(self, net: Any, n_conditions: int) -> None:
        super().__init__()
        self.net, self.n_conditions = net, n_conditions
        self.n_features = net.n_features + n_conditions

    def forward(self, x: Tensor) -> Tensor:
        """Features of the rows, and the condition."""
        rows, condition = x[..., : -self.n_conditions], x[..., -self.n_conditions :]
        return torch.cat((self.net(rows), condition), dim=-1)


def encoder_network(estimator: BaseAutoencoder, n_features: int) -> Any:
    """From rows (n, n_features), and their conditions if there are any, to features: `n_features` of it."""
    widths, activation, n_conditions = hidden_widths(estimator), estimator.activation, estimator._n_conditions
    if estimator.encoder is not None:
        net: Any = OwnNetwork(estimator.encoder, n_features, "encoder")
    elif estimator.architecture == "mlp":
        return MLP(n_features + n_conditions, widths, activation, estimator.dropout)
    else:
        net = _OF_IMAGES[estimator.architecture][0](_image_shape(estimator.feature_shape_), widths, activation)
    return BesideFeatures(net, n_conditions) if n_conditions else net


def decoder_network(estimator: BaseAutoencoder) -> tuple[Any, Any]:
    """From codes, and conditions, to features; and what makes the likelihood's map of these, None for a linear one."""
    n_inputs = estimator.n_components + estimator._n_conditions
    if estimator.decoder is not None:
        own = OwnNetwork(estimator.decoder, n_inputs, "decoder")
        return own, own.project
    widths, activation = hidden_widths(estimator), estimator.activation
    if estimator.architecture == "mlp":
        return MLP(n_inputs, widths[::-1], activation, estimator.dropout), None
    net = _OF_IMAGES[estimator.architecture][1](n_inputs, _image_shape(estimator.feature_shape_), widths, activation)
    return net, net.project


def tied_network(estimator: BaseAutoencoder, encoder: Conditional) -> tuple[Any, Any]:
    """The encoder's layers backwards, with their weights transposed, and what makes the likelihood's map likewise."""
    mirrored = linear_maps(encoder)

    def project(n_features: int, n_outputs: int) -> nn.Module:
        if n_outputs != mirrored[0].in_features:
            raise ValueError(
                f"Expected a likelihood with one parameter a feature for tied weights, got {estimator.likelihood_!r}; "
                "use 'bernoulli', 'gaussian' or 'fixed_gaussian', or tied=False."
            )
        return Transposed(mirrored[0])

    return TiedMLP(mirrored, estimator.activation, estimator.dropout), project


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(C, H, W) of rows that are images."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"Expected images (n, h, w) or (n, c, h, w) for convolutions, got rows of shape {tuple(shape)}; use "
            "X.reshape, or architecture='mlp'."
        )
    return (1, *shape) if len(shape) == 2 else tuple(shape)  # type: ignore[return-value]

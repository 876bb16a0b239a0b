"""Networks: tensor in, tensor out; they know no probability."""

from .conv import ConvDecoder, ConvEncoder, PixelProjection
from .dropout import Dropout, blocks_of, in_turn, with_dropout
from .mlp import MLP, Activation, activation_module
from .resnet import ResNetDecoder, ResNetEncoder
from .tied import TiedMLP, Transposed, linear_maps

__all__ = [
    "MLP",
    "Activation",
    "ConvDecoder",
    "ConvEncoder",
    "Dropout",
    "PixelProjection",
    "ResNetDecoder",
    "ResNetEncoder",
    "TiedMLP",
    "Transposed",
    "activation_module",
    "blocks_of",
    "in_turn",
    "linear_maps",
    "with_dropout",
]

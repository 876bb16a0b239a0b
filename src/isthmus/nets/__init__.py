"""Networks: tensor in, tensor out; they know no probability."""

from .conv import ConvDecoder, ConvEncoder, PixelProjection
from .mlp import MLP, Activation, activation_module
from .resnet import ResNetDecoder, ResNetEncoder
from .tied import TiedMLP, Transposed, linear_maps

__all__ = [
    "MLP",
    "Activation",
    "ConvDecoder",
    "ConvEncoder",
    "PixelProjection",
    "ResNetDecoder",
    "ResNetEncoder",
    "TiedMLP",
    "Transposed",
    "activation_module",
    "linear_maps",
]

"""Networks: tensor in, tensor out; they know no probability."""

from .conv import ConvDecoder, ConvEncoder, PixelProjection
from .mlp import MLP, Activation, activation_module
from .resnet import ResNetDecoder, ResNetEncoder

__all__ = [
    "MLP",
    "Activation",
    "ConvDecoder",
    "ConvEncoder",
    "PixelProjection",
    "ResNetDecoder",
    "ResNetEncoder",
    "activation_module",
]

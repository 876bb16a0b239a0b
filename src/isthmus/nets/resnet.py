"""Residual convolutional networks: the pyramid of `conv`, with a residual block for each convolution."""

from __future__ import annotations

from torch import Tensor, nn

from .conv import ConvDecoder, ConvEncoder
from .mlp import Activation, activation_module

__all__ = ["ResNetDecoder", "ResNetEncoder", "ResidualBlock"]


def _norm(n_channels: int) -> nn.Module:
    """Normalise groups of four or more channels; in smaller ones, one-pixel maps would lose all they hold."""
    if n_channels < 4:
        return nn.Identity()
    return nn.GroupNorm(max(n for n in (1, 2, 4, 8) if n_channels % n == 0 and n_channels >= 4 * n), n_channels)


class ResidualBlock(nn.Module):
    """Norm, activation, convolution, twice, added to a shortcut.

    GroupNorm, not BatchNorm: an image's features must not depend on the other images of the batch.

    References:
        He, Zhang, Ren and Sun (2016). Identity mappings in deep residual networks. ECCV, fig. 4e.
    """

    def __init__(self, n_inputs: int, n_outputs: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _norm(n_inputs),
            activation_module(activation),
            nn.Conv2d(n_inputs, n_outputs, kernel_size=3, stride=stride, padding=1),
            _norm(n_outputs),
            activation_module(activation),
            nn.Conv2d(n_outputs, n_outputs, kernel_size=3, padding=1),
        )
        same = stride == 1 and n_inputs == n_outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(n_inputs, n_outputs, kernel_size=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C', H', W') of maps (N, C, H, W)."""
        return self.shortcut(x) + self.residual(x)


class ResNetEncoder(ConvEncoder):
    """`ConvEncoder` with a residual block for each stage.

    Use it on natural images, or where plain convolutions stop to improve with depth.

    Example:
        >>> ResNetEncoder((3, 9, 7), (8, 16))(torch.zeros(2, 189)).shape
        torch.Size([2, 96])
    """

    block = ResidualBlock


class ResNetDecoder(ConvDecoder):
    """`ConvDecoder` with a residual block for each stage.

    Example:
        >>> ResNetDecoder(2, (3, 9, 7), (8, 16))(torch.zeros(2, 2)).shape
        torch.Size([2, 504])
    """

    block = ResidualBlock

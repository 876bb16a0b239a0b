"""Convolutional networks on flat images: halved stage by stage, and back through the same sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from .mlp import Activation, activation_module

__all__ = ["ConvBlock", "ConvDecoder", "ConvEncoder", "PixelProjection"]

ImageShape = tuple[int, int, int]
Block = Callable[[int, int, int, Activation], nn.Module]
"""(channels in, channels out, stride, activation) -> module on maps (N, C, H, W); strided, it rounds sizes up."""


def _on_images(net: Callable[[Tensor], Tensor], x: Tensor, shape: Sequence[int]) -> Tensor:
    """Apply a net of maps (N, C, H, W) to flat rows with any leading dimensions; flat rows again."""
    return net(x.reshape(-1, *shape)).reshape(*x.shape[:-1], -1)


def _sizes(image_shape: ImageShape, n_stages: int) -> list[tuple[int, int]]:
    """Height and width before and after each halving, odd ones rounded up as a strided convolution does."""
    sizes = [image_shape[1:]]
    for _ in range(n_stages):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _check(image_shape: ImageShape, channels: Sequence[int]) -> None:
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"Expected image_shape as (channels, height, width), got {image_shape}.")
    if not channels or min(channels) < 1:
        raise ValueError(f"Expected one or more channels >= 1, one number a stage, got {tuple(channels)}.")


class ConvBlock(nn.Sequential):
    """Convolution, then activation. No norm: what an image's features are does not depend on its company."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int, activation: Activation) -> None:
        convolution = nn.Conv2d(n_inputs, n_outputs, kernel_size=3, stride=stride, padding=1)
        super().__init__(convolution, activation_module(activation))


class ConvEncoder(nn.Module):
    """Flat images (..., C * H * W) to flat features: each stage halves the image.

    Use it for images where an `MLP` blurs; `ResNetEncoder` is the deeper one.

    Args:
        image_shape: (C, H, W), of any size.
        channels: channels after each stage.
        activation: after each convolution.

    Attributes:
        n_features: width of the output (..., n_features).

    Raises:
        ValueError: shapes that are no image or channels below 1.

    Example:
        >>> net = ConvEncoder((1, 28, 20), (8, 16))
        >>> net(torch.zeros(3, 560)).shape, net.n_features
        (torch.Size([3, 560]), 560)
    """

    block: Block = ConvBlock

    def __init__(
        self, image_shape: ImageShape, channels: Sequence[int] = (32, 64), activation: Activation = "relu"
    ) -> None:
        super().__init__()
        _check(image_shape, channels)
        self.image_shape = image_shape
        self.n_inputs = prod(image_shape)
        self.n_features = channels[-1] * prod(_sizes(image_shape, len(channels))[-1])
        widths, block = (image_shape[0], *channels), type(self).block
        self.stages = nn.Sequential(
            *(block(n, following, 2, activation) for n, following in zip(widths[:-1], widths[1:], strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of flat images."""
        return _on_images(self.stages, x, self.image_shape)


class ConvDecoder(nn.Module):
    """Codes (..., n_inputs) to flat feature maps (..., C' * H * W), the mirror of `ConvEncoder`.

    Each stage enlarges to the size that the encoder had there, by repeating pixels, and convolves: any size comes
    out, odd ones too, and no checkerboard. A likelihood's head turns the maps into parameters with `project`.

    Args:
        n_inputs: dimension of the code, with that of a condition.
        image_shape: (C, H, W), of any size.
        channels: as the encoder's, whose order this reverses.
        activation: after each convolution.

    Attributes:
        n_features: width of the output, channels[0] * H * W.

    Raises:
        ValueError: shapes that are no image or channels below 1.

    Example:
        >>> net = ConvDecoder(2, (1, 28, 20), (8, 16))
        >>> net(torch.zeros(5, 3, 2)).shape == (5, 3, net.n_features)
        True
        >>> from isthmus.heads import GaussianHead
        >>> GaussianHead(net.n_features, 560, project=net.project)(net(torch.zeros(5, 3, 2))).mean.shape
        torch.Size([5, 3, 560])
    """

    block: Block = ConvBlock

    def __init__(
        self,
        n_inputs: int,
        image_shape: ImageShape,
        channels: Sequence[int] = (32, 64),
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        _check(image_shape, channels)
        self.image_shape = image_shape
        self.n_inputs, self.n_features = n_inputs, channels[0] * prod(image_shape[1:])
        self.sizes = _sizes(image_shape, len(channels))[::-1]
        widths, block = (*channels[::-1], channels[0]), type(self).block
        self.start = nn.Sequential(
            nn.Linear(n_inputs, widths[0] * prod(self.sizes[0])), nn.Unflatten(-1, (widths[0], *self.sizes[0]))
        )
        self.stages = nn.ModuleList(
            block(n, following, 1, activation) for n, following in zip(widths[:-1], widths[1:], strict=True)
        )

    def _maps(self, z: Tensor) -> Tensor:
        maps = self.start(z)
        for stage, size in zip(self.stages, self.sizes[1:], strict=True):
            maps = stage(F.interpolate(maps, size=size, mode="nearest"))
        return maps

    def forward(self, z: Tensor) -> Tensor:
        """Flat feature maps of codes."""
        return _on_images(self._maps, z, z.shape[-1:])

    def project(self, n_features: int, n_outputs: int) -> PixelProjection:
        """For a head's `project`: the map from these features to its parameters, the same at every pixel."""
        return PixelProjection(n_features, n_outputs, self.image_shape[1:])


class PixelProjection(nn.Module):
    """A linear map at each pixel: flat maps (..., C' * H * W) to (..., C'' * H * W), a 1 x 1 convolution.

    Args:
        n_features: width of the input, a multiple of the number of pixels.
        n_outputs: width of the output, a multiple of the number of pixels.
        size: (H, W).

    Raises:
        ValueError: widths that are no multiple of the number of pixels.
    """

    def __init__(self, n_features: int, n_outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        n_pixels = prod(size)
        if n_features % n_pixels or n_outputs % n_pixels:
            raise ValueError(f"Expected widths as multiples of {n_pixels} pixels, got {n_features} and {n_outputs}.")
        self.shape = (n_features // n_pixels, *size)
        self.convolution = nn.Conv2d(n_features // n_pixels, n_outputs // n_pixels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Parameters of every pixel, channel by channel."""
        return _on_images(self.convolution, features, self.shape)

"""Images as tiles: from arrays of any shape and range to strips and grids of pixels."""

from __future__ import annotations

import io
import math
from typing import NamedTuple, Self

import numpy as np

from .style import LIGHT, Theme

__all__ = ["ImageStyle", "compact", "encode", "grid", "is_image", "png_width", "signed_tiles", "tiles"]

TILE = 96
"""Pixels that a tile should have at least on its longer side, two for each point on the page."""

LEVELS = 64
"""Shades of grey: more than the eye tells apart in a tile, and few enough to make small files."""

SIGNED_LEVELS = 12
"""Shades of either sign: files of weights, which are noise in good part, then have a third of the bytes."""

GAP = 6


class ImageStyle(NamedTuple):
    """How the images of one data set are shown, chosen once so that reconstructions and samples are shown alike.

    Attributes:
        low: value shown darkest.
        high: value shown brightest.
        ink: images are strokes on an empty ground (zero at most of the border): they are shown as ink on paper, dark
            on light in the light theme. Other images are shown in their own grey or colour.
    """

    low: float
    high: float
    ink: bool

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """Choose from images (n, h, w) or (n, c, h, w): uint8 is 0..255, floats are 0..1 or span their quantiles."""
        if x.dtype == np.uint8:
            low, high = 0.0, 255.0
        elif x.min() >= 0 and x.max() <= 1:
            low, high = 0.0, 1.0
        else:
            low, high = (float(v) for v in np.quantile(x[:1000], (0.005, 0.995)))
            high = high if high > low else low + 1.0
        grey = x.ndim == 3 or x.shape[1] == 1
        border = np.concatenate([x[..., i, :].ravel() for i in (0, -1)] + [x[..., :, i].ravel() for i in (0, -1)])
        return cls(low, high, bool(grey and np.median(border) <= low + 0.02 * (high - low)))


def is_image(feature_shape: tuple[int, ...]) -> bool:
    """Whether examples of this shape are images: (h, w) or (c, h, w), more than a line of pixels."""
    return len(feature_shape) in (2, 3) and min(feature_shape[-2:]) > 1


def tiles(x: np.ndarray, style: ImageStyle, theme: Theme = LIGHT, size: int = TILE) -> np.ndarray:
    """Colours (n, H, W, 3), uint8, of images (n, h, w) or (n, c, h, w), enlarged by a whole factor or averaged down.

    Three channels are red, green and blue; four have opacity last, which is left out; other numbers are averaged.
    """
    x = np.clip((np.asarray(x, np.float32) - style.low) / (style.high - style.low), 0, 1)
    x = np.nan_to_num(x)
    if x.ndim == 3:
        x = x[:, None]
    colour = x.shape[1] in (3, 4)
    x = x[:, :3] if colour else np.rint(x.mean(axis=1, keepdims=True) * (LEVELS - 1)) / (LEVELS - 1)
    x = x.transpose(0, 2, 3, 1)
    if style.ink and not colour:
        return _resized(_rgb(theme.tile) + x * (_rgb(theme.ink) - _rgb(theme.tile)), size)
    return _resized(255 * np.broadcast_to(x, (*x.shape[:3], 3)), size)


def signed_tiles(x: np.ndarray, theme: Theme = LIGHT, size: int = TILE, *, together: bool = False) -> np.ndarray:
    """Colours (n, H, W, 3) of images with a sign: zero is the paper, and NaN is no part of the image.

    Args:
        x: images (n, h, w) or (n, c, h, w); channels are averaged.
        theme: whose two first model colours stand for above and below zero.
        size: pixels of the longer side, about.
        together: all on the scale of the largest value of all, and not each on its own.
    """
    x = np.asarray(x, np.float32)
    x = x.mean(axis=1) if x.ndim == 4 else x
    empty, x = np.isnan(x)[..., None], np.nan_to_num(x)
    largest = np.abs(x).max(axis=None if together else (1, 2), keepdims=True)
    x = (x / np.where(largest > 0, largest, 1))[..., None]
    x = np.rint(x * SIGNED_LEVELS) / SIGNED_LEVELS
    above, below = (_rgb(colour) - _rgb(theme.tile) for colour in theme.models[:2])
    colours = _rgb(theme.tile) + np.maximum(x, 0) * above + np.maximum(-x, 0) * below
    return _resized(np.where(empty, _rgb(theme.surface), colours), size)


def grid(x: np.ndarray, n_columns: int, theme: Theme = LIGHT, gap: int = GAP) -> np.ndarray:
    """Arrange tiles (n, H, W, 3) row by row on the theme's surface, (rows, columns, 3), uint8."""
    n, height, width, _ = x.shape
    n_rows = math.ceil(n / n_columns)
    canvas = np.empty((n_rows * (height + gap) - gap, n_columns * (width + gap) - gap, 3), np.uint8)
    canvas[:] = _rgb(theme.surface)
    for i, tile in enumerate(x):
        row, column = divmod(i, n_columns)
        top, left = row * (height + gap), column * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def encode(pixels: np.ndarray, *, photographs: bool = False) -> bytes:
    """Pixels (rows, columns, 3), uint8, as a PNG, or as a JPEG where they are photographs and would be large."""
    from PIL import Image  # comes with matplotlib

    buffer = io.BytesIO()
    if photographs:
        Image.fromarray(pixels).save(buffer, format="jpeg", quality=85, subsampling=0)
        return buffer.getvalue()
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    image = Image.fromarray(pixels)
    if len(colours) <= 256:  # a palette takes a third of the bytes
        image = Image.fromarray(index.reshape(packed.shape).astype(np.uint8), "P")
        channels = (colours >> 16, colours >> 8 & 255, colours & 255)
        image.putpalette(np.stack(channels, axis=1).astype(np.uint8).tobytes())
    image.save(buffer, format="png")
    return buffer.getvalue()


def compact(chart: bytes, n_colours: int = 256) -> bytes:
    """A chart's PNG with a few colours of its own choice: a fourth of the bytes, and no difference to be seen."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(chart)) as image:
        few = image.convert("RGB").quantize(n_colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, format="png")
    return buffer.getvalue()


def png_width(image: bytes) -> int:
    """Pixels in a row of a PNG."""
    return int.from_bytes(image[16:20], "big")


def _resized(x: np.ndarray, size: int) -> np.ndarray:
    """Colours (n, h, w, 3) in 0..255 as uint8 with a longer side near `size`: pixels are repeated, or averaged."""
    from PIL import Image

    x = np.rint(x).astype(np.uint8)
    height, width = x.shape[1:3]
    longer = max(height, width)
    if longer <= size:
        factor = max(1, round(size / longer))
        return x.repeat(factor, axis=1).repeat(factor, axis=2)
    smaller = max(1, round(width * size / longer)), max(1, round(height * size / longer))
    return np.stack([np.asarray(Image.fromarray(image).resize(smaller, Image.Resampling.BOX)) for image in x])


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)

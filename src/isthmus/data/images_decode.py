"""One image file as 8-bit pixels: upright, opaque, grey or colour, of the size that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

__all__ = ["ENDINGS", "BadImage", "Colour", "Fit", "Header", "decode", "read_header"]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
"""Endings of files that are taken for images, in small letters."""

Colour = Literal["grey", "rgb"]
"""Of pixels: one number each, or three."""

Fit = Literal["error", "resize", "crop"]
"""What to do with images of another size."""

_ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held
_SIDEWAYS = (5, 6, 7, 8)


class BadImage(Exception):
    """A file that is no image, or not one whose pixels are known."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a file say.

    Attributes:
        height: in pixels, after turning the image upright.
        width: likewise.
        grey: whether it has no colours.
    """

    height: int
    width: int
    grey: bool


def read_header(path: Path) -> Header:
    """Size and kind of an image, without decoding it. Pillow's warnings of huge images must be errors meanwhile.

    Raises:
        BadImage: not an image, empty, or of more pixels than Pillow takes to be safe.
    """
    with _open(path) as image:
        width, height = image.size
        if _orientation(image) in _SIDEWAYS:
            width, height = height, width
        return Header(height, width, _is_grey(image))


def decode(path: Path, colour: Colour, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """The pixels of an image, (h, w) or (3, h, w), uint8.

    Transparent parts are white, 16 bits are scaled to 8, animations give their first frame.

    Args:
        path: the file.
        colour: "grey" (the usual weighted mean of the colours) or "rgb".
        size: height and width.
        fit: how images of another size get it: "resize" stretches them, "crop" scales the shorter side and cuts the
            middle out of the longer one; "error" expects none.

    Raises:
        BadImage: truncated or damaged, or of floating-point pixels.
    """
    from PIL import Image, ImageOps

    height, width = size
    with _open(path) as image:
        how = _orientation(image)
        if fit != "error" and image.format == "JPEG":  # decodes large photographs at a fraction of their size
            wanted = (2 * height, 2 * width) if how in _SIDEWAYS else (2 * width, 2 * height)
            image.draft(image.mode, wanted)
        try:
            image.load()
            upright = _turned(_opaque(image), how)
        except BadImage:
            raise
        except Exception as error:  # decoders of a dozen formats, each with errors of its own
            raise BadImage("truncated or damaged") from error
    upright = upright.convert("L" if colour == "grey" else "RGB")
    if upright.size != (width, height):
        if fit == "crop":
            upright = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
        else:
            upright = upright.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(upright)
    return pixels if colour == "grey" else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _open(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        if path.stat().st_size == 0:
            raise BadImage("an empty file")
        return Image.open(path)
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except PermissionError as error:
        raise BadImage("not readable by you") from error
    except Exception as error:
        raise BadImage("truncated or damaged") from error


def _orientation(image: Any) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged note beside sound pixels
        return 1


def _turned(image: Any, orientation: int) -> Any:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _is_grey(image: Any) -> bool:
    if image.mode == "P":
        palette = image.getpalette("RGB") or [0, 1, 2]
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def _opaque(image: Any) -> Any:
    """In 8 bits, as "L" or "RGB", on white."""
    from PIL import Image

    if image.mode == "F":
        raise BadImage("floating-point pixels, of which it is not known what is white")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise BadImage("32-bit pixels, of which it is not known what is white")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")

"""The chart of what compressed codes cost and keep, beside PCA at the same bits and JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..coding import jpeg_rate_distortion, pca_rate_distortion, rate_distortion_of_codes
from ..evaluation.given import given
from .style import LIGHT, Theme, legend, model_colours, new_figure, polish
from .view import DataView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compression_figure"]

_BITS = range(1, 9)
_JPEG_IMAGES = 500
"""Each is a file of its own: more change nothing in the mean but the time it takes."""


def compression_figure(estimator: Any, data: DataView, theme: Theme = LIGHT) -> Figure:
    """Squared error an example against bits a pixel: a model's codes at 1 to 8 bits, PCA, and JPEG for images.

    Of a table, it is bits a feature. Sizes are those of the file of all examples together, which holds everything but
    the model. PCA is fitted to the training examples that the view has; its curve is the lower envelope over numbers of
    components and of bits. JPEG has a file for each image; the second curve leaves out their headers, which dominate
    where images are small.

    Args:
        estimator: fitted, with `transform` and `inverse_transform`.
        data: the examples to code.
        theme: light or dark.

    Raises:
        ValueError: constriction is not installed.
    """
    told = given(estimator, data.y)
    name = f"{type(estimator).__name__}, {estimator.n_components} numbers at 1 to 8 bits"
    curve = rate_distortion_of_codes(estimator, data.x, _BITS, **told)
    colours = model_colours(["JPEG", "PCA", name], theme)
    figure = new_figure(5.2, 3.6, theme)
    axes = figure.add_subplot()
    unit = "feature" if data.style is None else "pixel"
    polish(axes, theme, x=f"bits per {unit}", y="squared error of an example", grid="both")
    axes.set_xscale("log")
    axes.set_yscale("log")
    line: dict[str, Any] = {"linewidth": 1.6, "marker": "o", "markersize": 3.5}
    axes.plot(curve.bits_per_pixel, curve.squared_error, color=colours[name], label=name, zorder=3, **line)
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": theme.soft, "ha": "center"}
    for bits, x, y in zip(*curve, strict=True):
        if bits in (1, 2, 3, 4, 8):
            axes.annotate(str(bits), (x, y), (0, -11), **style)
    pca = pca_rate_distortion(data.x_train, data.x, bits=_BITS)
    label = f"PCA, the best of {pca.n_components.min()} to {pca.n_components.max()} components"
    axes.plot(pca.bits_per_pixel, pca.squared_error, color=colours["PCA"], label=label, **line | {"markersize": 2})
    right = curve.bits_per_pixel[-1]
    images = _as_pixels(data)
    if images is not None:
        jpeg = jpeg_rate_distortion(images[:_JPEG_IMAGES])
        axes.plot(
            jpeg.bits_per_pixel_without_header, jpeg.squared_error, color=colours["JPEG"], linestyle=(0, (4, 2)),
            label="JPEG without its headers", **line | {"markersize": 2},
        )  # fmt: skip
        axes.plot(
            jpeg.bits_per_pixel, jpeg.squared_error, color=colours["JPEG"], label="JPEG files, one an image", **line
        )
        right = max(right, jpeg.bits_per_pixel[0])
    # What all of them reach, and no more: JPEG goes on to errors that no code of so few numbers has.
    axes.set_xlim(curve.bits_per_pixel[0] / 3, 2 * right)
    axes.set_ylim(curve.squared_error.min() / 8, 1.5 * curve.squared_error.max())
    _plain_numbers(axes)
    # One below the other: side by side, the longer names of models would push JPEG out of the picture.
    legend(axes, theme, loc="lower left", bbox_to_anchor=(0, 1.0))
    return figure


def _as_pixels(data: DataView) -> np.ndarray | None:
    """Images that JPEG takes, or None: examples are something else."""
    x = data.x
    if data.style is None or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[1] not in (1, 3)):
        return None
    if x.dtype != np.uint8 and not (x.min() >= 0 and x.max() <= 1):
        return None
    return x[:, 0] if x.ndim == 4 and x.shape[1] == 1 else x


def _plain_numbers(axes: Any) -> None:
    """0.1 rather than a power of ten, and no marks between decades but 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

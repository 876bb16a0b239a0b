"""A sheet of images: blocks with a heading, each of named rows of tiles, for tables whose result is to be seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..report.images import compact, grid
from ..report.style import LIGHT, new_figure, png

__all__ = ["sheet"]

GAP = 6
MARGIN = 430
"""Pixels in front of a row, for its name and a line below."""
HEADING = 64


def sheet(blocks: Mapping[str, Mapping[tuple[str, str], np.ndarray]]) -> bytes:
    """Blocks of rows of tiles, one below the other, as a PNG.

    Args:
        blocks: by heading: by name and smaller words below it, tiles (n, H, W, 3) as `isthmus.report.images` makes
            them, of one size throughout.

    Returns:
        The picture.
    """
    rows = [tiles for block in blocks.values() for tiles in block.values()]
    height, width = rows[0].shape[1:3]
    total_width = MARGIN + max(map(len, rows)) * (width + GAP) + GAP
    total_height = len(blocks) * HEADING + len(rows) * (height + GAP) + GAP
    figure = new_figure(total_width / 200, total_height / 200)
    figure.set_layout_engine("none")  # every pixel of a tile falls on a pixel of the figure
    top = 0
    for heading, block in blocks.items():
        top += HEADING
        place = 1 - (top - HEADING / 3) / total_height
        figure.text(
            12 / total_width, place, heading, ha="left", va="center", color=LIGHT.ink, fontsize=9, weight="bold"
        )
        for (name, below), tiles in block.items():
            strip = grid(tiles, len(tiles), gap=GAP)
            bottom = 1 - (top + height) / total_height
            box = (MARGIN / total_width, bottom, strip.shape[1] / total_width, height / total_height)
            axes = figure.add_axes(box)
            axes.imshow(strip, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            right, middle, line = (MARGIN - 16) / total_width, bottom + height / 2 / total_height, 15 / total_height
            above = line if below else 0
            figure.text(right, middle + above, name, ha="right", va="center", color=LIGHT.ink, fontsize=8.5)
            figure.text(right, middle - line, below, ha="right", va="center", color=LIGHT.soft, fontsize=7)
            top += height + GAP
    return compact(png(figure))

"""The standard pictures of a table: published beside measured, or curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..report.images import ImageStyle, compact, tiles
from ..report.plots import image_rows
from ..report.style import LIGHT, legend, new_figure, png, polish
from .results import Results
from .table import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["chart", "images_of_rows"]


def chart(results: Results) -> bytes | None:
    """The picture of a table as a PNG; None where nothing was run that it could show."""
    if results.table.chart is not None:
        return results.table.chart(results)
    if not results.records:
        return None
    curves = [row for row in results.table.rows if row.series and results.of_row(row.name)]
    return compact(png(_curves(results, curves) if curves else _dots(results)))


def images_of_rows(results: Results, array: str, measure: str, above: Mapping[str, str] | None = None) -> bytes | None:
    """Images that rows kept, a line a row with its label and its figure; None where none are at hand.

    Args:
        results: whose rows.
        array: name of the images, (n, pixels) in [0, 1], as the rows kept them.
        measure: name of the figure.
        above: by label: names of arrays that all rows kept alike, such as originals, to show above.
    """
    known = next(known for known in results.table.measures if known.name == measure)
    unit = " %" if known.label.endswith("%") else ""
    shown: dict[str, np.ndarray] = {}
    for row in results.table.rows:
        kept, figure = results.arrays(row.name), results.figure(row.name, measure)
        if array in kept and figure is not None:
            for label, name in (above or {}).items():
                shown.setdefault(label, kept[name])
            shown[f"{row.label}: {figure.mean:.{known.digits}f}{unit}"] = kept[array]
    if not shown:
        return None
    style = ImageStyle(0.0, 1.0, ink=True)
    side = math.isqrt(next(iter(shown.values())).shape[1])
    drawn = {label: tiles(images.reshape(-1, side, side), style) for label, images in shown.items()}
    return compact(png(image_rows(drawn)))


def _dots(results: Results) -> Figure:
    """A line a row: where it was published, and where it was measured, with its interval."""
    measure = results.table.measures[0]
    rows = [row for row in reversed(results.table.rows) if results.figure(row.name, measure.name) is not None]
    forms = ["today", "published"]
    figure = new_figure(6.4, 0.9 + 0.32 * len(rows))
    axes = polish(figure.add_subplot(), x=measure.label, grid="both")
    for y, row in enumerate(rows):
        measured = results.figure(row.name, measure.name)
        if measured is None:
            continue
        colour = LIGHT.models[forms.index(row.form)]
        if not math.isnan(measured.low):
            axes.plot([measured.low, measured.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        axes.scatter([measured.mean], [y], s=36, color=colour, zorder=3)
        if published := row.published.get(measure.name):
            axes.scatter([published.value], [y], s=44, marker="|", color=LIGHT.ink, linewidths=2, zorder=4)
    for form in dict.fromkeys(row.form for row in rows[::-1]):
        words = "measured" if form == "today" else "measured, as published"
        axes.scatter([], [], s=36, color=LIGHT.models[forms.index(form)], label=words)
    if any(measure.name in row.published for row in rows):
        axes.scatter([], [], s=44, marker="|", color=LIGHT.ink, linewidths=2, label="published")
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.3)
    return figure


def _curves(results: Results, rows: list[Row]) -> Figure:
    """A panel a measure, a curve a series."""
    table = results.table
    measures = [m for m in table.measures if any(results.figure(row.name, m.name) for row in rows)]
    figure = new_figure(max(4.6, 3.6 * len(measures)), 3.0)
    series = list(dict.fromkeys(row.series for row in rows))
    for panel, measure in enumerate(measures):
        axes = polish(figure.add_subplot(1, len(measures), panel + 1), x=table.x, y=measure.label, grid="both")
        for number, name in enumerate(series):
            points = [
                (row.at, found)
                for row in rows
                if row.series == name and row.at is not None and (found := results.figure(row.name, measure.name))
            ]
            points.sort(key=lambda point: point[0])
            places, means = [place for place, _ in points], [found.mean for _, found in points]
            colour = LIGHT.classes[number % len(LIGHT.classes)] if len(series) > 5 else LIGHT.models[number]
            axes.plot(places, means, color=colour, marker="o", markersize=4, linewidth=1.8, label=name)
            known = [(place, found) for place, found in points if not math.isnan(found.low)]
            if known:
                lows, highs = [found.low for _, found in known], [found.high for _, found in known]
                axes.fill_between([place for place, _ in known], lows, highs, color=colour, alpha=0.15, linewidth=0)
        if table.log_x:
            axes.set_xscale("log")
            axes.tick_params(which="minor", length=0)
        if panel == 0:
            legend(axes)
    return figure

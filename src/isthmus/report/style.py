"""The house style: two themes, one palette, and figures that are made without matplotlib's global state.

Colours keep apart for the colour-blind: blue, orange and grey differ in lightness as well as in hue, and the ten
colours of classes follow Petroff, and a chart always writes the classes' names beside them.

References:
    Petroff (2021). Accessible color sequences for data visualization. arXiv:2107.02270.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DARK", "LIGHT", "Theme", "class_colours", "legend", "model_colours", "new_figure", "png", "polish"]

DPI = 200
"""Pixels an inch; a page shows a figure at 100, so that it stays crisp on screens with two pixels a point."""


@dataclass(frozen=True)
class Theme:
    """Colours of the light or the dark version of a picture, as #rrggbb."""

    surface: str
    ink: str
    soft: str  # axis labels, legends
    line: str  # axes, grid
    tile: str  # the paper of ink-like images
    models: tuple[str, ...]  # from the model that a report is about, to the baselines
    classes: tuple[str, ...]


# The two versions of every picture: the same hues, light enough or dark enough for their surface.
LIGHT = Theme(
    surface="#ffffff",
    ink="#17212b",
    soft="#5a6773",
    line="#dfe4e8",
    tile="#eef1f4",
    models=("#1463b0", "#e07b12", "#7c8894", "#0f8f7e", "#a04a9c"),
    classes=(
        "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#2b3a46", "#4fb9c4"
    ),
)  # fmt: skip
# For dark surfaces.
DARK = Theme(
    surface="#161c22",
    ink="#e9eef2",
    soft="#a3afb9",
    line="#333d46",
    tile="#0e1317",
    models=("#6cb2f5", "#f5a34a", "#97a4b0", "#4cc9b6", "#d48ad0"),
    classes=(
        "#5ba6ea", "#ffb52e", "#f0614a", "#a9b8b6", "#b377e0", "#c68d7c", "#ff8533", "#cbbf86", "#eef2f5", "#92dadd"
    ),
)  # fmt: skip


def model_colours(names: Sequence[str], theme: Theme = LIGHT) -> dict[str, str]:
    """A colour for each model. The last one named is what a comparison leads up to: it has the accent."""
    return {name: theme.models[i % len(theme.models)] for i, name in enumerate(reversed(names))}


def class_colours(n: int, theme: Theme = LIGHT) -> list[str]:
    """Colours of n classes; beyond ten they repeat, and only the names written into the chart tell classes apart."""
    return [theme.classes[i % len(theme.classes)] for i in range(n)]


def new_figure(width: float, height: float, theme: Theme = LIGHT) -> Figure:
    """An empty figure, its size in inches of 100 points on a page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=theme.surface, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def polish(
    axes: Axes,
    theme: Theme = LIGHT,
    *,
    x: str = "",
    y: str = "",
    title: str = "",
    grid: Literal["", "x", "y", "both"] = "y",
) -> Axes:
    """Quiet axes: no box, thin grid lines below the data, soft labels."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.line)
    axes.set_facecolor(theme.surface)
    axes.tick_params(which="both", colors=theme.soft, labelsize=8, length=0, pad=4)
    if grid:
        axes.grid(visible=True, axis=grid, color=theme.line, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=theme.soft, fontsize=8.5)
    axes.set_ylabel(y, color=theme.soft, fontsize=8.5)
    if title:
        axes.set_title(title, color=theme.ink, fontsize=9)
    return axes


def legend(axes: Axes, theme: Theme = LIGHT, **options) -> None:
    """A legend without frame, in the soft colour."""
    options = {"frameon": False, "fontsize": 8, "labelcolor": theme.soft, "handlelength": 1.4, **options}
    axes.legend(**options)


def png(figure: Figure) -> bytes:
    """The figure as a PNG, the same bytes every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()

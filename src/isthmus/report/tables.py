"""Charts for data that are no images: how well each feature is kept, rows as colours, samples over the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .plots import shorten
from .style import LIGHT, Theme, legend, model_colours, new_figure, polish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["explained_variance", "feature_fit", "row_heatmap", "samples_over_data"]

NAMED_FEATURES = 24
"""Features up to which each has a line with its name."""

NUMBERED_ROWS, NUMBERED_FEATURES = 16, 8
"""Up to which the cells of rows as colours have room for numbers."""


def explained_variance(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Share of each feature's variance that its reconstruction explains, (d,), 1 at best; NaN for a constant."""
    variance = np.var(x, axis=0)
    error = np.mean((x - reconstruction) ** 2, axis=0)
    return np.divide(variance - error, variance, out=np.full(len(variance), np.nan), where=variance > 0)


def feature_fit(shares: Mapping[str, np.ndarray], names: Sequence[str] | None = None, theme: Theme = LIGHT) -> Figure:
    """Share of variance explained of each feature (d,), for each model: dots by name, or sorted curves if many."""
    n = len(next(iter(shares.values())))
    colours = model_colours(list(shares), theme)
    few = n <= NAMED_FEATURES
    figure = new_figure(4.0, 0.9 + 0.2 * n if few else 2.7, theme)
    axes: Axes = figure.add_subplot()
    share = "share of variance explained"
    if few:
        order = np.argsort(np.nan_to_num(list(shares.values())[-1], nan=-np.inf))
        polish(axes, theme, x=share, grid="both")
        for name, values in shares.items():
            axes.scatter(np.clip(values[order], 0, 1), np.arange(n), s=26, color=colours[name], label=name, zorder=3)
        names = names or [f"feature {i}" for i in range(n)]
        axes.set_yticks(np.arange(n), [shorten(names[i], 22) for i in order])
        axes.set_xlim(-0.03, 1.03)
        legend(axes, theme, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.2)
    else:
        polish(axes, theme, x="features, from worst to best kept", y=share)
        for name, values in shares.items():
            axes.plot(np.sort(np.clip(values[np.isfinite(values)], 0, 1)), color=colours[name], linewidth=2, label=name)
        axes.set_ylim(-0.03, 1.03)
        legend(axes, theme, loc="upper left")
    return figure


def row_heatmap(
    rows: np.ndarray,
    theme: Theme = LIGHT,
    *,
    names: Sequence[str] | None = None,
    numbers: np.ndarray | None = None,
    labels: Sequence[str] = (),
) -> Figure:
    """Standardised rows (n, d) as colours: the second colour below the mean, the accent above it.

    Args:
        rows: standardised, (n, d).
        theme: colours.
        names: of the features.
        numbers: to write into the cells where there is room, (n, d).
        labels: of the rows.
    """
    from matplotlib.colors import LinearSegmentedColormap

    written = numbers is not None and len(rows) <= NUMBERED_ROWS and rows.shape[1] <= NUMBERED_FEATURES
    figure = new_figure(4.0, max(2.4, 0.9 + 0.22 * len(rows)) if written else 2.4, theme)
    axes: Axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("signed", [theme.models[1], theme.tile, theme.models[0]])
    n = rows.shape[1]
    gap: dict[str, Any] = (
        {"edgecolors": theme.surface, "linewidth": 0.4} if n <= 2 * NAMED_FEATURES else {}
    )  # else it hid the cells
    axes.pcolormesh(rows[::-1], cmap=colours, vmin=-2.5, vmax=2.5, **gap)
    polish(axes, theme, x="" if names is not None and n <= NAMED_FEATURES else f"{n:,} features", grid="")
    axes.spines["bottom"].set_visible(False)
    axes.set_yticks([])
    axes.set_xticks([])
    if written and numbers is not None:
        for (row, column), number in np.ndenumerate(numbers[::-1]):
            at = column + 0.5, row + 0.5
            text = f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"
            axes.text(*at, text, ha="center", va="center", fontsize=6.5 if n < 7 else 5.5, color=theme.ink)
    if 0 < len(labels) <= NAMED_FEATURES:
        axes.set_yticks(np.arange(len(labels)) + 0.5, list(labels)[::-1], fontsize=7)
    if names is not None and n <= NAMED_FEATURES:
        axes.set_xticks(np.arange(n) + 0.5, [shorten(name, 14) for name in names], rotation=90, fontsize=7)
    return figure


def samples_over_data(
    data: np.ndarray,
    samples: np.ndarray,
    theme: Theme = LIGHT,
    *,
    axis_names: tuple[str, str],
    colour: str | None = None,
) -> Figure:
    """Samples (m, 2) drawn over data (n, 2), on axes that the data choose."""
    figure = new_figure(3.5, 3.6, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x=axis_names[0], y=axis_names[1], grid="")
    low, high = np.quantile(data, 0.002, axis=0), np.quantile(data, 0.998, axis=0)
    margin = 0.25 * (high - low) + 1e-12
    inside = np.clip(samples, low - margin, high + margin)  # a sample far outside lies on the border, not beyond it
    axes.scatter(
        inside[:, 0], inside[:, 1], s=16, color=colour or theme.models[0], alpha=0.5, linewidths=0, label="samples"
    )
    size = float(np.clip(2500 / len(data), 1.5, 8))
    axes.scatter(data[:, 0], data[:, 1], s=size, color=theme.ink, alpha=0.7, linewidths=0, label="data")
    axes.set_xlim(low[0] - 1.1 * margin[0], high[0] + 1.1 * margin[0])
    axes.set_ylim(low[1] - 1.1 * margin[1], high[1] + 1.1 * margin[1])
    legend(axes, theme, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, handletextpad=0.2)
    return figure

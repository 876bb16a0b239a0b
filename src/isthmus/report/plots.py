"""Charts: pure functions from arrays to a matplotlib figure. Sizes are inches of 100 points on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .images import grid
from .style import LIGHT, Theme, class_colours, legend, model_colours, new_figure, polish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "error_histogram",
    "image_rows",
    "is_classes",
    "latent_scatter",
    "loss_parts",
    "shorten",
    "training_curves",
]

MOST_CLASSES = 20
"""Labels beyond these are coloured by a scale."""


def image_rows(rows: Mapping[str, np.ndarray], theme: Theme = LIGHT, n_columns: int | None = None) -> Figure:
    """Tiles (n, H, W, 3) of each row side by side, with the row's name in front: inputs beside reconstructions.

    Args:
        rows: tiles of each row, all of one number; narrower ones are put into the middle of their place.
        theme: light or dark.
        n_columns: tiles after which all rows begin anew below; None for one block of rows.
    """
    gap, n = 6, len(next(iter(rows.values())))
    n_columns = min(n_columns or n, n)
    height, width = (max(tiles.shape[i] for tiles in rows.values()) for i in (1, 2))
    lines: list[tuple[str, np.ndarray]] = []
    for start in range(0, n, n_columns):
        lines += [
            (name, _centred(tiles[start : start + n_columns], (height, width), theme)) for name, tiles in rows.items()
        ]
    margin = 60 + 14 * max(6, *map(len, rows))  # pixels for the names
    between = 2 * gap if n > n_columns else 0  # more space between blocks than between rows
    n_blocks = -(-n // n_columns)
    total = (
        margin + n_columns * (width + gap) + gap,
        len(lines) * (height + gap) + gap + (n_blocks - 1) * between,
    )
    figure = new_figure(total[0] / 200, total[1] / 200, theme)
    figure.set_layout_engine("none")  # every pixel of a tile falls on a pixel of the figure
    for i, (name, tiles) in enumerate(lines):
        strip = grid(tiles, len(tiles), theme, gap)
        bottom = total[1] - (i + 1) * (height + gap) - i // len(rows) * between
        box = (margin / total[0], bottom / total[1], strip.shape[1] / total[0], height / total[1])
        axes = figure.add_axes(box)
        axes.imshow(strip, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        middle = (bottom + height / 2) / total[1]
        figure.text((margin - 16) / total[0], middle, name, ha="right", va="center", color=theme.ink, fontsize=9)
    return figure


def _centred(tiles: np.ndarray, size: tuple[int, int], theme: Theme) -> np.ndarray:
    """Tiles in the middle of places of a size, on the theme's surface."""
    top, left = ((place - own) // 2 for place, own in zip(size, tiles.shape[1:3], strict=True))
    around = np.empty((len(tiles), *size, 3), np.uint8)
    around[:] = [int(theme.surface[i : i + 2], 16) for i in (1, 3, 5)]
    around[:, top : top + tiles.shape[1], left : left + tiles.shape[2]] = tiles
    return around


def latent_scatter(
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    theme: Theme = LIGHT,
    *,
    axis_names: tuple[str, str] = ("code 1", "code 2"),
    prior: bool = False,
    colour: str | None = None,
) -> Figure:
    """Codes (n, 2) as points, coloured by label (n,), with each class's name at its median.

    Args:
        codes: one point an example.
        labels: classes, or numbers for a colour scale; None for one colour.
        theme: light or dark.
        axis_names: of the two axes.
        prior: draw the circles of one, two and three standard deviations of N(0, I).
        colour: of the points where there are no labels.
    """
    figure = new_figure(3.5, 3.6, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x=axis_names[0], y=axis_names[1], grid="")
    axes.set_aspect("equal", adjustable="datalim")
    order = np.random.default_rng(0).permutation(len(codes))  # no class lies on top of the others
    options: dict[str, Any] = {"s": float(np.clip(9000 / len(codes), 2.5, 14)), "alpha": 0.75, "linewidths": 0}
    points = codes[order]
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], color=colour or theme.models[0], **options)
    elif is_classes(labels):
        names, index = np.unique(labels, return_inverse=True)
        colours = class_colours(len(names), theme)
        axes.scatter(points[:, 0], points[:, 1], c=[colours[i] for i in index[order]], **options)
        _name_classes(axes, codes, names, index, colours, theme)
    else:
        shown = axes.scatter(points[:, 0], points[:, 1], c=labels[order].astype(float), cmap="viridis", **options)
        bar = figure.colorbar(shown, ax=axes, orientation="horizontal", shrink=0.6, aspect=40)
        bar.outline.set_visible(False)
        bar.set_label("label", color=theme.soft, fontsize=8.5)
        bar.ax.tick_params(colors=theme.soft, labelsize=8, length=0)
    if prior:
        from matplotlib.patches import Circle

        line: dict[str, Any] = {"color": theme.soft, "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 0}
        for radius in (1, 2, 3):
            axes.add_patch(Circle((0, 0), radius, fill=False, **line))
    return figure


def is_classes(labels: np.ndarray) -> bool:
    """Whether labels are names of classes rather than numbers on a scale."""
    if len(np.unique(labels)) > MOST_CLASSES:
        return labels.dtype.kind in "SU"
    return labels.dtype.kind != "f" or bool((labels == np.rint(labels)).all())


def _name_classes(
    axes: Axes, codes: np.ndarray, names: np.ndarray, index: np.ndarray, colours: Sequence[str], theme: Theme
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    if len(names) > MOST_CLASSES:
        return
    halo = [withStroke(linewidth=2.5, foreground=theme.surface)]
    for i, name in enumerate(names):
        x, y = np.median(codes[index == i], axis=0)
        axes.text(
            x, y, shorten(name, 14), color=theme.ink, fontsize=9.5, fontweight="bold", ha="center", va="center",
            path_effects=halo,
        )  # fmt: skip
    dots = [Line2D([], [], marker="o", linestyle="", markersize=4.5, color=colour) for colour in colours]
    longest = max(len(shorten(name, 14)) for name in names)
    columns = min(len(names), 10 if longest <= 2 else max(1, 40 // (longest + 4)))
    legend(
        axes, theme, handles=dots, labels=[shorten(name, 14) for name in names], ncols=columns, loc="upper center",
        bbox_to_anchor=(0.5, -0.15), handlelength=0.4, handletextpad=0.5, columnspacing=1.0, borderpad=0,
    )  # fmt: skip


def training_curves(
    history: Sequence[Mapping[str, Any]], name: str, theme: Theme = LIGHT, *, colour: str | None = None
) -> Figure:
    """Loss of each epoch in nats an example, on training and, where measured, validation data."""
    figure = new_figure(4.0, 2.7, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x="epoch", y="loss, nats an example")
    colour = colour or model_colours([name], theme)[name]
    epochs = _epochs(history)
    loss = np.array([record["loss"] for record in history], float)
    markers: dict[str, Any] = {"marker": "o", "markersize": 3.5} if len(history) < 4 else {}
    curves, validated = [loss], all("validation" in record for record in history)
    line = (0, (4, 2)) if validated else "-"
    axes.plot(
        epochs,
        loss,
        color=theme.soft if validated else colour,
        linewidth=1.5,
        linestyle=line,
        label="training",
        **markers,
    )
    if validated:
        validation = np.array([record["validation"] for record in history], float)
        axes.plot(epochs, validation, color=colour, linewidth=2, label="validation", **markers)
        curves.append(validation)
    _limit(axes, np.concatenate(curves))
    _whole_epochs(axes)
    legend(axes, theme, loc="upper right")
    return figure


def loss_parts(history: Sequence[Mapping[str, Any]], theme: Theme = LIGHT) -> Figure:
    """Distortion and rate of each epoch, stacked: together they are the negative bound, nats an example."""
    figure = new_figure(4.0, 2.7, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x="epoch", y="training, nats an example")
    epochs = _epochs(history)
    distortion, rate = (np.array([record[part] for record in history], float) for part in ("distortion", "rate"))
    accent, second = theme.models[:2]
    axes.fill_between(epochs, rate, color=second, alpha=0.85, linewidth=0, label="rate")
    axes.fill_between(epochs, rate, rate + distortion, color=accent, alpha=0.3, linewidth=0, label="distortion")
    axes.plot(epochs, rate + distortion, color=accent, linewidth=1.6)
    axes.set_xlim(epochs[0], max(epochs[-1], epochs[0] + 1))
    axes.set_ylim(min(0.0, 1.05 * float(distortion.min())), 1.12 * float(np.max(rate + distortion).clip(1e-9)))
    _whole_epochs(axes)
    handles, names = axes.get_legend_handles_labels()
    legend(axes, theme, handles=handles[::-1], labels=names[::-1], loc="upper right")
    return figure


def error_histogram(errors: Mapping[str, np.ndarray], theme: Theme = LIGHT, *, unit: str = "") -> Figure:
    """How the reconstruction errors (n,) of each model are spread over examples, with their means."""
    figure = new_figure(4.0, 2.7, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x="squared error of an example" + (f", {unit}" if unit else ""), y="examples")
    together = np.concatenate(list(errors.values()))
    n_bins = int(np.clip(1.2 * len(together) ** 0.5 / len(errors) ** 0.5, 8, 40))
    edges = np.linspace(0, max(float(np.quantile(together, 0.995)), 1e-12), n_bins + 1).tolist()
    for name, colour in model_colours(list(errors), theme).items():
        values = np.minimum(errors[name], edges[-1])  # the last bar holds the tail
        axes.hist(values, edges, color=colour, alpha=0.16)
        axes.hist(values, edges, color=colour, histtype="step", linewidth=1.4, label=name)
        axes.axvline(float(errors[name].mean()), color=colour, linewidth=1.1, linestyle=(0, (2, 2)))
    axes.set_xlim(0, edges[-1])
    legend(axes, theme, loc="upper right")
    return figure


def shorten(name: object, length: int) -> str:
    """A name that fits, with an ellipsis where it was cut; a dollar sign would start mathematics."""
    text = str(name.decode(errors="replace") if isinstance(name, bytes) else name).replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1] + "…"


def _epochs(history: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Epochs counted from 1."""
    first = int(history[0].get("epoch", 0))
    return np.array([int(record.get("epoch", i)) for i, record in enumerate(history)]) + (1 if first == 0 else 0)


def _whole_epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))


def _limit(axes: Axes, values: np.ndarray) -> None:
    """Leave the first epochs' peak out where it would flatten all that follows."""
    values = values[np.isfinite(values)]
    if len(values) < 20:
        return
    low, high, largest = values.min(), np.quantile(values, 0.9), values.max()
    if largest - low > 4 * (high - low) > 0:
        axes.set_ylim(low - 0.08 * (high - low), high + 1.2 * (high - low))

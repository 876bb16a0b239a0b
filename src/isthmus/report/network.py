"""The diagram of a model: layers as bars, what is between them as trapezoids, the loss beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .layers import Layer, Network
from .reparameterisation import draw_paths
from .style import LIGHT, Theme, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["network_diagram"]

BAR = 0.2  # inches, as all lengths here
SPACE = 0.92  # from the middle of a bar to that of the next one
TALLEST, SHORTEST = 2.0, 0.42
MIDDLE = 1.62  # of the bars, above the loss
TOP = 3.25
PATHS = 1.85  # height of the panels on the sampled code


def network_diagram(network: Network, theme: Theme = LIGHT) -> Figure:
    """A model as a picture: bars are layers, the taller the wider, by a power of 0.4, as widths differ much.

    Models with a sampled code have two panels below: the sampling node inside the path of the gradient, which it
    blocks, and the noise outside of it, as models are trained.

    Args:
        network: see `isthmus.report.layers.describe`.
        theme: light or dark.
    """
    stations = _stations(network)
    sampled = network.kind == "sampled" and network.encoder is not None
    width = max((len(stations) - 1) * SPACE + 2.3, 6.9 if sampled else 3.9)
    lower = PATHS if sampled else 0.0
    height = TOP + lower + (0.42 if network.n_conditions else 0.0)
    figure = new_figure(width, height, theme)
    figure.set_layout_engine("none")
    axes: Axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(-lower, height - lower)
    axes.set_axis_off()
    _draw(axes, network, stations, width, theme)
    if sampled:
        draw_paths(axes, width, -lower, theme)
    return figure


def _stations(network: Network) -> list[tuple[str, Layer]]:
    """Layers from left to right, each with the part of the model that it belongs to."""
    encoder = [("encoder", layer) for layer in network.encoder or ()]
    decoder = [("decoder", layer) for layer in network.decoder or ()]
    first = [("data", network.data)] if network.encoder is not None else []
    last = [("output", network.output)] if network.decoder is not None else []
    code = [("code", network.code)]
    if network.kind == "sampled" and network.encoder is not None:
        code = [("posterior", network.code), *code]
    return [*first, *encoder, *code, *decoder, *last]


def _draw(axes: Axes, network: Network, stations: list[tuple[str, Layer]], width: float, theme: Theme) -> None:
    from matplotlib.patches import Polygon

    sizes = [layer.size for _, layer in stations]
    tallest = max(sizes)
    left = (width - (len(stations) - 1) * SPACE) / 2
    places = [left + i * SPACE for i in range(len(stations))]
    heights = [SHORTEST + (TALLEST - SHORTEST) * (size / tallest) ** 0.4 for size in sizes]
    parts = [part for part, _ in stations]
    colours = {
        "data": theme.models[2], "encoder": theme.models[0], "posterior": theme.models[0], "code": theme.models[1],
        "decoder": theme.models[3], "output": theme.models[3],
    }  # fmt: skip
    for i in range(len(stations) - 1):
        (x, y), (h, k), after = places[i : i + 2], heights[i : i + 2], parts[i + 1]
        if parts[i] == "posterior":
            continue
        colour = colours["encoder" if after in ("encoder", "posterior", "code") else "decoder"]
        x, y = x + BAR / 2 + 0.03, y - BAR / 2 - 0.03
        corners = [(x, MIDDLE + h / 2), (y, MIDDLE + k / 2), (y, MIDDLE - k / 2), (x, MIDDLE - h / 2)]
        axes.add_patch(Polygon(corners, facecolor=colour, alpha=0.13, linewidth=0))
        label = stations[i + 1][1].label if after in ("encoder", "decoder", "code", "posterior") else ""
        _write(axes, (x + y) / 2, MIDDLE, label, theme.soft, 7.5)
    for (part, layer), x, h in zip(stations, places, heights, strict=True):
        if part == "posterior":
            _posterior(axes, x, theme)
        elif part == "code" and "posterior" in parts:
            _sampled_code(axes, x, theme)
        else:
            _bar(axes, x, h, colours[part])
        _sizes(axes, x, part, layer, network, theme)
    _headings(axes, network, parts, places, theme)
    _conditions(axes, network, parts, places, heights, theme)
    _write(axes, width / 2, 0.16, f"minimised:  {network.loss}", theme.ink, 9)


def _bar(axes: Axes, x: float, height: float, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape: Any = "round,pad=0,rounding_size=0.05"
    corner = (x - BAR / 2, MIDDLE - height / 2)
    axes.add_patch(FancyBboxPatch(corner, BAR, height, boxstyle=shape, facecolor=colour, linewidth=0))


def _posterior(axes: Axes, x: float, theme: Theme) -> None:
    """Mean and standard deviation of q(z|x), one above the other."""
    from matplotlib.patches import Circle

    for y, name in ((MIDDLE + 0.27, r"$\mu$"), (MIDDLE - 0.27, r"$\sigma$")):
        axes.add_patch(Circle((x, y), 0.2, facecolor=theme.models[0], linewidth=0))
        _write(axes, x, y, name, theme.surface, 11)


def _sampled_code(axes: Axes, x: float, theme: Theme) -> None:
    """z, made from mean, standard deviation and noise that comes from outside."""
    from matplotlib.patches import Circle

    for y in (MIDDLE + 0.27, MIDDLE - 0.27):
        _arrow(axes, (x - SPACE + 0.2, y), (x - 0.2, MIDDLE + (0.07 if y > MIDDLE else -0.07)), theme.models[0])
    axes.add_patch(Circle((x, MIDDLE), 0.22, facecolor=theme.models[1], linewidth=0))
    _write(axes, x, MIDDLE, "$z$", theme.surface, 11)
    noise: dict[str, Any] = {"edgecolor": theme.soft, "linewidth": 1, "linestyle": (0, (3, 2))}
    axes.add_patch(Circle((x, MIDDLE + 0.86), 0.18, fill=False, **noise))
    _write(axes, x, MIDDLE + 0.86, r"$\epsilon$", theme.ink, 10)
    _arrow(axes, (x, MIDDLE + 0.68), (x, MIDDLE + 0.23), theme.soft)


def _sizes(axes: Axes, x: float, part: str, layer: Layer, network: Network, theme: Theme) -> None:
    """Width of a layer, and its shape, at the foot of its bar."""
    if part == "posterior":
        text, note = f"2 × {layer.size:,}", "$q(z|x, c)$" if network.n_conditions else "$q(z|x)$"
    else:
        text, note = f"{layer.size:,}", layer.shape
    if part == "code":
        notes = {
            "point": "code $z$",
            "sampled": r"$z = \mu + \sigma\epsilon$",
            "classes": "classes",
            "density": "density",
        }
        note = notes[network.kind]
    _write(axes, x, 0.47, text, theme.ink, 8.5, va="bottom")
    _write(axes, x, 0.44, note, theme.soft, 7, va="top")


def _headings(axes: Axes, network: Network, parts: list[str], places: list[float], theme: Theme) -> None:
    """What is between data and code, and between code and output, above them."""
    y = MIDDLE + TALLEST / 2 + 0.16
    code = places[parts.index("code")]
    if network.encoder is not None:
        end = places[parts.index("posterior")] if "posterior" in parts else code
        name = {"classes": "classifier", "density": "network"}.get(network.kind, "encoder")
        _span(axes, places[0], end, y, name, theme.models[0], theme)
        _write(axes, places[0], y + 0.3, "$x$", theme.ink, 10)
    if network.kind in ("classes", "density"):
        _write(axes, code, y + 0.3, r"$p(y \mid x)$", theme.ink, 10)
    if network.decoder is not None:
        name = "decoder (tied)" if network.tied else "decoder"
        _span(axes, code, places[-1], y, name, theme.models[3], theme)
        likelihood = r"$p(x \mid z, c)$" if network.n_conditions else r"$p(x \mid z)$"
        _write(axes, places[-1], y + 0.3, likelihood if network.output.label else r"$\hat{x}$", theme.ink, 10)
        _write(axes, places[-1] + BAR, MIDDLE, network.output.label, theme.soft, 7.5, ha="left")


def _span(axes: Axes, start: float, end: float, y: float, name: str, colour: str, theme: Theme) -> None:
    axes.plot([start + BAR, end - BAR], [y, y], color=colour, linewidth=1.2, solid_capstyle="round")
    _write(axes, (start + end) / 2, y + 0.05, name, theme.soft, 8, va="bottom")


def _conditions(
    axes: Axes, network: Network, parts: list[str], places: list[float], heights: list[float], theme: Theme
) -> None:
    """What encoder and decoder are told besides, from above."""
    if not network.n_conditions:
        return
    from matplotlib.patches import Circle

    y = TOP + 0.12
    targets = [i for i in (0, parts.index("code")) if i < len(parts) - 1]
    for i in targets:
        x = places[i] + SPACE / 2
        axes.add_patch(Circle((x, y), 0.15, facecolor=theme.models[4], linewidth=0))
        _write(axes, x, y, "$c$", theme.surface, 9)
        _write(axes, x + 0.22, y, f"{network.n_conditions:,} numbers\nof the condition", theme.soft, 7, ha="left")
        _arrow(axes, (x, y - 0.16), (x, MIDDLE + (heights[i] + heights[i + 1]) / 4 + 0.03), theme.models[4])


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**style, "mutation_scale": 8})


def _write(axes: Axes, x: float, y: float, text: str, colour: str, size: float, **options: Any) -> None:
    options = {"ha": "center", "va": "center", "linespacing": 1.15, **options}
    axes.text(x, y, text, color=colour, fontsize=size, **options)

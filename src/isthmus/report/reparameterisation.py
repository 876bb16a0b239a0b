"""Two ways to sample a code in a network: where the gradient is stopped, and where it passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_paths"]

HEIGHT = 1.72
PANEL = 3.2
HALVES = (0.29, 0.25, 0.42, 0.29)  # widths of the boxes of a panel, halved


def draw_paths(axes: Axes, width: float, bottom: float, theme: Theme) -> None:
    """Draw both panels side by side: the code drawn inside the path of the gradient, and noise outside of it.

    References:
        Kingma, Welling (2014). Auto-encoding variational Bayes. ICLR, sec. 2.4.
        Doersch (2016). Tutorial on variational autoencoders. arXiv:1606.05908, fig. 4.
    """
    middle = width / 2
    axes.plot([0.2, width - 0.2], [bottom + HEIGHT] * 2, color=theme.line, linewidth=0.8)
    _panel(axes, middle - 0.15 - PANEL, bottom, theme, outside=False)
    _panel(axes, middle + 0.15, bottom, theme, outside=True)


def _panel(axes: Axes, left: float, bottom: float, theme: Theme, *, outside: bool) -> None:
    title = "noise outside of the path: trained" if outside else "sampled inside the path: not trainable"
    axes.text(left + PANEL / 2, bottom + 1.53, title, color=theme.ink, fontsize=8, ha="center", va="center")
    y = bottom + 0.68
    gap = (PANEL - 2 * sum(HALVES)) / 3
    x = [left + 2 * sum(HALVES[:i]) + half + i * gap for i, half in enumerate(HALVES)]
    _box(axes, x[0], y, "encoder", theme.models[0], theme, HALVES[0])
    _box(axes, x[1], y, "$\\mu$, $\\sigma$", theme.models[0], theme, HALVES[1])
    what = "$z = \\mu + \\sigma\\epsilon$" if outside else "$z \\sim q(z|x)$"
    _box(axes, x[2], y, what, theme.models[1], theme, HALVES[2], dashed=not outside)
    _box(axes, x[3], y, "decoder", theme.models[3], theme, HALVES[3])
    for i in range(3):
        _arrow(axes, (x[i] + HALVES[i] + 0.02, y), (x[i + 1] - HALVES[i + 1] - 0.02, y), theme.soft, 1.1)
    if outside:
        _round(axes, x[2], y + 0.56, r"$\epsilon$", theme)
        _arrow(axes, (x[2], y + 0.41), (x[2], y + 0.17), theme.soft, 1.1)
        axes.text(x[2] + 0.2, y + 0.56, r"$\sim N(0, I)$", color=theme.soft, fontsize=7, ha="left", va="center")
    low = y - 0.36
    stop = x[0] - 0.2 if outside else x[2] + 0.12
    _arrow(axes, (x[3] + 0.2, low), (stop, low), theme.models[1], 1.6)
    if not outside:
        axes.plot([x[2]], [low], marker="x", color=theme.models[1], markersize=7, markeredgewidth=2)
        text = "no gradient for the encoder"
        axes.text((x[0] + x[1]) / 2, low, text, color=theme.soft, fontsize=7, ha="center", va="center")
    axes.text(x[3] + 0.2, low - 0.14, "gradient", color=theme.models[1], fontsize=7, ha="right", va="center")


def _box(
    axes: Axes, x: float, y: float, text: str, colour: str, theme: Theme, half: float, *, dashed: bool = False
) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape: Any = "round,pad=0,rounding_size=0.06"
    line: dict[str, Any] = {"edgecolor": colour, "linewidth": 1.1, "linestyle": (0, (3, 2)) if dashed else "-"}
    axes.add_patch(FancyBboxPatch((x - half, y - 0.15), 2 * half, 0.3, boxstyle=shape, facecolor=theme.surface, **line))
    axes.text(x, y, text, color=theme.ink, fontsize=7.5, ha="center", va="center")


def _round(axes: Axes, x: float, y: float, text: str, theme: Theme) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), 0.14, facecolor=theme.surface, edgecolor=theme.soft, linewidth=1))
    axes.text(x, y, text, color=theme.ink, fontsize=9, ha="center", va="center")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**style, "mutation_scale": 9})

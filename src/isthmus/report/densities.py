"""Densities of two variables, drawn as lines that enclose a share of their mass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

__all__ = ["draw_density", "mass_levels"]


def mass_levels(log_density: np.ndarray, masses: Sequence[float]) -> list[float]:
    """Heights of a log-density on a grid above which lie the given shares of its mass, lowest first.

    Example:
        >>> [round(level, 3) for level in mass_levels(np.log([0.1, 0.2, 0.3, 0.4]), [0.5, 0.8])]
        [-1.609, -1.204]
    """
    heights = np.sort(log_density, axis=None)[::-1]
    shares = np.cumsum(np.exp(heights - heights[0]))
    shares /= shares[-1]
    return sorted(float(heights[min(np.searchsorted(shares, mass), len(heights) - 1)]) for mass in masses)


def draw_density(
    axes: Axes,
    log_density: Callable[[Tensor], Tensor],
    extent: tuple[float, float, float, float],
    colour: str,
    *,
    label: str = "",
    masses: Sequence[float] = (0.5, 0.9),
    filled: bool = False,
    n_points: int = 160,
) -> None:
    """Draw lines around the densest half and nine tenths of a density of two variables.

    Args:
        axes: to draw on.
        log_density: points (n, 2) in float64 to (n,), in nats; it need not be normalised.
        extent: left, right, bottom, top of the grid, which should hold nearly all of the mass.
        colour: of the lines.
        label: for a legend.
        masses: shares of the mass on the grid that lines enclose.
        filled: tint what is inside as well.
        n_points: of the grid along each side.
    """
    import torch

    left, right, bottom, top = extent
    x, y = np.linspace(left, right, n_points), np.linspace(bottom, top, n_points)
    points = torch.tensor(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    with torch.no_grad():
        heights = log_density(points).double().numpy().reshape(n_points, n_points)
    levels = sorted(set(mass_levels(heights, masses)))
    if filled:
        axes.contourf(x, y, heights, [*levels, np.inf], colors=colour, alpha=0.16)
    axes.contour(x, y, heights, levels, colors=colour, linewidths=1.4, linestyles="solid")
    if label:
        axes.plot([], [], color=colour, label=label)

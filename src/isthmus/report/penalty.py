"""The penalty that keeps units quiet, as a curve: the formula, and what training takes where that is infinite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..objectives.sparsity import bernoulli_kl
from .style import LIGHT, Theme, legend, new_figure, polish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["divergence", "finite_divergence", "penalty_curve"]


def penalty_curve(rho: float = 0.25, theme: Theme = LIGHT) -> Figure:
    r"""The penalty on a unit's mean activity, :math:`KL(Bernoulli(\rho) \| Bernoulli(\hat\rho))`, as a curve.

    Dashed: what training takes in its place near 0 and 1, where the divergence is infinite, and beyond, where it is
    not defined.

    Args:
        rho: activity that is asked for.
        theme: light or dark.

    Raises:
        ValueError: rho outside of (0, 1).
    """
    if not 0 < rho < 1:
        raise ValueError(f"Expected rho in (0, 1), got {rho:g}.")
    figure = new_figure(4.0, 2.9, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x="mean activity of a unit", y="penalty, nats", grid="both")
    _curves(axes, rho, np.linspace(0.001, 0.999, 999), theme)
    top = float(divergence(rho, np.array([0.01, 0.99])).max())
    axes.set_ylim(-0.04 * top, 1.7 * top)
    axes.set_xlim(-0.04, 1.04)
    axes.plot([rho], [0], marker="o", color=theme.models[0], markersize=5)
    axes.annotate(
        rf"$\rho$ = {rho:g}", (rho, 0), (0, 9), textcoords="offset points", color=theme.ink, fontsize=8.5, ha="center"
    )
    legend(axes, theme, loc="upper left", bbox_to_anchor=(0.07, 1.0))
    _near_zero(axes, rho, theme)
    return figure


def divergence(rho: float, activity: np.ndarray) -> np.ndarray:
    """KL(Bernoulli(rho) || Bernoulli(activity)) as the formula has it, nats; infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return rho * np.log(rho / activity) + (1 - rho) * np.log((1 - rho) / (1 - activity))


def finite_divergence(rho: float, activity: np.ndarray) -> np.ndarray:
    """The same as `isthmus.objectives.KLSparsity` takes it, finite everywhere, nats."""
    return bernoulli_kl(rho, torch.from_numpy(activity)).numpy()


def _curves(axes: Axes, rho: float, activity: np.ndarray, theme: Theme, beyond: float = 0.03) -> None:
    """The formula inside of (0, 1), and what is taken in its place, dashed."""
    reach = activity[-1] - activity[0]
    ends = (np.linspace(low, high, 200) for low, high in ((-beyond * reach, 0.001), (0.999, 1 + beyond * reach)))
    axes.plot(
        activity, divergence(rho, activity), color=theme.models[0], linewidth=2,
        label=rf"KL(Bernoulli({rho:g}) $\Vert$ Bernoulli)",
    )  # fmt: skip
    line: dict[str, Any] = {"color": theme.models[1], "linewidth": 1.8, "linestyle": (0, (3, 1.5))}
    for i, end in enumerate(ends):
        axes.plot(end, finite_divergence(rho, end), label="as trained: finite everywhere" if i == 0 else None, **line)


def _near_zero(axes: Axes, rho: float, theme: Theme) -> None:
    """A window on the left end, where the formula grows without bound."""
    inset: Axes = axes.inset_axes((0.27, 0.36, 0.4, 0.36))
    polish(inset, theme, grid="both")
    inset.set_facecolor(theme.surface)
    _curves(inset, rho, np.geomspace(1e-9, 0.01, 400), theme, beyond=0.3)
    inset.set_xlim(-0.002, 0.008)
    inset.set_ylim(0, 2.2 * float(divergence(rho, np.array([0.001]))[0]))
    inset.set_xticks([0.0, 0.004, 0.008])
    inset.tick_params(labelsize=6.5)
    inset.text(0.5, 1.02, "near 0", transform=inset.transAxes, color=theme.soft, fontsize=7, ha="center", va="bottom")

"""What single units of a code do: codes as images, and how active each unit is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .images import signed_tiles
from .style import LIGHT, Theme, legend, new_figure, polish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .view import ModelView

__all__ = ["Activity", "activity_bars", "as_images", "code_tiles", "unit_activity"]

DEAD = 1e-3
"""Of the largest activation of all units: a unit that stays below it on every example counts as dead."""


def as_images(codes: np.ndarray) -> np.ndarray:
    """Codes (n, k) as images (n, rows, columns), near-square: 144 numbers are 12 x 12; what is left over is NaN."""
    k = codes.shape[1]
    columns = next((c for c in range(math.isqrt(k - 1) + 1, k + 1) if k % c == 0 and 2 * c * c <= 5 * k), 0)
    columns = columns or math.isqrt(k - 1) + 1
    rows = -(-k // columns)
    padded = np.full((len(codes), rows * columns), np.nan)
    padded[:, :k] = codes
    return padded.reshape(len(codes), rows, columns)


def code_tiles(codes: np.ndarray, theme: Theme = LIGHT, size: int = 96) -> np.ndarray:
    """Tiles (n, H, W, 3) of codes (n, k): zero is the paper, the first colour above it and the second below.

    All share one scale, so that a code that is weaker than another one looks it.
    """
    return signed_tiles(as_images(codes), theme, size, together=True)


class Activity(NamedTuple):
    """How active each unit of a code is, over many examples.

    Attributes:
        values: one number a unit, in the units' order, (k,).
        what: they are, in words.
        target: what training asked for, or None.
        n_dead: units that were never active.
    """

    values: np.ndarray
    what: str
    target: float | None
    n_dead: int


def unit_activity(view: ModelView) -> Activity:
    """Activity of each unit on the examples shown.

    For a model that keeps the k largest activations, the share of examples in which a unit is kept; for one with a
    penalty on activity, what the penalty acts on; for others the mean activation, or its mean size where activations
    have a sign.
    """
    codes, estimator = view.codes, view.estimator
    size = np.abs(codes)
    dead = int((size.max(axis=0) <= DEAD * size.max()).sum())
    if (k := getattr(estimator, "k", None)) is not None:
        share = min(round(getattr(estimator, "alpha", 1.0) * k) / codes.shape[1], 1.0)
        return Activity((codes != 0).mean(axis=0), "share of examples where active", share, dead)
    if hasattr(estimator, "mean_activity"):  # of the layers that its penalty is on, as the penalty has it
        values = np.asarray(estimator.mean_activity(view.data.x))
        rests = dead if len(values) == codes.shape[1] else int((values <= DEAD * values.max()).sum())
        by_size = getattr(estimator, "penalty", "kl") == "l1"
        return Activity(values, "mean size" if by_size else "mean activity", None if by_size else estimator.rho, rests)
    if (codes >= 0).all():
        return Activity(codes.mean(axis=0), "mean activation", None, dead)
    return Activity(size.mean(axis=0), "mean size of the activation", None, dead)


def activity_bars(activity: Activity, theme: Theme = LIGHT, *, colour: str | None = None) -> Figure:
    """A bar for each unit, the most active one leftmost, and the target."""
    figure = new_figure(4.0, 2.7, theme)
    axes: Axes = figure.add_subplot()
    n = len(activity.values)
    polish(axes, theme, x=f"{n:,} units, the most active one leftmost", y=activity.what)
    gap = 0.8 if n <= 60 else 1.0
    axes.bar(np.arange(n), np.sort(activity.values)[::-1], width=gap, color=colour or theme.models[0], linewidth=0)
    axes.set_xlim(-0.75, n - 0.25)
    axes.set_xticks([])
    highest = max(float(activity.values.max()), activity.target or 0.0, 1e-12)
    axes.set_ylim(0, 1.18 * highest)
    if activity.target is not None:
        axes.axhline(
            activity.target, color=theme.models[1], linewidth=1.6, linestyle=(0, (4, 2)),
            label=f"asked for: {activity.target:.3g}",
        )  # fmt: skip
        legend(axes, theme, loc="upper right")
    dead = f"{activity.n_dead:,} of {n:,} units never active" if activity.n_dead else "each unit is active at times"
    axes.text(0.0, 1.0, dead, transform=axes.transAxes, color=theme.soft, fontsize=8, va="top")
    return figure

"""The sections on the code itself: where examples lie in it, and what is decoded from place to place."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from . import plots
from .html import Figures, Picture, Section, Strips
from .images import grid, signed_tiles
from .studio import Studio, slug
from .style import Theme
from .view import ModelView
from .words import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["codes", "decoded_plane", "latent_plane", "traversals", "walk"]


def codes(studio: Studio) -> Section:
    """Where the examples lie in each model's code."""
    data = studio.data
    coloured = "" if data.y is None else ", coloured by label"
    pictures, projected = [], False
    for view in studio.views:
        projected |= view.n_components > 2
        pictures.append(
            studio.chart(
                f"codes-{slug(view.name)}",
                lambda theme, view=view: latent_plane(view, theme, studio.colour(view.name, theme)),
                f"Codes of {len(view.codes):,} {data.noun} under {view.name}{coloured}.",
                view.name,
                _about_codes(view),
            )
        )
    text = [f"Each point is one of the {data.noun}, at its code."]
    told = [view.name for view in studio.views if view.conditional]
    if told:
        text.append(
            f"Colours are labels. {listed(told)} was told them, so that a code need not tell them again: classes may "
            "lie on top of each other."
        )
    if data.y is not None and len(told) < len(studio.views):
        others = "no other model was told" if told else "no model was told"
        text.append(f"Colours are labels, which {others}: classes that lie apart were found, not taught.")
    if projected:
        text.append("Where a code has more than two numbers, its first two principal components are shown.")
    return Section("Where the examples lie", (" ".join(text),), (Figures(tuple(pictures)),))


def latent_plane(view: ModelView, theme: Theme, colour: str | None = None, n: int | None = None) -> Figure:
    """The first n codes as points, coloured by label; principal components of codes of more than two dimensions."""
    points, names = _plane(view)
    labels = None if view.data.y is None else view.data.y[:n]
    prior = view.kind != "linear" and view.n_components == 2
    return plots.latent_scatter(points[:n], labels, theme, axis_names=names, prior=prior, colour=colour)


def _plane(view: ModelView) -> tuple[np.ndarray, tuple[str, str]]:
    """Codes in two dimensions, and the axes' names."""
    points = view.codes
    if points.shape[1] == 2:
        return points, ("code 1", "code 2")
    if points.shape[1] == 1:
        height = np.random.default_rng(0).uniform(-0.2, 0.2, len(points)) * np.ptp(points)
        return np.column_stack((points[:, 0], height)), ("code", "at random, to keep points apart")
    centred = points - points.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    share = values**2 / max(float((values**2).sum()), 1e-300)
    first, second = (f"principal component {i + 1} of the codes ({share[i]:.0%})" for i in range(2))
    return centred @ axes[:2].T, (first, second)


def _about_codes(view: ModelView) -> str:
    if view.kind == "linear":
        if hasattr(view.estimator, "posterior"):
            return "A linear code: the mean of what each example says of it, drawn towards 0 by the noise."
        return "A linear code: a rotation of the data, seen from where they are spread most."
    if view.n_components != 2:
        return f"A code is {view.n_components} numbers." if view.n_components > 2 else ""
    spread = view.codes.std(axis=0).mean()
    if view.kind == "probabilistic":
        return (
            "Dashed: one, two and three standard deviations of the prior N(0, I). A code is a small cloud, shown by "
            "its centre; all the clouds together should fill the prior."
        )
    return (
        f"Nothing asks these codes to lie anywhere: their standard deviation is {spread:.2g}. Dashed, for comparison: "
        "one, two and three standard deviations of N(0, I)."
    )


def walk(studio: Studio) -> Section | None:
    """What the decoder draws along the axes of the code; for images only."""
    data = studio.data
    if data.style is None:
        return None
    pictures = [
        _decoded_plane(studio, view) if view.n_components == 2 else _traversals(studio, view) for view in studio.views
    ]
    components = tuple(_components(studio, view) for view in studio.views if view.kind == "linear")
    text = ["What is decoded at each place of the code."]
    if any(view.n_components == 2 for view in studio.views):
        text.append(
            "The places are quantiles of a Gaussian, the prior's or one with the spread of the codes, so that each "
            "tile stands for an equal share of it; up and right are larger values, as in the scatter above."
        )
    if any(view.n_components != 2 for view in studio.views):
        text.append(
            "One row for each of the dimensions that vary most, from low to high, while the others stay at their mean."
        )
    text += [f"{v.name} is told {v.usual_condition} everywhere." for v in studio.views if v.conditional]
    blocks: list[Figures | Strips] = [Figures(tuple(pictures))]
    if components:
        caption = "What one step along each component changes, the first one leftmost: blue adds, orange takes away."
        blocks.append(Strips(components, caption))
    return Section("A walk through the code", (" ".join(text),), tuple(blocks))


def decoded_plane(view: ModelView, n: int | None = None) -> tuple[np.ndarray, int]:
    """What is decoded on a grid of about n normal quantiles of a code of two numbers, and the grid's side."""
    side = max(1, round(n**0.5)) if n else 9 if view.data.photographs else 13
    mean, scale = view.code_scale
    steps = np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)])
    first, second = np.meshgrid(steps, steps[::-1])
    return view.decode(mean + scale * np.column_stack((first.ravel(), second.ravel()))), side


def traversals(view: ModelView, n_steps: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """What is decoded along each of the dimensions that vary most, row by row, and these dimensions."""
    mean, scale = view.code_scale
    dimensions = np.argsort(-view.codes.std(axis=0), kind="stable")[:8]
    steps = np.linspace(-2.5, 2.5, n_steps)
    path = np.repeat(mean[None], len(dimensions) * n_steps, axis=0)
    for row, dimension in enumerate(dimensions):
        path[row * n_steps : (row + 1) * n_steps, dimension] += steps * scale[dimension]
    return view.decode(path), dimensions


def _decoded_plane(studio: Studio, view: ModelView) -> Picture:
    drawn, side = decoded_plane(view)
    return studio.pixels(
        f"walk-{slug(view.name)}",
        lambda theme: grid(view.data.tiles(drawn, theme, 56), side, theme, gap=2),
        f"A {side} by {side} grid of what {view.name} decodes at evenly spread places of its code.",
        view.name,
    )


def _traversals(studio: Studio, view: ModelView) -> Picture:
    drawn, dimensions = traversals(view)
    order = listed([str(d + 1) for d in dimensions])
    return studio.pixels(
        f"walk-{slug(view.name)}",
        lambda theme: grid(view.data.tiles(drawn, theme, 72), len(drawn) // len(dimensions), theme, gap=4),
        f"What {view.name} decodes along {len(dimensions)} dimensions of its code, one a row.",
        view.name,
        f"From −2.5 to 2.5 standard deviations. Dimensions, from top to bottom: {order}.",
    )


def _components(studio: Studio, view: ModelView) -> Picture:
    """What a step along each axis of a linear code changes."""
    n = min(view.n_components, 12)
    steps = view.decode(np.eye(view.n_components)[:n]) - view.decode(np.zeros((1, view.n_components)))
    return studio.pixels(
        f"components-{slug(view.name)}",
        lambda theme: grid(signed_tiles(steps, theme), n, theme),
        f"The first {n} components of {view.name}.",
        view.name,
    )

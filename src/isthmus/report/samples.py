"""The section on new examples: why one model can make them and another can't, and what a fitted prior buys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import tables
from .html import Figures, Picture, Section
from .images import grid
from .priors import bought, can_fit, own_prior, prior_names
from .studio import Studio, slug
from .style import Theme
from .view import ModelView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawn_samples", "samples"]

IN_A_ROW = 8
ON_TABLE = 400
"""Samples of a table that are drawn as points."""


def samples(studio: Studio) -> Section:
    """New examples from each model, with each distribution that its codes may be drawn from."""
    kinds = {view.kind for view in studio.views}
    text, pictures = [], []
    if any(view.kind == "deterministic" and not view.has_chains for view in studio.views):
        text.append(
            "To make a new example, decode a code that no example has. The question is where to take it from. A plain "
            "autoencoder's codes lie wherever training left them, so codes drawn from N(0, I) miss most of them, or "
            "fall between them, where the decoder was never trained. A Gaussian fitted to the codes afterwards finds "
            "their region, but not the gaps inside it; a mixture of Gaussians finds some of those, too."
        )
    if "probabilistic" in kinds:
        text.append(
            "A variational autoencoder pays for every nat by which its codes differ from the prior, so in training "
            "they come to fill it: a code drawn from the prior is one that its decoder knows. What is left of the "
            "difference shows where a mixture fitted to the codes does better than the prior."
        )
    if any(view.has_chains for view in studio.views):
        text.append(
            "A Boltzmann machine is a distribution of examples itself. New ones come at the end of a long Gibbs chain, "
            "in which hidden units are drawn given visible ones, and these given those. Beside them stand decoded "
            "draws from distributions fitted to its codes."
        )
    for view in studio.views:
        if view.kind == "linear":
            if hasattr(view.estimator, "sample"):
                pictures.append(_sampled(studio, view, None))
            continue
        if view.conditional and studio.data.style is not None and getattr(view.estimator, "classes_", None) is not None:
            pictures.append(_by_class(studio, view))
        priors = ("normal", "gaussian", "mixture") if view.kind == "deterministic" else (None, "mixture")
        priors = (None, "gaussian", "mixture") if view.has_chains else priors
        pictures += [_sampled(studio, view, prior) for prior in priors if prior is None or can_fit(view, prior)]
    if kinds != {"linear"}:
        distance = studio.data.nearest_distance(studio.data.x, itself=studio.data.seen)
        text.append(
            f"Two numbers say what a distribution of codes buys. The log-density that it gives the codes of the "
            f"{studio.data.noun}, in nats: the higher, the better it knows where codes lie. And how far a sample is "
            "from the nearest training example, as a squared error: codes off the beaten track decode to what no "
            f"example looks like. The {studio.data.noun} themselves lie {distance:.3g} from their nearest. Smaller is "
            "no better: a model that repeats what it was shown lies at 0."
        )
    small = studio.data.style is not None
    return Section("New examples", tuple(text), (Figures(tuple(pictures), small=small),) if pictures else ())


def drawn_samples(view: ModelView, theme: Theme, n: int | None = None, prior: str | None = None) -> Figure | np.ndarray:
    """Samples as a grid of images, or for tables as points over the data.

    Args:
        view: the model.
        theme: light or dark.
        n: how many; a square of them, or enough of points, where not given.
        prior: see `ModelView.samples`; None for the model's own, or a mixture where it has none.
    """
    prior = prior or own_prior(view)
    if prior is not None and not can_fit(view, prior):
        k = view.n_components
        raise ValueError(
            f"Expected {16 * k:,} training examples or more for a mixture over codes of {k} numbers, got "
            f"{len(view.data.x_train):,}; use the prior 'gaussian'."
        )
    data = view.data
    if data.style is None:
        return _over_data(view, view.samples(n or ON_TABLE, prior), theme, theme.models[0])
    classes = getattr(view.estimator, "classes_", None)
    n = n or (IN_A_ROW if classes is not None else _side(view) ** 2)
    if classes is not None and prior is None:
        drawn = np.concatenate([view.class_samples(name, n) for name in classes])
        return grid(data.tiles(drawn, theme), n, theme)
    return grid(data.tiles(view.samples(n, prior), theme), math.isqrt(n - 1) + 1, theme)


def _by_class(studio: Studio, view: ModelView) -> Picture:
    """Samples of a conditional model, one row a class."""
    drawn = np.concatenate([view.class_samples(name, IN_A_ROW) for name in view.estimator.classes_])
    return studio.pixels(
        f"samples-{slug(view.name)}-classes",
        lambda theme: grid(studio.data.tiles(drawn, theme), IN_A_ROW, theme),
        f"Samples of {view.name}, one row for each of {len(view.estimator.classes_)} classes.",
        view.name,
        "One row for each class that it was told; codes are drawn from its prior, the same in each row.",
    )


def _side(view: ModelView) -> int:
    return 6 if max(view.data.x.shape[-2:]) <= 64 else 4


def _sampled(studio: Studio, view: ModelView, prior: str | None) -> Picture:
    data = studio.data
    how = prior_names(view, prior)
    name = "-".join(filter(None, ("samples", slug(view.name), {"normal": "naive"}.get(prior or "", prior))))
    numbers = bought(view, prior)
    if data.style is not None:
        drawn = view.samples(_side(view) ** 2, prior)
        alt = f"{len(drawn)} examples decoded by {view.name} from codes drawn from {how}."
        return studio.pixels(
            name,
            lambda theme: grid(data.tiles(drawn, theme), _side(view), theme),
            alt,
            view.name,
            f"Codes drawn from {how}.{numbers}",
        )
    drawn = view.samples(ON_TABLE, prior)
    return studio.chart(
        name,
        lambda theme: _over_data(view, drawn, theme, studio.colour(view.name, theme)),
        f"{ON_TABLE} examples decoded by {view.name} from codes drawn from {how}, over the data.",
        view.name,
        f"Codes drawn from {how}.{numbers} Samples outside of the frame lie on its border.",
    )


def _over_data(view: ModelView, drawn: np.ndarray, theme: Theme, colour: str) -> Figure:
    """Samples of a table over its training rows, along their first two principal components."""
    train = view.data.table(view.data.x_train)
    _, _, axes = np.linalg.svd(train, full_matrices=False)
    axes = axes[: min(2, len(axes))]
    points, over = train @ axes.T, view.data.table(drawn) @ axes.T
    if points.shape[1] == 1:
        points, over = (np.column_stack((p, np.zeros(len(p)))) for p in (points, over))
    names = ("principal component 1", "principal component 2")
    return tables.samples_over_data(points, over, theme, axis_names=names, colour=colour)

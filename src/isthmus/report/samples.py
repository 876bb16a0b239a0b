"""The section on new examples: why one model can make them and another can't."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import tables
from .html import Figures, Picture, Section
from .images import grid
from .studio import Studio, slug
from .view import ModelView

__all__ = ["samples"]


def samples(studio: Studio) -> Section:
    """New examples from each model that can make them, and from the plain autoencoder in two ways."""
    kinds = {view.kind for view in studio.views}
    text = []
    if "deterministic" in kinds:
        text.append(
            "To make a new example, decode a code that no example has. The question is where to take it from. A plain "
            "autoencoder's codes lie wherever training left them, so codes drawn from N(0, I) miss most of them, or "
            "fall between them, where the decoder was never trained. A Gaussian fitted to the codes afterwards finds "
            "their region, but not the gaps inside it."
        )
    if "probabilistic" in kinds:
        text.append(
            "A variational autoencoder pays for every nat by which its codes differ from the prior, so in training "
            "they come to fill it: a code drawn from the prior is one that its decoder knows."
        )
    pictures = []
    for view in studio.views:
        if view.kind == "deterministic":
            pictures.append(_sampled(studio, view, view.naive_samples, "naive", "N(0, I), as for a VAE"))
            pictures.append(_sampled(studio, view, view.gaussian_samples, "gaussian", "a Gaussian fitted to its codes"))
        elif hasattr(view.estimator, "sample"):
            pictures.append(_sampled(studio, view, view.model_samples, "", "its prior"))
    return Section(
        "New examples",
        tuple(text),
        (Figures(tuple(pictures), small=studio.data.style is not None),) if pictures else (),
    )


def _sampled(studio: Studio, view: ModelView, sample: Callable[[int], np.ndarray], file: str, how: str) -> Picture:
    data = studio.data
    name = "-".join(filter(None, ("samples", slug(view.name), file)))
    if data.style is not None:
        side = 6 if max(data.x.shape[-2:]) <= 64 else 4
        drawn = sample(side * side)
        alt = f"{side * side} examples decoded by {view.name} from codes drawn from {how}."
        return studio.pixels(
            name,
            lambda theme: grid(studio.data.tiles(drawn, theme), side, theme),
            alt,
            view.name,
            f"Codes drawn from {how}.",
        )
    train = data.table(data.x_train)
    _, _, axes = np.linalg.svd(train, full_matrices=False)
    axes = axes[: min(2, len(axes))]
    points, drawn = train @ axes.T, data.table(sample(400)) @ axes.T
    if points.shape[1] == 1:
        points, drawn = (np.column_stack((p, np.zeros(len(p)))) for p in (points, drawn))
    return studio.chart(
        name,
        lambda theme: tables.samples_over_data(
            points, drawn, theme, axis_names=("principal component 1", "principal component 2"),
            colour=studio.colour(view.name, theme),
        ),
        f"400 examples decoded by {view.name} from codes drawn from {how}, over the data.",
        view.name,
        f"Codes drawn from {how}. Samples outside of the frame lie on its border.",
    )  # fmt: skip

"""The sections on the inside of a model: its network, what its units look for, and how active they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .filters import kernel_size
from .html import Figures, Picture, Section, Strips
from .images import png_width
from .kinds import KINDS, Wish
from .studio import Studio, slug
from .units import unit_activity
from .view import ModelView

__all__ = ["networks", "units"]

FEWEST_UNITS = 9
"""Of a code that is worth an image."""


def units(studio: Studio) -> Section | None:
    """Codes as images, filters and activities, of networks whose codes have units enough."""
    strips: list[Picture] = []
    figures: list[Picture] = []
    for view in studio.views:
        if view.kind == "linear" or not hasattr(view.estimator, "transform"):
            continue
        figures += _filters(studio, view)
        if view.n_components >= FEWEST_UNITS:
            strips.append(_codes(studio, view))
            figures.append(_activity(studio, view))
    text = "A unit is one number of a code, or of the layer before it. What does each of them look for, and how often?"
    blocks = ([Strips(tuple(strips), _ABOUT_CODES)] if strips else []) + ([Figures(tuple(figures))] if figures else [])
    return Section("What the units do", (text,), tuple(blocks)) if blocks else None


_ABOUT_CODES = (
    "Codes as images, a square for each unit: paper is zero, blue is above it, orange below. A unit has the same place "
    "in all of them, and nearness of squares means nothing."
)


def _codes(studio: Studio, view: ModelView) -> Picture:
    n = view.n_components
    alt = f"Codes of eight {studio.data.noun} under {view.name} as images of {n} squares."
    return studio.chart(f"code-images-{slug(view.name)}", _drawer("codes", view), alt, view.name)


def _filters(studio: Studio, view: ModelView) -> list[Picture]:
    try:
        KINDS["filters"].check(view)
        studio_pixels: Any = _drawer("filters", view)
        kernel = kernel_size(view.estimator)
        what = "weights of the first layer, one tile a unit"
        if kernel is not None:
            what = f"kernels of the first convolution, {kernel[0]} × {kernel[1]} pixels each"
        return [
            studio.pixels(
                f"filters-{slug(view.name)}",
                studio_pixels,
                f"Filters of {view.name}: {what}.",
                f"{view.name}: filters",
                f"{what[0].upper()}{what[1:]}: blue where it wants a pixel bright, orange where dark, each tile scaled "
                "by its own largest weight.",
            )
        ]
    except ValueError:  # examples are no images, or the first layer does not see them as such
        return []


def _activity(studio: Studio, view: ModelView) -> Picture:
    found = unit_activity(view)
    n = len(found.values)
    caption = f"On {len(view.codes):,} {studio.data.noun}."
    if found.n_dead:
        caption += f" {found.n_dead:,} of {n:,} units never are active: the code has room that it does not use."
    elif found.target is not None:
        caption += " Each unit is active at times."
    return studio.chart(
        f"sparsity-{slug(view.name)}",
        _drawer("sparsity", view),
        f"{found.what.capitalize()} of each of {n:,} units of {view.name}, from {found.values.max():.3g} down to "
        f"{found.values.min():.3g}.",
        f"{view.name}: how active its units are",
        caption,
    )


def networks(studio: Studio) -> Section | None:
    """The diagram of each model that has a network."""
    pictures, sampled = [], False
    for view in studio.views:
        if getattr(view.estimator, "model_", None) is None:
            continue
        try:
            draw = _drawer("network", view)
            name = f"network-{slug(view.name)}"
            picture = studio.chart(name, draw, f"Diagram of the layers of {view.name}.", view.name)
            pictures.append(replace(picture, width=png_width(picture.light) // 2))
        except (ValueError, AttributeError):  # a model of one's own that has other parts
            continue
        sampled |= view.kind == "probabilistic"
    if not pictures:
        return None
    text = ["Bars are layers with their widths; below them is what training makes small, in nats an example."]
    if sampled:
        text.append(
            "A code that is drawn at random would stop the gradient on its way back to the encoder. So the noise is "
            "drawn outside of the path, and the code is computed from it: what reaches the encoder is then an unbiased "
            "estimate of the gradient."
        )
    return Section("The network", (" ".join(text),), (Strips(tuple(pictures)),))


def _drawer(kind: str, view: ModelView) -> Any:
    return lambda theme: KINDS[kind].draw(view, theme, Wish())

"""The section that compares examples with what comes back through the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import plots, tables
from .html import Figures, Picture, Section, Strips
from .images import grid
from .studio import Studio, slug
from .style import LIGHT, Theme, png
from .words import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["reconstructions"]


def reconstructions(studio: Studio) -> Section:
    """Examples beside what each model draws from their codes, and how the errors are spread."""
    data, views = studio.data, studio.views
    errors = {view.name: view.errors for view in views}
    unit = "pixels in [0, 1]" if data.style is not None and data.style.low == 0 else ""
    means = listed([f"{name} {values.mean():.3g}" for name, values in errors.items()])
    histogram = studio.chart(
        "errors",
        lambda theme: plots.error_histogram(errors, theme, unit=unit),
        f"Histogram of the squared errors of {len(data.x):,} {data.noun}; means: {means}.",
        "How the errors are spread",
        "Each example has an error of its own, summed over its features; dashed lines are means. The last bar holds "
        "all that lies further out. A long tail means that a few examples are rebuilt much worse than the rest: an "
        "anomaly detector would report those.",
    )
    if data.style is None:
        return _table_reconstructions(studio, histogram)
    text = (
        f"Above, {data.noun}; below, what each model rebuilds from the code alone. What differs did not fit through "
        "the code.",
    )
    chosen = _compared(studio, data.chosen, "reconstructions")
    last = views[-1]
    worst = np.argsort(-last.errors, kind="stable")[: len(data.chosen)]
    hardest = _compared(studio, worst, "hardest")
    caption = f"The {len(worst)} {data.noun} that {last.name} rebuilds worst: unusual ones, and look-alikes of others."
    return Section(
        "Rebuilt from the code",
        text,
        (Strips(chosen), *_denoised(studio), Strips(hardest, caption), Figures((histogram,))),
    )


def _denoised(studio: Studio) -> list[Strips]:
    """For each model that was trained on corrupted examples: such ones, and what it makes of them."""
    blocks, data, rows = [], studio.data, studio.data.chosen
    for view in studio.views:
        if not hasattr(view.estimator, "corrupt"):
            continue
        clean = data.measured(data.x)
        before, after = (np.square(data.measured(x) - clean).sum(axis=1).mean() for x in (view.noisy, view.denoised))
        pictures = {"Input": data.x[rows], "Noisy": view.noisy[rows], "Denoised": view.denoised[rows]}
        strips = tuple(
            studio.pixels(
                "",
                lambda theme, x=x: grid(data.tiles(x, theme), len(x), theme),
                f"{len(x)} {data.noun}, {name.lower()}.",
                name,
            )
            for name, x in pictures.items()
        )
        studio.files[f"denoised-{slug(view.name)}.png"] = png(
            plots.image_rows({name: data.tiles(x, LIGHT) for name, x in pictures.items()}, LIGHT)
        )
        caption = (
            f"{view.name} was shown noisy examples and asked for the clean ones. The squared error falls from "
            f"{before:.3g} to {after:.3g} in the mean."
        )
        blocks.append(Strips(strips, caption))
    return blocks


def _compared(studio: Studio, rows: np.ndarray, file: str) -> tuple[Picture, ...]:
    """A strip of inputs and one of reconstructions for each model; as a file, all of them with names."""
    pictures = {"Input": studio.data.x[rows]} | {view.name: view.reconstructions[rows] for view in studio.views}

    def labelled(theme: Theme) -> Figure:
        return plots.image_rows({name: studio.data.tiles(x, theme) for name, x in pictures.items()}, theme)

    studio.files[f"{file}.png"] = png(labelled(LIGHT))
    strips = []
    for name, x in pictures.items():
        alt = f"{len(rows)} inputs." if name == "Input" else f"The same {len(rows)} as {name} rebuilds them."
        strips.append(studio.pixels("", lambda theme, x=x: grid(studio.data.tiles(x, theme), len(x), theme), alt, name))
    return tuple(strips)


def _table_reconstructions(studio: Studio, histogram: Picture) -> Section:
    data = studio.data
    x = data.table(data.x)
    shares = {view.name: tables.explained_variance(x, data.table(view.reconstructions)) for view in studio.views}
    overall = listed([f"{name} {np.nanmean(values):.0%}" for name, values in shares.items()])
    fit = studio.chart(
        "features",
        lambda theme: tables.feature_fit(shares, data.feature_names, theme),
        f"Share of each feature's variance that survives the code, in the mean: {overall}.",
        "What is kept of each feature",
        "1 is perfect; 0 is no better than the feature's mean.",
    )
    rows = {"Input": data.x[data.chosen]} | {view.name: view.reconstructions[data.chosen] for view in studio.views}
    maps = tuple(
        studio.chart(
            f"rows-{slug(name)}",
            lambda theme, x=x: tables.row_heatmap(data.table(x), theme, names=data.feature_names),
            f"{name}: {len(x)} rows as colours, one column a feature.",
            name,
        )
        for name, x in rows.items()
    )
    text = (
        f"Each line of the coloured tables is one of the {data.noun}, each column a feature in units of its spread. "
        "Compare the input with what comes back through the code.",
    )
    return Section("Rebuilt from the code", text, (Figures(maps), Figures((fit, histogram))))

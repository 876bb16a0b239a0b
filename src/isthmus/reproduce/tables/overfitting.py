"""Claim: a plain autoencoder overfits where it has more parameters than data; noise, sparsity and contraction help."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...report.images import compact
from ...report.style import LIGHT, legend, new_figure, png, polish
from ..claims import halved, log_axis, some_images, trained
from ..data import unit
from ..results import Results
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

NARROW: dict[str, Any] = {"hidden": (512,), "n_components": 32, "learning_rate": 1e-3}
WIDE: dict[str, Any] = {"hidden": (), "n_components": 400, "code_activation": "sigmoid", "tied": True} | {
    "learning_rate": 3e-3
}

SERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "small": ("32 linear units", NARROW | {"model": "plain", "hidden": ()}),
    "plain": ("deep, code of 32", NARROW | {"model": "plain"}),
    "denoising": (
        "deep, code of 32, denoising",
        NARROW | {"model": "denoising", "chosen": "strength", "among": (0.1, 0.25, 0.5)},
    ),
    "wide": ("code of 400", WIDE | {"model": "plain"}),
    "wide-denoising": (
        "code of 400, denoising",
        WIDE | {"model": "denoising", "chosen": "strength", "among": (0.1, 0.25, 0.5)},
    ),
    "wide-sparse": (
        "code of 400, sparse",
        WIDE | {"model": "sparse", "rho": 0.05, "chosen": "sparsity_weight", "among": (0.03, 0.3, 3.0)},
    ),
    "wide-contractive": (
        "code of 400, contractive",
        WIDE | {"model": "contractive", "chosen": "contraction", "among": (0.01, 0.1, 1.0)},
    ),
}
SIZES = (100, 500, 2000, 10_000)


def _errors(job: Job) -> dict[str, Any]:
    """Squared errors of clean test and training images; the strength of a penalty is chosen on validation images."""
    job, settings = halved(job), dict(job.settings)
    x, _ = some_images(job, settings.pop("n_images"))
    name, among = settings.pop("chosen", None), settings.pop("among", (None,))
    models = {value: trained(job, x, **settings, **({name: value} if name else {})) for value in among}
    chosen = min(models, key=lambda value: models[value].squared_error(unit(job.data.x_valid)).mean())
    model = models[chosen]
    test, train = model.squared_error(unit(job.data.x_test)), float(np.mean(model.squared_error(x)))
    return {"test_error": test, "train_error": train} | ({"chosen": chosen} if name else {})


PANELS = {"a narrow code": ("small", "plain", "denoising")} | {
    "a code wider than the image": ("wide", "wide-denoising", "wide-sparse", "wide-contractive")
}


def _chart(results: Results) -> bytes | None:
    """Errors of test images, and dashed those of training images, a panel a width of the code."""
    if not results.records:
        return None
    figure = new_figure(8.4, 3.8)
    first = None
    for panel, (title, names) in enumerate(PANELS.items()):
        axes = figure.add_subplot(1, len(PANELS), panel + 1, sharey=first)
        first = first or axes
        polish(axes, x="training images", y="" if panel else "squared error of an image", grid="both")
        axes.set_title(title, fontsize=9, color=LIGHT.ink)
        for number, name in enumerate(names):
            for measure, style in (("test_error", "-"), ("train_error", ":")):
                points: Any = [(n, f.mean) for n in SIZES if (f := results.figure(f"{name}-{n}", measure))]
                label = SERIES[name][0] if style == "-" else None
                colour = LIGHT.models[number]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", markersize=4, label=label)
        log_axis(axes, SIZES)
        axes.plot([], [], ":", color=LIGHT.soft, label="of training images")
        legend(axes)
    return compact(png(figure))


TABLE = Table(
    name="overfitting",
    title="Overfitting, and what helps",
    about="""
The claim: a plain autoencoder overfits where it has more parameters than data; noise in its input, sparsity or a
contractive penalty help, so that even a code wider than the data is of use.

Images of MNIST, averaged to 14 x 14 pixels. Squared error, summed over the 196 pixels, of all 10,000 test images and
of the training images, all of them clean, against the number of training images; every model is trained for 1,500
steps of 100 images.

- A code of 32 linear units, 13,000 parameters; and a deep one, 196-512-32 and back, 235,000 parameters, plain and
  with masked inputs.
- A code of 400 sigmoid units, wider than the image, one layer with tied weights, 79,000 parameters: plain, with
  masked inputs, with a sparse code (mean activity 0.05) and with a contractive penalty.

Each strength, of masking (0.1, 0.25, 0.5), sparsity (0.03, 0.3, 3 nats) and contraction (0.01, 0.1, 1), is the best
one on the validation images, for each number of images anew. One seed: the intervals are over test images, not over
the choice of training images.
""",
    findings="""
**That it overfits holds for the deep network.** With 100 images it repeats them with an error of
{plain-100[train_error]} and others with {plain-100[test_error]}, more than 32 linear units have
({small-100[test_error]}) with a twentieth of its parameters. By 10,000 images the gap is closed:
{plain-10000[train_error]} and {plain-10000[test_error]}.

**It holds only in part for the wide code.** It overfits too, {wide-100[train_error]} against {wide-100[test_error]},
but its test error is below that of all narrow ones at every size: a code wider than the image may pass everything on,
and passing on is what generalises. That it does so says nothing of what its units have learned.

**That noise helps holds for the deep network at 100 images alone**: {denoising-100[test_error]} instead of
{plain-100[test_error]}; at 500 it is {denoising-500[test_error]} instead of {plain-500[test_error]}, and
{denoising-10000[test_error]} instead of {plain-10000[test_error]} at 10,000.

**Noise, sparsity and contraction do not lower the error of clean test images with the wide code**: at 100 images it
is {wide-denoising-100[test_error]}, {wide-sparse-100[test_error]} and {wide-contractive-100[test_error]} against
{wide-100[test_error]} without, at 10,000 {wide-denoising-10000[test_error]}, {wide-sparse-10000[test_error]} and
{wide-contractive-10000[test_error]} against {wide-10000[test_error]}. The strengths that were chosen there are the
smallest on offer, so weaker ones would come nearer to none, and none is best by this measure. The gap between
training and test images does shrink, as training images come back worse. What noise and sparsity are for shows in
[features](features.md), not in repeating clean images.
""",
    measures=(
        Measure("test_error", "squared error of a test image"),
        Measure("train_error", "of a training image"),
    ),
    rows=tuple(
        Row(
            f"{name}-{n_images}",
            f"{label}; {n_images:,} images",
            _errors,
            settings | {"n_images": n_images, "n_steps": 1500},
            seeds=1,
            series=label,
            at=n_images,
        )
        for name, (label, settings) in SERIES.items()
        for n_images in SIZES
    ),
    small={"n_images": 60, "n_steps": 3, "hidden": (), "n_components": 8, "among": (0.1,)},
    chart=_chart,
)

"""Claim: features that were learned without labels help a classifier, most of all where labels are few."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...estimators import PCA
from ...report.images import compact
from ...report.style import LIGHT, legend, new_figure, png, polish
from ..claims import halved, log_axis, some_images, trained
from ..classification import feature_errors
from ..results import Results
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

LABELS = (100, 300, 1000, 10_000)
STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def _features(job: Job, x: np.ndarray, settings: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """From rows to features, which are learned from all images without labels."""
    if settings["model"] == "pixels":
        return lambda rows: rows
    if settings["model"] == "pca":
        return PCA(settings["n_components"]).fit(x).transform
    return trained(job, x, **settings).transform


def _errors(job: Job) -> dict[str, Any]:
    """Test errors of logistic regressions on features of the first so many images."""
    job, settings = halved(job), dict(job.settings)
    labels, strengths = settings.pop("labels"), settings.pop("strengths")
    x, y = some_images(job, settings.pop("n_images"))
    transform = _features(job, x, settings)
    return {
        f"error_{name}": feature_errors(job, transform, x[:n], y[:n], strength=strengths, max_iter=1000)
        for name, n in zip(LABELS, labels, strict=True)
    }


def _chart(results: Results) -> bytes | None:
    """Error against the number of labels, a curve a kind of features."""
    if not results.records:
        return None
    figure = new_figure(5.6, 3.6)
    axes = polish(figure.add_subplot(), x="labels", y="test error, %", grid="both")
    for number, row in enumerate(row for row in results.table.rows if results.of_row(row.name)):
        found = [f for n in LABELS if (f := results.figure(row.name, f"error_{n}")) is not None]
        colour = LIGHT.classes[number]
        style: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.8, "label": row.label}
        axes.plot(LABELS, [f.mean for f in found], color=colour, **style)
        if not any(math.isnan(f.low) for f in found):
            axes.fill_between(LABELS, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.12, lw=0)
    log_axis(axes, LABELS)
    legend(axes)
    return compact(png(figure))


PROBE: dict[str, Any] = {"labels": LABELS, "strengths": STRENGTHS, "n_images": 10_000}
NETWORK: dict[str, Any] = PROBE | {"hidden": (512,), "n_components": 64, "learning_rate": 1e-3, "n_steps": 1500}
WIDE: dict[str, Any] = PROBE | {"hidden": (), "n_components": 500, "learning_rate": 1e-3, "n_steps": 1500, "tied": True}

TABLE = Table(
    name="features",
    title="Features help a classifier",
    about="""
The claim: what a model learned of images without labels helps a classifier, most of all where labels are few.

10,000 images of MNIST, averaged to 14 x 14 pixels, are seen without labels; a logistic regression learns from the
first 100 to 10,000 of them with their labels, on pixels, on principal components, and on codes of models of about
1,500 steps (15 passes). Features are divided by their standard deviations; the regression's penalty is chosen on the
validation images, one of four, for each number of labels. Sizes and the amount of noise were not searched. Error is
on all 10,000 test images.
""",
    findings="""
**Holds, for most features, and where labels are few most of all.** With 100 labels a logistic regression makes
{pixels[error_100]} % errors on pixels, {autoencoder[error_100]} % on an autoencoder's 64 numbers,
{denoising[error_100]} % on a denoising one's and {k-sparse[error_100]} % on 500 k-sparse units. With 1,000 it is
{pixels[error_1000]}, {autoencoder[error_1000]}, {denoising[error_1000]} and {k-sparse[error_1000]} %.

With 10,000 labels narrow codes have nothing left to give: {autoencoder[error_10000]} % and {denoising[error_10000]} %
against {pixels[error_10000]} %. Wide ones do, as there are more features to weigh: {wide-denoising[error_10000]} %
with noise, {k-sparse[error_10000]} % k-sparse.

**Does not hold for PCA**, {pca[error_100]} % and {pca[error_10000]} %: divided by their standard deviations, as all
features are here, its last components, noise for the most part, count as much as its first. Nor clearly for the VAE,
{vae[error_100]} % and {vae[error_10000]} %, whose unused units are scaled up in the same way.
""",
    measures=tuple(Measure(f"error_{n}", f"error with {n:,} labels, %") for n in LABELS),
    rows=(
        Row("pixels", "pixels", _errors, PROBE | {"model": "pixels"}),
        Row("pca", "PCA, 64", _errors, PROBE | {"model": "pca", "n_components": 64}),
        Row("autoencoder", "autoencoder, 64", _errors, NETWORK | {"model": "plain"}),
        Row("denoising", "denoising, 64", _errors, NETWORK | {"model": "denoising", "strength": 0.4}),
        Row("vae", "VAE, 64", _errors, NETWORK | {"model": "vae"}),
        Row(
            "wide-denoising",
            "denoising, one layer of 500",
            _errors,
            WIDE | {"model": "denoising", "code_activation": "sigmoid", "strength": 0.4},
        ),
        Row("k-sparse", "k-sparse, one layer of 500", _errors, WIDE | {"model": "k-sparse", "k": 25, "alpha": 3.0}),
    ),
    chart=_chart,
    small={"labels": (30, 40, 50, 60), "strengths": (0.01, 0.1), "n_images": 100, "n_steps": 3, "hidden": ()}
    | {"n_components": 8, "k": 3},
)

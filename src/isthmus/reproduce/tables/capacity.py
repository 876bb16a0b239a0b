"""Claim: the marginal likelihood chooses how many dimensions a code should have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...estimators import ProbabilisticPCA
from ...evaluation import active_units
from ...report.images import compact
from ...report.style import LIGHT, legend, new_figure, png, polish
from ..claims import halved, log_axis, some_images, trained
from ..data import unit
from ..results import Results
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

N_TRUE, N_FEATURES = 5, 20


def drawn_rows(n_rows: int, seed: int) -> np.ndarray:
    """Rows of a linear-Gaussian model of 5 dimensions in 20 features, noise of variance 1, (n_rows, 20)."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.standard_normal((N_FEATURES, N_TRUE)))[0]
    loadings = directions * np.sqrt(np.arange(N_TRUE, 0, -1) + 1.0)
    generator = np.random.default_rng((1, seed))
    codes = generator.standard_normal((n_rows, N_TRUE))
    return codes @ loadings.T + generator.standard_normal((n_rows, N_FEATURES))


def _linear(train: np.ndarray, test: np.ndarray, n_components: int) -> dict[str, Any]:
    """Exact log-likelihood of held-out rows, and that of training rows less what BIC takes for each parameter."""
    model = ProbabilisticPCA(n_components).fit(train)
    n, n_features = train.shape
    n_parameters = n_features * (n_components + 1) - n_components * (n_components - 1) // 2 + 1
    penalty = n_parameters * math.log(n) / (2 * n)
    return {"evidence": model.score_samples(test), "bic": float(model.score_samples(train).mean() - penalty)}


def _known(job: Job) -> dict[str, Any]:
    """Data whose number of dimensions is known."""
    n = job.settings["n_rows"]
    rows = drawn_rows(n + 10_000, job.seed)
    return _linear(rows[:n], rows[n:], job.settings["n_components"])


def _images(job: Job) -> dict[str, Any]:
    """Images, whose number of dimensions nobody knows."""
    job = halved(job)
    x, _ = some_images(job, job.settings["n_images"])
    return _linear(x, unit(job.data.x_test), job.settings["n_components"])


def _vae(job: Job) -> dict[str, Any]:
    """Bound, importance-weighted log-likelihood and units in use on test images, drawn black and white."""
    job, settings = halved(job), dict(job.settings)
    x, _ = some_images(job, settings.pop("n_images"))
    n_importance = settings.pop("n_importance_samples")
    model = trained(job, x, model="vae", binarisation="dynamic", **settings)
    test = unit(job.data.x_test)[:2000]
    return {
        "evidence": model.score_samples(test, n_importance_samples=n_importance),
        "bound": model.score_samples(test),
        "active": float(active_units(model.transform(test)).sum()),
    }


PANELS: dict[str, tuple[str, dict[str, str]]] = {
    "known": ("drawn from 5 dimensions", {"evidence": "held-out rows", "bic": "BIC"}),
    "images": ("probabilistic PCA of images", {"evidence": "held-out images", "bic": "BIC"}),
    "vae": ("VAE of images", {"evidence": "importance-weighted", "bound": "the bound"}),
}


def _chart(results: Results) -> bytes | None:
    """Log-likelihoods against the size of the code, a panel a kind of data and model; a ring around each maximum."""
    if not results.records:
        return None
    figure = new_figure(10.0, 3.1)
    for panel, (kind, (title, curves)) in enumerate(PANELS.items()):
        axes = figure.add_subplot(1, len(PANELS), panel + 1)
        polish(axes, x="dimensions of the code", y="" if panel else "nats a row", grid="both")
        axes.set_title(title, fontsize=9, color=LIGHT.ink)
        rows = [row for row in results.table.rows if row.series == kind and results.of_row(row.name)]
        for number, (measure, label) in enumerate(curves.items()):
            points: Any = [(row.at, found.mean) for row in rows if (found := results.figure(row.name, measure))]
            if not points:
                continue
            axes.plot(*zip(*points, strict=True), color=LIGHT.models[number], marker="o", markersize=4, label=label)
            best = max(points, key=lambda point: point[1])
            axes.scatter(*best, s=90, facecolors="none", edgecolors=LIGHT.models[number], linewidths=1.6)
        if kind != "known":
            log_axis(axes, [row.at or 0 for row in rows])
        if kind == "images" and axes.lines:
            top = max(f.mean for row in rows for m in curves if (f := results.figure(row.name, m)))
            axes.set_ylim(0, 1.15 * max(top, 1.0))  # too many dimensions are far below
        if axes.lines:
            legend(axes)
    return compact(png(figure))


NETWORK: dict[str, Any] = {"hidden": (256,), "learning_rate": 2e-3, "n_images": 20_000, "n_steps": 4000} | {
    "n_importance_samples": 300
}

TABLE = Table(
    name="capacity",
    title="The marginal likelihood chooses the size of the code",
    about="""
The claim: the marginal likelihood, or a bound on it, says how many dimensions a code should have. What training rows
lose is no guide, as it always falls with more dimensions.

- Rows drawn from a linear-Gaussian model of 5 dimensions in 20 features, 300 of them: probabilistic PCA, whose log
  p(x) is exact, on 10,000 held-out rows, and the Bayesian information criterion, the training rows' log p(x) less
  log(n) / 2n for each parameter, an approximation of the log evidence.
- The same for 1,000 images of MNIST, averaged to 14 x 14 pixels, whose number of dimensions nobody knows.
- VAEs of 20,000 such images (196-256-D and back, 4,000 steps; pixels drawn black or white): the bound, the
  importance-weighted log-likelihood with 300 samples, and how many units are in use, on 2,000 test images. Nothing
  was searched.
""",
    findings="""
**Holds where the model is of the right kind.** For rows drawn from 5 dimensions both the exact log p(x) of held-out
rows and BIC are greatest at 5: {known-4[evidence]}, {known-5[evidence]} and {known-6[evidence]} nats at 4, 5 and 6,
and {known-4[bic]}, {known-5[bic]} and {known-6[bic]} by BIC. The dimensions were strong ones; weak ones may be
missed.

**Holds only for held-out rows where it is not.** Images are no linear-Gaussian data. Held-out images go on gaining to
120 dimensions, {images-120[evidence]} nats, and then fall off a cliff, {images-160[evidence]} at 160, out of the
picture: pixels that are black in all of 1,000 training images leave next to no noise, and a test image with ink there
has a density of almost nothing. BIC doesn't see it and asks for more: {images-120[bic]} and {images-160[bic]}.

**Holds for the VAE**, one seed: {vae-2[evidence]}, {vae-5[evidence]} and {vae-10[evidence]} nats with 2, 5 and 10
dimensions, and no gain after that, {vae-20[evidence]} with 20 and {vae-50[evidence]} with 50. Too many dimensions
cost little, as the model switches some off: of 50, {vae-50[active]} are in use, of 20 {vae-20[active]}. The bound is
lower by half a nat to one, the more so the wider the code, and so prefers a narrower one: {vae-10[bound]} with 10,
{vae-20[bound]} with 20.
""",
    measures=(
        Measure("evidence", "log p(x) of a held-out row, nats"),
        Measure("bic", "BIC, as nats a training row"),
        Measure("bound", "the bound, nats"),
        Measure("active", "units in use", 0),
    ),
    rows=(
        *(
            Row(f"known-{d}", f"drawn rows, {d}", _known, {"n_components": d, "n_rows": 300}, series="known", at=d)
            for d in (1, 2, 3, 4, 5, 6, 7, 8, 10)
        ),
        *(
            Row(f"images-{d}", f"images, {d}", _images, {"n_components": d, "n_images": 1000}, series="images", at=d)
            for d in (5, 10, 20, 40, 80, 120, 160)
        ),
        *(
            Row(f"vae-{d}", f"VAE, {d}", _vae, NETWORK | {"n_components": d}, series="vae", at=d, seeds=1)
            for d in (2, 5, 10, 20, 50)
        ),
    ),
    chart=_chart,
    small={"n_components": 2, "n_rows": 30, "n_images": 60, "hidden": (8,), "n_steps": 3, "n_importance_samples": 3},
)

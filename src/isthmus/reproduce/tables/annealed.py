"""Claim: annealed importance sampling finds log p(x) of a decoder to within half a nat, and says so itself."""

from __future__ import annotations

from typing import Any

import torch

from ...data.binarise import binarise_data
from ...estimators import VAE
from ...evaluation import annealed_gap, annealed_log_likelihood, importance_log_likelihood
from ...evaluation.annealed_measures import spread_rows
from ...report.images import compact
from ...report.style import LIGHT, new_figure, png, polish
from ..claims import log_axis
from ..data import all_training, unit
from ..results import Results
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

GAPS = {"gap_30": 30, "gap_100": 100, "gap_300": 300, "gap_1000": 1000}


def _annealed(job: Job) -> dict[str, Any]:
    """A VAE, whose log p(x) of the same test images is taken from the encoder and from the prior."""
    settings = dict(job.settings)
    n_images, n_samples, steps = (settings.pop(name) for name in ("n_images", "n_importance_samples", "temperatures"))
    model = VAE(likelihood="bernoulli", binarisation="dynamic", schedule="cosine", **settings)
    model.set_params(random_state=job.seed, verbose=job.verbose)
    model.fit(unit(all_training(job.data)[0]), folder=job.place("model"), resume=True)
    x_test = unit(binarise_data(job.data, seed=0).x_test)
    rows = torch.from_numpy(x_test[spread_rows(len(x_test), n_images).numpy()])
    gaps = {
        name: annealed_gap(model.model_, rows, n, seed=job.seed).numpy() for name, n in zip(GAPS, steps, strict=True)
    }
    annealed = annealed_log_likelihood(model.model_, rows, steps[-1], seed=job.seed).log_likelihood
    weighted = importance_log_likelihood(model.model_, rows, n_samples, seed=job.seed).log_likelihood
    found = {"annealed": annealed, "weighted": weighted, "gain": annealed - weighted}
    return gaps | {name: values.numpy() for name, values in found.items()}


def _chart(results: Results) -> bytes | None:
    """The gap against the number of temperatures."""
    if not results.records:
        return None
    figure = new_figure(5.4, 3.1)
    axes = figure.add_subplot()
    polish(axes, x="temperatures", y="upper less lower bound, nats", grid="both")
    points = [(n, results.figure("mnist", name)) for name, n in GAPS.items()]
    shown = [(n, found.mean) for n, found in points if found is not None]
    axes.plot(*zip(*shown, strict=True), color=LIGHT.models[0], marker="o", markersize=4)
    axes.axhline(0.5, color=LIGHT.soft, linewidth=0.8, linestyle="--")
    log_axis(axes, list(GAPS.values()))
    return compact(png(figure))


TABLE = Table(
    name="annealed",
    title="How far annealed importance sampling of a VAE is off",
    about="""
The claim: log p(x) of a decoder can be had without its encoder, by annealed importance sampling from the prior of the
code to its posterior, and on simulated images it can be checked from both sides. Forward chains give a lower bound in
expectation; of an image that the model made, the code that it was made from is an exact draw of the posterior, and
chains from there to the prior give an upper one (Wu and others, 2017). What is wanted is a gap within half a nat.

A VAE of MNIST with 50 components, 784-200-200-50 and back, tanh, pixels drawn anew at every step. The gap is the mean
over 100 images that the model made, with 16 chains each and two gradients of the decoder at each temperature;
temperatures and step sizes are set for each image by a short run of other chains. Then 100 test images, evenly spread:
log p(x) with the most temperatures, beside 5,000 importance samples from the encoder for the same images. Two
gradients were chosen among 1, 2, 5 and 10, at as many gradients in all, on eight simulated images of another run.
""",
    findings="""
- **{mnist[gap_1000]} nats with 1,000 temperatures**, where half a nat was wanted; {mnist[gap_300]} with 300,
  {mnist[gap_100]} with 100 and {mnist[gap_30]} with 30. Each temperature costs an image 32 passes through the decoder
  and back, 16 chains with two gradients each.
- On test images annealing finds {mnist[annealed]} nats and 5,000 importance samples from the encoder
  {mnist[weighted]}, a difference of {mnist[gain]}: both are lower bounds in expectation, and annealing, which is not
  helped by the encoder, is not to be below by more than its gap.
- Test images are not those that the model makes: the gap is a check of the chains, and no bound on their error there.
- The time below is of a machine that was busy with other work, and is of all four gaps together with the training.
""",
    reference="Wu, Burda, Salakhutdinov, Grosse (2017). On the quantitative analysis of decoder-based generative "
    "models. ICLR.",
    measures=(
        *(Measure(name, f"gap, {n:,} temperatures, nats") for name, n in reversed(GAPS.items())),
        Measure("annealed", "log p(x) of test images, annealed, nats"),
        Measure("weighted", "the same by 5,000 importance samples"),
        Measure("gain", "difference, nats"),
    ),
    rows=(
        Row(
            "mnist",
            "VAE, 50 components",
            _annealed,
            {"n_components": 50, "hidden": (200, 200), "activation": "tanh", "learning_rate": 2e-3, "max_epochs": 10}
            | {"temperatures": (30, 100, 300, 1000), "n_images": 100, "n_importance_samples": 5000},
            seeds=1,
        ),
    ),
    chart=_chart,
    small={"n_components": 2, "hidden": (8,), "max_epochs": 1, "temperatures": (2, 3, 4, 5), "n_images": 4}
    | {"n_importance_samples": 5},
)

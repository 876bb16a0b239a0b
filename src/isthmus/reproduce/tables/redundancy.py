"""Claim: denoising needs redundancy in the input, and what kind of redundancy a network can use is a matter of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..claims import halved, some_images, trained
from ..data import unit
from ..table import Job, Measure, Row, Table

__all__ = ["TABLE"]

PIXELS = {
    "images": "images",
    "shuffled": "pixels in another order",
    "independent": "independent pixels",
}
LOSSES = {"masking": "half of the pixels hidden", "blocks": "a rectangle hidden"}


def _arranged(x: np.ndarray, pixels: str) -> np.ndarray:
    """Rows with their pixels as they are, in another order, or independent of each other."""
    generator = np.random.default_rng(0)
    if pixels == "shuffled":
        return x[:, generator.permutation(x.shape[1])]
    return generator.permuted(x, axis=0) if pixels == "independent" else x


def _restored(job: Job) -> dict[str, Any]:
    """Squared error on hidden pixels of test images, in per cent of that of each pixel's mean."""
    job, settings = halved(job), dict(job.settings)
    shape = job.data.feature_shape
    pixels = settings.pop("pixels")
    x = _arranged(some_images(job, settings.pop("n_images"))[0], pixels)
    model = trained(job, x.reshape(len(x), *shape), model="denoising", emphasis=(1.0, 0.0), **settings)
    clean = _arranged(unit(job.data.x_test), pixels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        seen, hidden = (part.numpy() for part in model.corruption_.draw(torch.from_numpy(clean)))
    guess = model.reconstruct(seen.reshape(len(seen), *shape)).reshape(seen.shape)
    error = (np.square(guess - clean) * hidden).sum(1)
    constant = (np.square(x.mean(0) - clean) * hidden).sum(1)
    return {"share": 100 * error / constant.mean()}


def _row(pixels: str, loss: str, architecture: str) -> Row:
    networks: dict[str, dict[str, Any]] = {
        "mlp": {"architecture": "mlp", "hidden": (512,)},
        "conv": {"architecture": "conv", "hidden": (16, 32)},
    }
    settings = networks[architecture] | {"n_components": 64, "learning_rate": 1e-3, "n_steps": 1500, "n_images": 10_000}
    what = "fully connected" if architecture == "mlp" else "convolutional"
    return Row(
        f"{pixels}-{loss}-{architecture}",
        f"{PIXELS[pixels]}; {LOSSES[loss]}; {what}",
        _restored,
        settings | {"corruption": loss, "strength": 0.5 if loss == "masking" else 0.25, "pixels": pixels},
        seeds=1,
    )


TABLE = Table(
    name="redundancy",
    title="Denoising needs redundancy",
    about="""
The claim: a denoising autoencoder restores what it doesn't see from what it sees, so the input must be redundant.

10,000 images of MNIST, averaged to 14 x 14 pixels, in three forms: as they are; with their pixels in another order,
the same for all images, which takes nothing away but neighbourhood; and with each pixel's values shuffled over the
images, so that every pixel keeps its distribution, and no pixel says anything of another. Hidden is either half of
the pixels at random, or a rectangle of a quarter of the image (of the shuffled image: what is hidden lies scattered
over the digit). Hidden pixels are black, and the training counts them alone. Denoising autoencoders with a code of
64, of one layer of 512 units or of two convolutions, 1,500 steps of 100 images; nothing was searched.

The measure is the squared error on the hidden pixels of the 10,000 test images, in per cent of the error of the best
guess that doesn't look at the image: each pixel's mean. 100 means that nothing was restored.
""",
    findings="""
**Holds.** Where pixels are independent nothing can be restored: the error on hidden pixels is
{independent-masking-mlp[share]} % of that of the pixel's mean, and {independent-blocks-mlp[share]} % for a rectangle.
The training itself finds the mean, and no more. Of images, {images-masking-mlp[share]} % is left with half of the
pixels hidden.

What a network can use of the redundancy is a matter of the network:

- A fully connected one doesn't know which pixels are neighbours, so another order of the pixels changes nothing:
  {shuffled-masking-mlp[share]} % against {images-masking-mlp[share]} %.
- A convolutional one relies on neighbourhood, and loses most of what it could restore: {shuffled-masking-conv[share]}
  % against {images-masking-conv[share]} %. It was, at these sizes and steps, no better than the fully connected one
  on the images either: both have a code of 64 numbers, and 14 x 14 pixels are few.

What is hidden matters as much. A rectangle of a quarter of the image takes away the near pixels, those that say most,
and leaves {images-blocks-mlp[share]} % of the error, more than half of the pixels at random do. In the shuffled image
the same rectangle is a quarter of the pixels at random, and {shuffled-blocks-mlp[share]} % is left. So occlusion is
the harder task not for how much it hides, but for where.
""",
    measures=(Measure("share", "error on hidden pixels, % of the pixel mean's", 1),),
    rows=(
        *(_row(pixels, loss, "mlp") for loss in LOSSES for pixels in PIXELS),
        *(_row(pixels, loss, "conv") for loss in LOSSES for pixels in ("images", "shuffled")),
    ),
    small={"n_images": 60, "n_steps": 3, "hidden": (8,), "n_components": 4},
)

"""Layer-wise pre-training of 784-500-500-500 on MNIST, against plain PyTorch in the style of lectures and tutorials.

The same three denoising autoencoders (a quarter of the inputs masked, sigmoid units, untied weights, cross-entropy
summed over features), epochs, batches of 128 and Adam at 1e-3 in all. Two loops in plain PyTorch: the one of tutorials,
a `DataLoader` whose batches go through the frozen layers below at every step, and the same without both, which slices
tensors and computes the codes below once. Isthmus trains as `StackedAutoencoder` does; all run on the CPU. One
evaluator measures all: the squared error of each layer's reconstruction of its own clean inputs, summed over features,
mean over examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from isthmus.estimators.pretraining import make_layers, train_layers
from isthmus.training import Scaling
from measure import SEED, interleaved, main, mnist, ratio, shown

BATCH, LEARNING_RATE, MASKED = 128, 1e-3, 0.25


class Size(NamedTuple):
    rounds: int
    n_images: int
    epochs: int
    widths: tuple[int, ...] = (784, 500, 500, 500)


Pair = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""A layer: from its inputs to codes, and back to probabilities."""


# --- contestants --------------------------------------------------------------------------------


def isthmus(images: np.ndarray, size: Size) -> list[Pair]:
    """Estimators, one after the other, with whatever compiling is worth it, its time included."""
    n_layers = len(size.widths) - 1
    layers = make_layers(
        ["denoising"] * n_layers,
        size.widths,
        ["sigmoid"] * n_layers,
        likelihood="bernoulli",
        scaling=Scaling(scale=255.0),
        title="layers",
        seed=SEED,
        max_epochs=size.epochs,
        batch_size=BATCH,
        device="cpu",
    )
    train_layers(layers, images.reshape(len(images), -1))
    models = [layer.model_ for layer in layers]
    return [
        (lambda x, model=model: model.encoder(x).mean, lambda h, model=model: model.decoder(h).mean)
        for model in models
    ]  # fmt: skip


class Layer(nn.Module):
    """A denoising autoencoder as a lecture writes it."""

    def __init__(self, n_inputs: int, n_units: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(n_inputs, n_units), nn.Linear(n_units, n_inputs)

    def encode(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.up(x))

    def decode(self, h: Tensor) -> Tensor:
        return torch.sigmoid(self.down(h))

    def loss(self, x: Tensor) -> Tensor:
        noisy = x * (torch.rand_like(x) >= MASKED)
        logits = self.down(self.encode(noisy))
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


def trained(layer: Layer, batches: Callable[[], Iterator[Tensor]], epochs: int) -> None:
    """The loop of tutorials, with the running loss that they print."""
    optimiser = torch.optim.Adam(layer.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        total = 0.0
        for x in batches():
            loss = layer.loss(x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()


def through_layers(data: TensorDataset, below: list[Layer]) -> Iterator[Tensor]:
    """An epoch of a `DataLoader`, whose batches go through the layers below."""
    for (x,) in DataLoader(data, BATCH, shuffle=True):
        with torch.no_grad():
            for layer in below:
                x = layer.encode(x)
        yield x


def sliced(x: Tensor) -> Iterator[Tensor]:
    """An epoch of slices."""
    return (x[index] for index in torch.randperm(len(x)).split(BATCH))


def tutorial(images: np.ndarray, size: Size) -> list[Pair]:
    """A `DataLoader`, and the layers below run at every step."""
    data = TensorDataset(torch.from_numpy(images).flatten(1).float() / 255)
    layers: list[Layer] = []
    for n_inputs, n_units in zip(size.widths[:-1], size.widths[1:], strict=True):
        layer = Layer(n_inputs, n_units)
        trained(layer, partial(through_layers, data, layers), size.epochs)
        layers.append(layer)
    return [(layer.encode, layer.decode) for layer in layers]


def plain(images: np.ndarray, size: Size) -> list[Pair]:
    """Without a `DataLoader`, and the codes below computed once: the best that the same loop can be."""
    x = torch.from_numpy(images).flatten(1).float() / 255
    layers = []
    for n_inputs, n_units in zip(size.widths[:-1], size.widths[1:], strict=True):
        layers.append(Layer(n_inputs, n_units))
        trained(layers[-1], partial(sliced, x), size.epochs)
        with torch.no_grad():
            x = layers[-1].encode(x)
    return [(layer.encode, layer.decode) for layer in layers]


CONTESTANTS = {"isthmus": isthmus, "tutorial": tutorial, "plain PyTorch": plain}


# --- the contest --------------------------------------------------------------------------------


@torch.no_grad()
def errors(layers: list[Pair], images: np.ndarray) -> list[float]:
    """Squared error of each layer's reconstruction of its inputs, mean over examples."""
    x, found = torch.from_numpy(images).flatten(1).float() / 255, []
    for encode, decode in layers:
        h = encode(x)
        found.append(round(float((decode(h) - x).square().sum(1).mean()), 3))
        x = h
    return found


def layers(size: Size) -> dict[str, Any]:
    """Seconds of the whole pre-training, and what each layer has learned in them."""
    images, test = mnist()["x_train"][: size.n_images], mnist()["x_test"][:2000]
    found: dict[str, list[float]] = {}

    def contestant(name: str) -> Callable[[], None]:
        def run() -> None:
            torch.manual_seed(SEED)
            found[name] = errors(CONTESTANTS[name](images, size), test)

        return run

    seconds = interleaved({name: contestant(name) for name in CONTESTANTS}, size.rounds)
    results = {
        "widths": size.widths,
        "images": len(images),
        "epochs": size.epochs,
        "batch": BATCH,
        "seconds": {name: round(float(np.median(values)), 3) for name, values in seconds.items()},
        "squared_error_of_layers": found,
        "times_as_fast": {name: ratio(seconds[name], seconds["isthmus"]) for name in ("tutorial", "plain PyTorch")},
    }
    for name in CONTESTANTS:
        print(f"{name:<14} {results['seconds'][name]:7.2f} s, squared error of the layers {found[name]}")
    for name, times in results["times_as_fast"].items():
        print(f"against {name}: {shown(times)} as fast")
    return results


FULL = Size(rounds=5, n_images=20_000, epochs=3)
TINY = Size(rounds=1, n_images=200, epochs=1, widths=(784, 8, 8, 8))

if __name__ == "__main__":
    main("pretraining", __doc__, {"layers": layers}, FULL, TINY)

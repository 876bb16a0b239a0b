"""Training the family against the lectures' own style: the same networks, losses, batches and epochs, in turn.

The plain loop reads images one by one through a loader, as torchvision's MNIST does, and minimises the same sums with
the same optimiser; what it ends with, the squared error of test images, stands beside the speed. Isthmus compiles its
steps in the first epoch, which is counted for neither. `selection` is the share of a step that choosing the k largest
takes.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.heads import BernoulliHead, PointHead, TopKHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import Reconstruction
from isthmus.training import Rows, Scaling
from isthmus.training.step import Step
from measure import interleaved, main, mnist, rate, ratio, shown
from models import D
from workers import workers

BATCH = 100
MEMBERS = ("autoencoder", "denoising", "sparse", "k-sparse", "VAE")
SELECTION_AIM = 0.15


class Size(NamedTuple):
    rounds: int
    n_images: int
    n_test: int
    n_steps: int
    compile: bool = True


def contest_of(member: str, size: Size) -> dict[str, Any]:
    """Speeds, their ratio round by round, and what both end with."""
    with workers() as start, TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        np.savez(data, x=mnist()["x_train"][: size.n_images], x_test=mnist()["x_test"][: size.n_test])
        task = {"member": member, "data": str(data), "epochs": size.rounds + 1, "batch": BATCH, "compile": size.compile}
        contestants = {who: start("worker_family.py") for who in ("isthmus", "plain PyTorch")}
        for who, worker in contestants.items():
            worker.ask("train", who=who, **task)
        takes_turn = {who: (lambda worker=worker: worker.ask("epoch")) for who, worker in contestants.items()}
        interleaved(takes_turn, 1)
        seconds = interleaved(takes_turn, size.rounds)
        errors = {who: round(worker.ask("finish")["squared_error"], 3) for who, worker in contestants.items()}
    results = {
        "images_per_second": {who: rate(size.n_images, values) for who, values in seconds.items()},
        "times_as_fast": ratio(seconds["plain PyTorch"], seconds["isthmus"]),
        "squared_error": errors,
        "epochs": size.rounds + 1,
        "images": size.n_images,
    }
    print(f"{member}: {shown(results['times_as_fast'])} as fast as plain PyTorch, squared errors {errors}")
    return results


def selection(size: Size) -> dict[str, Any]:
    """The share of a training step that goes into choosing the k largest and watching how often each unit is chosen.

    Steps with and without the choice, which are else the same, in turn.
    """
    rows = Rows(torch.from_numpy(mnist()["x_train"][:BATCH]).flatten(1))
    results = {}
    for n_units, k in ((144, 44), (144, 10), (1000, 25), (1000, 40)):
        heads = {"plain": PointHead(D, n_units), "k-sparse": TopKHead(D, n_units, k)}
        steps = {name: _step(head, n_units, size) for name, head in heads.items()}
        numbers = iter(range(10**9))

        def turn(step: Step, numbers: Any = numbers) -> None:
            for _ in range(size.n_steps):
                step(rows, next(numbers), 1e-3)

        takes_turn = {name: (lambda step=step: turn(step)) for name, step in steps.items()}
        interleaved(takes_turn, 1)
        seconds = interleaved(takes_turn, size.rounds)
        shares = ratio(list(np.array(seconds["k-sparse"]) - np.array(seconds["plain"])), seconds["k-sparse"])
        results[f"{n_units} units, k = {k}"] = {"share_of_step": shares}
        print(f"{n_units} units, k = {k}: {shown(shares, percent=True)} of the step (aim below {SELECTION_AIM:.0%})")
    return results | {"aim": SELECTION_AIM}


def _step(head: PointHead, n_units: int, size: Size) -> Step:
    encoder = Conditional(MLP(D), head)
    model = LatentVariableModel(encoder, Conditional(MLP(n_units), BernoulliHead(n_units, D)), None)
    return Step(model, Reconstruction(), Scaling(scale=255.0), seed=0, full_size=BATCH, compile=size.compile)


PARTS = {name: (lambda size, name=name: contest_of(name, size)) for name in MEMBERS} | {"selection": selection}
FULL = Size(rounds=6, n_images=20_000, n_test=2_000, n_steps=150)
TINY = Size(rounds=1, n_images=256, n_test=50, n_steps=2, compile=False)

if __name__ == "__main__":
    main("family", __doc__, PARTS, FULL, TINY)

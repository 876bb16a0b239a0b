"""The worker that trains with Isthmus: `fit`, held at the beginning of each epoch until its turn comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from isthmus.objectives import ELBO
from isthmus.training import Rows, Scaling, Schedule, Settings, fit
from models import tensors_of, vae
from workers import Line, Turns, serve


@dataclass(frozen=True)
class TakingTurns(Schedule):
    """A constant learning rate, asked for before each step: the place to wait at without touching the loop."""

    steps_per_epoch: int = 1
    turns: ClassVar[Turns]  # no field: settings are copied and written down, which a pipe can't be

    def __call__(self, step: int, total: int) -> float:
        """1, once the epoch may begin."""
        if step % self.steps_per_epoch == 0:
            self.turns.next_epoch()
        return super().__call__(step, total)


def train(
    line: Line, network: str, data: str, out: str, epochs: int, batch: int, precision: str, device: str, compile: bool
) -> None:
    """Train on uint8 images, one epoch a turn; the weights go to a file."""
    turns = TakingTurns.turns = Turns(line)
    x = torch.from_numpy(np.load(data)["x"]).flatten(1)
    schedule = TakingTurns(steps_per_epoch=-(-len(x) // batch))
    settings = Settings(
        max_epochs=epochs, batch_size=batch, learning_rate=1e-3, schedule=schedule, precision=precision, device=device,
        compile=compile,
    )  # fmt: skip
    model = vae(network)
    fit(model, ELBO(), Rows(x), settings, scaling=Scaling(scale=255.0))
    turns.report()
    line.receive()
    np.savez(out, *tensors_of(model.cpu()))
    line.send(saved=True)


if __name__ == "__main__":
    serve({"train": train})

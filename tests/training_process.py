"""A training run that other processes kill."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from isthmus.files import write_tensors
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.objectives import ELBO
from isthmus.priors import StandardNormal
from isthmus.training import Rows, Scaling, Schedule, Settings, fit
from isthmus.training.checkpoint import checkpoints


def train(folder: Path) -> None:
    """A run that uses all that a checkpoint must hold, on from the newest; writes weights and history at its end."""
    pixels = torch.from_numpy(load_digits().data.astype(np.uint8))
    torch.manual_seed(0)
    encoder = Conditional(nn.Sequential(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU()), GaussianHead(24, 4))
    decoder = Conditional(nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Dropout(0.1)), BernoulliHead(24, 64))
    model = LatentVariableModel(encoder, decoder, StandardNormal(4))
    settings = Settings(
        max_epochs=99, batch_size=32, learning_rate=2e-2, schedule=Schedule(warm_up=10), clip_norm=50.0,
        average=0.8, patience=4, device="cpu", compile=False, seed=5, checkpoint_steps=3,
    )  # fmt: skip
    history = fit(
        model, ELBO(warm_up=30), Rows(pixels[:300], weight=1.0 + torch.arange(300) % 3), settings,
        scaling=Scaling(scale=16.0), validation=pixels[300:700], folder=folder, resume=True,
    )  # fmt: skip
    write_tensors(folder / "result", model.state_dict(), {"history": history})


def killed(folder: Path, kills: int, seed: int) -> None:
    """Kill runs at random moments, from their first instant on, going on with each until it is over; then the next.

    In the folder each run has its own. Prints, for each kill, the run, the step that it had saved, and whether it was
    writing a file.
    """
    moments = random.Random(seed)
    number, began = 0, time.monotonic()
    waited(forked(folder / "undisturbed"))
    longest = (time.monotonic() - began) / 8  # so that a run is killed more than ten times
    while kills:
        run = folder / str(number)
        child = forked(run)
        time.sleep(moments.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        if waited(child):
            kills -= 1
            print(number, reached(run), bool(list(run.rglob(".*tmp"))), flush=True)
        else:  # it was over before
            number += 1
    train(folder / str(number))


def forked(folder: Path) -> int:
    """The id of a process that trains; it starts at once, as all it needs is imported here."""
    if not (child := os.fork()):
        train(folder)
        os._exit(0)
    return child


def waited(child: int) -> bool:
    """Whether it was killed; an error in it ends all."""
    _, status = os.waitpid(child, 0)
    if status not in (0, signal.SIGKILL):
        raise SystemExit(f"a run ended with status {status}")
    return os.WIFSIGNALED(status)


def reached(folder: Path) -> int:
    """The step of the newest checkpoint."""
    found = checkpoints(folder)
    return int(found[-1].stem.removeprefix("step-")) if found else 0

"""Work on a file larger than the memory it gets, in a process that says how much it took.

`growth(what, file, folder)` prints as JSON the growth of resident memory, in bytes, above what the interpreter and the
libraries take. `what` is "fit" (go on from the newest checkpoint in the folder to the end of two epochs, then write
the weights) or "estimate" (all that estimators do with rows).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from isthmus import PCA, VAE
from isthmus.data import Shards
from isthmus.files import write_tensors
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import ELBO
from isthmus.priors import StandardNormal
from isthmus.training import Rows, Settings, fit

BUFFER_BYTES = 2**23
BATCH_SIZE = 512


def memory(name: str) -> int:
    """VmRSS, what is resident now, or VmHWM, the most that ever was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def train(rows: Shards | Rows, folder: Path, max_epochs: int = 2) -> LatentVariableModel:
    """Two epochs, with checkpoints in mid-epoch."""
    torch.manual_seed(0)
    n = rows.shape[1] if isinstance(rows, Shards) else rows.x.shape[1]
    encoder = Conditional(MLP(n, (16,)), GaussianHead(16, 4))
    model = LatentVariableModel(encoder, Conditional(MLP(4, (16,)), BernoulliHead(16, n)), StandardNormal(4))
    settings = Settings(
        max_epochs=max_epochs,
        batch_size=BATCH_SIZE,
        learning_rate=1e-2,
        device="cpu",
        compile=False,
        checkpoint_steps=20,
    )
    fit(model, ELBO(), rows, settings, folder=folder, resume=True)
    return model


def estimate(rows: Shards) -> None:
    """Fit, encode, rebuild and score: results of a row are a number or two."""
    vae = VAE(2, hidden=(16,), max_epochs=1, batch_size=BATCH_SIZE, patience=1, random_state=0, compile=False)
    vae.fit(rows)
    vae.transform(rows)
    vae.score_samples(rows)
    PCA(2).fit(rows).squared_error(rows)


def growth(what: str, file: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    small = np.random.default_rng(0).random((3000, 64))
    estimate(Shards(small, buffer_bytes=2**16))  # what libraries load and allocate at their first use
    before = memory("VmRSS")
    if what == "fit":
        weights = train(Shards(file, buffer_bytes=BUFFER_BYTES), folder).state_dict()
        write_tensors(folder / "result", weights, {})
    else:
        estimate(Shards(file, buffer_bytes=BUFFER_BYTES))
    print(json.dumps({"before": before, "growth": memory("VmHWM") - before}))

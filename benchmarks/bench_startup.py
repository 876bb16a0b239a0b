"""What a user waits for before anything happens: imports, help, and the way from `fit` to its first step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.objectives import ELBO
from isthmus.training import Rows, Scaling, Settings, fit
from measure import main
from models import vae
from workers import NO_CACHE


class Size(NamedTuple):
    repeats: int
    compile: bool


COMMANDS = {
    "python, nothing": [sys.executable, "-c", "pass"],
    "import isthmus": [sys.executable, "-c", "import isthmus"],
    "isthmus --help": [sys.executable, "-m", "isthmus", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
    "from isthmus import VAE": [sys.executable, "-c", "from isthmus import VAE"],
    "isthmus train vae --help": [sys.executable, "-m", "isthmus", "train", "vae", "--help"],
}


def command(arguments: list[str], repeats: int) -> float:
    """Median seconds of a whole process."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    return round(float(np.median(seconds)), 3)


def first_step(compile: bool) -> float:
    """Seconds of `fit` for one step on 60,000 rows: checks, fingerprint, shuffle, first pass, and compiling."""
    rows = Rows(torch.randint(0, 256, (60_000, 784), dtype=torch.uint8))

    class Done(Exception):
        pass

    model, start = vae(), time.perf_counter()

    class FirstStep(ELBO):
        """Stops the run as soon as its second step begins."""

        def prepare(self, batch):
            if not torch.compiler.is_compiling() and batch.step is not None and int(batch.step) == 1:
                raise Done
            return batch

    try:
        if compile:
            one = Rows(rows.x[:128])
            fit(model, ELBO(), one, Settings(max_epochs=1, compile=True, device="cpu"), scaling=Scaling(scale=255.0))
        else:
            settings = Settings(max_epochs=1, compile=False, device="cpu")
            fit(model, FirstStep(), rows, settings, scaling=Scaling(scale=255.0))
    except Done:
        pass
    return round(time.perf_counter() - start, 3)


def waiting(size: Size) -> dict[str, Any]:
    """Seconds of each."""
    seconds = {name: command(arguments, size.repeats) for name, arguments in COMMANDS.items()}
    first_step(compile=False)  # whatever torch does once in a process
    seconds["fit to first step, eager"] = first_step(compile=False)
    if size.compile:
        os.environ |= NO_CACHE
        seconds["fit to first step, compiled"] = first_step(compile=True)
    for name, value in seconds.items():
        print(f"{name:<30} {value:.3f} s")
    return {"seconds": seconds}


FULL, TINY = Size(repeats=5, compile=True), Size(repeats=1, compile=False)

if __name__ == "__main__":
    main("startup", __doc__, {"waiting": waiting}, FULL, TINY)

"""Encoding and scoring rows of MNIST's test set, against pythae and the limit; memory above the data.

The limit is the matrix products alone: the encoder's two for `transform`, and the decoder's two for `score_samples`.
pythae's equivalents are `embed`, which also decodes, and the loss, of which it tells the mean. Memory is what a process
of its own takes at its peak above what it held with the data loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus import VAE
from measure import SEED, contest, interleaved, main, mnist, rate, ratio, shown
from models import D, H, K, LogVarianceHead, tensors_of, vae
from workers import PEERS


class Size(NamedTuple):
    rounds: int
    n_rows: int
    memory_rows: tuple[int, ...]


def fitted(n_rows: int = 1280) -> VAE:
    """A VAE 784-512-20, trained for a moment: how well it is trained changes no time."""
    x = mnist()["x_train"][:n_rows]
    return VAE(K, hidden=(H,), max_epochs=1, compile=False, device="cpu", random_state=SEED).fit(x)


def products(rows: int, score: bool) -> Callable[[], None]:
    """The matrix products of encoding so many rows, and of decoding them."""
    x, h, z = (torch.randn(rows, width) for width in (D, H, K))
    w1, w2, w3, w4 = (torch.randn(*shape) for shape in ((H, D), (2 * K, H), (H, K), (D, H)))

    @torch.inference_mode()
    def contestant() -> None:
        x @ w1.T, h @ w2.T
        if score:
            z @ w3.T, h @ w4.T

    return contestant


def rows_per_second(size: Size) -> dict[str, Any]:
    """Isthmus on uint8 images as they came and on floats in [0, 1], pythae on the floats that it takes."""
    x = mnist()["x_test"][: size.n_rows].reshape(size.n_rows, -1)
    floats, model = (x / 255).astype(np.float32), fitted()
    contestants: dict[str, Callable[[], Any]] = {
        "transform": lambda: model.transform(x),
        "transform, floats": lambda: model.transform(floats),
        "score_samples": lambda: model.score_samples(x),
        "limit of transform": products(size.n_rows, score=False),
        "limit of score_samples": products(size.n_rows, score=True),
    }
    with contest() as (start, folder, versions):
        if "left_out" not in versions:
            np.savez(folder / "weights.npz", *tensors_of(vae(posterior=LogVarianceHead)))
            np.savez(folder / "rows.npz", x=floats)
            worker = start("worker_peers.py", PEERS)
            worker.ask("load", weights=str(folder / "weights.npz"), data=str(folder / "rows.npz"))
            contestants["pythae, embed"] = lambda: worker.ask("embed")
            contestants["pythae, loss"] = lambda: worker.ask("score")
        interleaved(contestants, 1)
        seconds = interleaved(contestants, size.rounds)
    results = {
        "peers": versions,
        "rows": size.n_rows,
        "rows_per_second": {name: rate(size.n_rows, values) for name, values in seconds.items()},
        "share_of_limit": {
            name: ratio(seconds[f"limit of {name}"], seconds[name]) for name in ("transform", "score_samples")
        },
    }
    if "pythae, embed" in seconds:
        results["times_as_fast_as_pythae"] = {
            "transform": ratio(seconds["pythae, embed"], seconds["transform"]),
            "score_samples": ratio(seconds["pythae, loss"], seconds["score_samples"]),
        }
    for name, speed in results["rows_per_second"].items():
        print(f"{name:<24} {speed / 1e3:8.0f} k rows/s")
    for name, share in results["share_of_limit"].items():
        print(f"{name}: {shown(share, percent=True)} of the limit")
    for name, times in results.get("times_as_fast_as_pythae", {}).items():
        print(f"{name} against pythae: {shown(times)} as fast")
    return results


# --- memory -------------------------------------------------------------------------------------

JOBS = ("fit", "fit, compiled", "transform", "score_samples")


def peak(reset: bool = False) -> float:
    """Peak of this process's resident memory in MB, since the last reset where Linux allows one."""
    if reset:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass  # then the peak while data were loaded counts as held: a little less is left above it
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def memory_of(job: str, n_rows: int) -> dict[str, float]:
    """In a process of its own: memory with the data and whatever a first small use loads, and the peak above it."""
    model = fitted(128)
    x = np.random.default_rng(SEED).integers(0, 256, (n_rows, 28, 28), dtype=np.uint8)
    model.score_samples(x[:2])
    held = peak(reset=True)
    if job.startswith("fit"):
        model.set_params(compile=job == "fit, compiled", max_epochs=1).fit(x)
    else:
        getattr(model, job)(x)
    return {"data": round(x.nbytes / 2**20, 1), "held": round(held, 1), "above": round(peak() - held, 1)}


def memory(size: Size) -> dict[str, Any]:
    """Peak memory above the data, of each job on few and on many rows."""
    results: dict[str, Any] = {"unit": "MB", "jobs": {}}
    for job in JOBS:
        for n_rows in size.memory_rows:
            arguments = [sys.executable, __file__, "--memory-of", job, "--rows", str(n_rows)]
            output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
            found = json.loads(output.splitlines()[-1])
            results["jobs"].setdefault(job, {})[str(n_rows)] = found
            print(f"{job:<14} {n_rows:>7} rows ({found['data']:.0f} MB): {found['above']:.0f} MB above the data")
    return results


FULL = Size(rounds=15, n_rows=10_000, memory_rows=(10_000, 40_000))
TINY = Size(rounds=1, n_rows=100, memory_rows=(500,))

if __name__ == "__main__":
    if "--memory-of" in sys.argv:
        print(json.dumps(memory_of(sys.argv[2], int(sys.argv[4]))))
    else:
        main("scoring", __doc__, {"rows_per_second": rows_per_second, "memory": memory}, FULL, TINY)

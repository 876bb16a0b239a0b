"""Posteriors: the nine of posteriordb by `fit_posterior` with its defaults, against Pyro's AutoNormal.

Pyro takes 3,000 steps of Adam at 0.01 with one draw each, as its tutorials do; both get the same log-densities, float64
and one process each with one thread: arrays are small, and more threads wait for each other. Errors are those of the
parameters that posteriordb's 10,000 reference draws are about: of means in the reference's standard deviations, of sds
relative to them; medians over parameters, then over seeds. Reading the data is not timed, nor are the draws that
moments are taken from.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.inference import Parameters, fit_posterior
from measure import main, ratio, shown
from posteriordb import FILES, Posterior, load
from workers import PEERS, Worker, WorkerError, workers

WRONG = 0.5
"""A mean off by more than so many sds is wrong."""


class Size(NamedTuple):
    n_seeds: int
    n_steps: int
    names: tuple[str, ...] = tuple(FILES)


class Fit(NamedTuple):
    """Seconds, means, sds, and the verdict of the fit on itself."""

    seconds: float
    mean: torch.Tensor
    sd: torch.Tensor
    verdict: dict[str, Any]


def fit_isthmus(posterior: Posterior, seed: int) -> Fit:
    """One fit by `fit_posterior`."""
    began = time.perf_counter()
    fitted = fit_posterior(
        lambda values: posterior.log_density(values), Parameters(**posterior.parameters), random_state=seed
    )
    seconds = time.perf_counter() - began
    found = fitted.quantity(posterior.quantities)
    verdict = {"family": fitted.family, "khat": round(fitted.khat, 2), "converged": fitted.converged}
    return Fit(seconds, found.mean, found.sd, verdict | {"reliable": fitted.reliable})


def fit_pyro(worker: Worker, name: str, folder: Path, n_steps: int, seed: int) -> Fit:
    """One fit by Pyro, which says nothing of itself."""
    found = worker.ask("fit", name=name, folder=str(folder), n_steps=n_steps, seed=seed)
    return Fit(found["seconds"], torch.tensor(found["mean"]), torch.tensor(found["sd"]), {})


def errors(posterior: Posterior, fits: list[Fit]) -> dict[str, float]:
    """Of means and sds, and the largest of a mean."""
    means = torch.stack([((fit.mean - posterior.mean) / posterior.sd).abs() for fit in fits])
    sds = torch.stack([(fit.sd / posterior.sd - 1).abs() for fit in fits])
    figures = {
        "mean": means.median(1).values.median(),
        "mean_worst": means.max(),
        "sd": sds.median(1).values.median(),
        "sd_worst": sds.max(),
    }
    return {name: round(value.item(), 4) for name, value in figures.items()}


def wrong_and_trusted(posterior: Posterior, fits: list[Fit]) -> int:
    """Fits with a mean off by more than half an sd that call themselves reliable."""
    far = [((fit.mean - posterior.mean) / posterior.sd).abs().max() > WRONG for fit in fits]
    return sum(bool(wrong) and fit.verdict["reliable"] for wrong, fit in zip(far, fits, strict=True))


def one(name: str, folder: Path, size: Size, worker: Worker | None) -> dict[str, Any]:
    """One posterior, by both in turn."""
    posterior = load(name, folder)
    ours, theirs = [], []
    for seed in range(size.n_seeds):
        ours.append(fit_isthmus(posterior, seed))
        if worker is not None:
            theirs.append(fit_pyro(worker, name, folder, size.n_steps, seed))
    results: dict[str, Any] = {
        "seconds": {"isthmus": round(float(np.median([fit.seconds for fit in ours])), 3)},
        "error": {"isthmus": errors(posterior, ours)},
        "verdicts": [fit.verdict for fit in ours],
        "wrong_and_trusted": wrong_and_trusted(posterior, ours),
    }
    if theirs:
        results["seconds"]["pyro"] = round(float(np.median([fit.seconds for fit in theirs])), 3)
        results["error"]["pyro"] = errors(posterior, theirs)
        results["times_as_fast"] = ratio([fit.seconds for fit in theirs], [fit.seconds for fit in ours])
    for who, error in results["error"].items():
        print(
            f"{name:<18} {who:<8} {results['seconds'][who]:7.2f} s, mean off by {error['mean']:.3f} sd "
            f"(worst {error['mean_worst']:.3f}), sd by {error['sd']:.1%}", flush=True
        )  # fmt: skip
    if theirs:
        print(f"{name:<18} {shown(results['times_as_fast'])} as fast as Pyro")
    return results


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """All posteriors in a few numbers."""
    together: dict[str, Any] = {
        "n_posteriors": len(found),
        "sd_error_median": round(float(np.median([each["error"]["isthmus"]["sd"] for each in found.values()])), 4),
        "wrong_and_trusted": sum(each["wrong_and_trusted"] for each in found.values()),
    }
    if all("times_as_fast" in each for each in found.values()):
        times = [each["times_as_fast"]["median"] for each in found.values()]
        together["times_as_fast"] = {"median": round(float(np.median(times)), 1), "least": min(times)}
        together["at_least_20_times"] = sum(value >= 20 for value in times)
        together["no_less_accurate"] = sum(
            each["error"]["isthmus"]["mean"] <= each["error"]["pyro"]["mean"] for each in found.values()
        )
    print(together)
    return together


def posteriordb(size: Size) -> dict[str, Any]:
    """Each of the posteriors."""
    torch.set_num_threads(1)
    folder = Path(os.environ["ISTHMUS_DATA"])
    peers: dict[str, str] = {}
    with workers() as start:
        worker = None
        try:
            worker = start("worker_pyro.py", PEERS)
            peers = worker.ask("versions")
        except WorkerError as error:
            worker, peers = None, {"left_out": f"no peers here: {error}"}
            print(f"No peers here, so their rows are left out of the results: {error}")
        # A first fit of each is not timed: modules are loaded and threads started in it.
        fit_isthmus(load("eight_schools", folder), 0)
        if worker is not None:
            fit_pyro(worker, "eight_schools", folder, 10, 0)
        found = {name: one(name, folder, size, worker) for name in size.names}
    return {"steps_of_pyro": size.n_steps, "posteriors": found, "together": summary(found), "peers": peers}


FULL, TINY = Size(n_seeds=3, n_steps=3000), Size(n_seeds=1, n_steps=20, names=("eight_schools", "kilpisjarvi"))

if __name__ == "__main__":
    if (Path(os.environ.get("ISTHMUS_DATA", "missing")) / "posteriordb").exists():
        main("posteriors", __doc__, {"posteriordb": posteriordb}, FULL, TINY)
    else:
        print("no posteriordb in ISTHMUS_DATA here: nothing measured")

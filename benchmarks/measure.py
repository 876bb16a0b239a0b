"""How benchmarks measure: contestants in turn within one run, medians of ratios, and where it all ran.

A script names its parts, functions of a size that return results; `main` runs those asked for and writes each part
as soon as it is measured, so that a run that was stopped can go on with `--missing`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import isthmus
from isthmus.reproduce.results import commit, processor
from workers import PEERS, WorkerError, workers

RESULTS = Path(__file__).parent / "results"
SEED = 0


# --- measuring ----------------------------------------------------------------------------------


def interleaved(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant in each round. In turn, because machines drift; what is compared is round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            gc.collect()
            start = time.perf_counter()
            contestant()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> dict[str, float]:
    """Median and range of the ratio round by round."""
    ratios = np.array(numerator) / np.array(denominator)
    return {name: round(float(f(ratios)), 3) for name, f in (("median", np.median), ("min", np.min), ("max", np.max))}


def rate(n: int, seconds: list[float]) -> int:
    """So many things a second, at the median."""
    return round(n / float(np.median(seconds)))


def shown(ratios: Mapping[str, float], percent: bool = False) -> str:
    """A ratio and its range, in words."""
    form = "{:.0%} ({:.0%} to {:.0%})" if percent else "{:.2f} times ({:.2f} to {:.2f})"
    return form.format(ratios["median"], ratios["min"], ratios["max"])


# --- data and peers -----------------------------------------------------------------------------


@cache
def mnist() -> dict[str, np.ndarray]:
    """MNIST's images, uint8: x_train (60000, 28, 28) and x_test; noise where MNIST is not at hand."""
    from isthmus.data import load_data

    try:
        data = load_data("mnist")
        parts = [data.x_train] if data.x_valid is None else [data.x_train, data.x_valid]
        return {"x_train": np.concatenate(parts), "x_test": data.x_test}
    except ValueError as error:
        print(f"Random images stand in for MNIST: same times, other bounds. {error}")
        generator = np.random.default_rng(SEED)
        noise = {"x_train": 60_000, "x_test": 10_000}
        return {name: generator.integers(0, 256, (n, 28, 28), dtype=np.uint8) for name, n in noise.items()}


@contextmanager
def contest(needs_peers: bool = True) -> Iterator[tuple[Callable[..., Any], Path, dict[str, str]]]:
    """Start workers: (start, a folder for what they exchange, versions of the peers).

    Where the peers can't run, says so, in the results too; versions then hold only `left_out`, and no peer is started.
    """
    with workers() as start, tempfile.TemporaryDirectory() as folder:
        versions = {}
        if needs_peers:
            try:
                versions = start("worker_peers.py", PEERS).ask("versions")
            except WorkerError as error:
                versions = {"left_out": f"no peers here: {error}"}
                print(f"No peers here, so their rows are left out of the results: {error}")
        yield start, Path(folder), versions


# --- results ------------------------------------------------------------------------------------


def environment() -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "commit": commit(),
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "isthmus": isthmus.__version__,
    }


def read(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """The parts of a results file, {} where there is none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(name: str, part: str, command: str, results: dict[str, Any], folder: Path = RESULTS) -> None:
    """Put a part's results beside the others, with what they depend on and how to measure them again."""
    folder.mkdir(exist_ok=True)
    parts = read(name, folder)
    parts[part] = {"command": command, "seed": SEED, "environment": environment(), "results": results}
    (folder / f"{name}.json").write_text(json.dumps(parts, indent=2) + "\n")


def main(
    name: str, description: str | None, parts: Mapping[str, Callable[[Any], dict[str, Any]]], full: Any, tiny: Any
) -> Path:
    """The command line of a script: run its parts at full size, or at a tiny one that shows only that they run.

    Returns:
        The folder of the results.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=parts, help="measure these parts")
    parser.add_argument("--missing", action="store_true", help="skip what was measured at this commit already")
    parser.add_argument("--tiny", action="store_true", help="see that it runs: figures mean nothing")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results")
    arguments = parser.parse_args()
    folder = arguments.out or (Path(tempfile.gettempdir()) / "isthmus-benchmarks" if arguments.tiny else RESULTS)
    torch.manual_seed(SEED)
    for part, measure in parts.items():
        done = read(name, folder).get(part, {}).get("environment", {})
        same = all(done.get(key) == environment()[key] for key in ("commit", "processor", "cores", "torch"))
        if (arguments.only and part not in arguments.only) or (arguments.missing and same):
            continue
        print(f"--- {name}, {part}", flush=True)
        command = f"python benchmarks/{Path(sys.argv[0]).name} --only {part}"
        write(name, part, command, measure(tiny if arguments.tiny else full), folder)
        print(f"written to {folder / name}.json", flush=True)
    return folder

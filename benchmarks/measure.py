"""How benchmarks measure: contestants in turn within one run, medians of ratios, and where it all ran."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import isthmus

RESULTS = Path(__file__).parent / "results"


def interleaved(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant in each round. In turn, because machines drift; what is compared is round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> dict[str, float]:
    """Median and range of the ratio round by round."""
    ratios = np.array(numerator) / np.array(denominator)
    return {name: round(float(f(ratios)), 3) for name, f in (("median", np.median), ("min", np.min), ("max", np.max))}


def environment() -> dict[str, Any]:
    """What a figure depends on."""
    root = Path(__file__).parent.parent
    git = ["git", "-C", str(root)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip() + (" with changes" if changed.stdout.strip() else ""),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "isthmus": isthmus.__version__,
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())


def write(name: str, command: str, results: dict[str, Any]) -> None:
    """Put results beside this file, with what they depend on and how to run them again."""
    RESULTS.mkdir(exist_ok=True)
    record = {"command": command, "environment": environment(), "results": results}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"written to benchmarks/results/{name}.json")


def mnist_pixels() -> torch.Tensor:
    """MNIST's training images (60000, 784) as uint8; random ones of the same size where MNIST is not at hand."""
    from isthmus.data import load_data

    try:
        return torch.from_numpy(load_data("mnist").x_train.reshape(-1, 784))
    except ValueError:
        print("MNIST is not at hand (set ISTHMUS_DATA): random pixels stand in, which changes no timing")
        return torch.randint(0, 256, (60_000, 784), dtype=torch.uint8)

"""Cost against rows, width, latent size and processes: what a user's own sizes will take, as curves.

One thing varies at a time around a VAE 784-512-20 with batch 128 on rows of MNIST's shape, trained without compiling,
as short runs are. `results/curves.svg` is drawn from
`results/costs.json` after each part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isthmus import VAE
from measure import SEED, main, read
from models import D, H, K


class Size(NamedTuple):
    rows: tuple[int, ...]
    widths: tuple[int, ...]
    latent: tuple[int, ...]
    processes: tuple[int, ...]
    n_rows: int  # of what does not vary rows
    epochs: int
    compile: bool


def images(n_rows: int) -> np.ndarray:
    """Noise of MNIST's shape, which costs what MNIST costs."""
    return np.random.default_rng(SEED).integers(0, 256, (n_rows, D), dtype=np.uint8)


def model(size: Size, n_components: int = K, hidden: int = H) -> VAE:
    return VAE(
        n_components, hidden=(hidden,), max_epochs=size.epochs, compile=size.compile, device="cpu", random_state=SEED
    )


def speed(fitted: VAE) -> float:
    """Rows a second while training, at the median of the epochs after the first, which compiles."""
    return float(np.median([record["rows_per_second"] for record in fitted.history_[1:]]))


def curve(what: str, values: Iterable[int], measure: Any) -> dict[str, Any]:
    """One point for each value: {name of the figure: number}."""
    points = {}
    for value in values:
        points[str(value)] = measure(value)
        figures = ", ".join(f"{name} {number:.4g}" for name, number in points[str(value)].items())
        print(f"{what} {value}: {figures}", flush=True)
    return points


def rows(size: Size) -> dict[str, Any]:
    """Seconds an epoch, to encode and to score."""

    def point(n: int) -> dict[str, float]:
        x = images(n)
        fitted = model(size).fit(x)
        seconds = {"epoch": n / speed(fitted)}
        for name in ("transform", "score_samples"):
            getattr(fitted, name)(x[:256])
            began = time.perf_counter()
            getattr(fitted, name)(x)
            seconds[name] = time.perf_counter() - began
        return {name: round(value, 5) for name, value in seconds.items()}

    return {"seconds": curve("rows", size.rows, point)}


def widths(size: Size) -> dict[str, Any]:
    """Training speed against the width of the hidden layers."""
    x = images(size.n_rows)
    return {"training": curve("width", size.widths, lambda n: {"rows_per_second": speed(model(size, hidden=n).fit(x))})}


def latent(size: Size) -> dict[str, Any]:
    """Training speed against the dimension of the code."""
    x = images(size.n_rows)
    return {"training": curve("latent size", size.latent, lambda n: {"rows_per_second": speed(model(size, n).fit(x))})}


# --- processes ----------------------------------------------------------------------------------

SCRIPT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import bench_costs
size = bench_costs.Size(*json.loads(sys.argv[2]))
fitted = bench_costs.model(size).fit(bench_costs.images(size.n_rows))
if os.environ["RANK"] == "0":
    print(json.dumps({"rows_per_second": bench_costs.speed(fitted), "loss": fitted.history_[-1]["loss"]}))
"""


def under_torchrun(n_processes: int, size: Size) -> dict[str, float]:
    """The same fit under torchrun, the processor's cores shared between the processes."""
    threads = max(1, (os.cpu_count() or 1) // n_processes)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "fit.py"
        script.write_text(SCRIPT)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
        done = subprocess.run(
            [*torchrun, str(script), str(Path(__file__).parent), json.dumps(size)],
            capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"torchrun with {n_processes} processes failed: {done.stderr[-2000:]}")
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def processes(size: Size) -> dict[str, Any]:
    """Training speed under torchrun, at the same loss."""
    return {"training": curve("processes", size.processes, lambda n: under_torchrun(n, size))}


# --- picture ------------------------------------------------------------------------------------


def draw(folder: Path) -> None:
    """`curves.svg` from what is measured so far."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "isthmus"  # the same file from the same figures
    from matplotlib import pyplot

    parts = {name: part["results"] for name, part in read("costs", folder).items()}
    panels = [
        ("rows", "seconds", "rows", "seconds", ("epoch", "transform", "score_samples")),
        ("widths", "training", "width of the hidden layers", "rows a second", ("rows_per_second",)),
        ("latent", "training", "dimension of the code", "rows a second", ("rows_per_second",)),
        ("processes", "training", "processes", "rows a second", ("rows_per_second",)),
    ]
    panels = [panel for panel in panels if panel[0] in parts]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3.6 * len(panels), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (part, key, across, up, names) in zip(axes[0], panels, strict=True):
        points = parts[part][key]
        places = [int(value) for value in points]
        for name in names:
            axis.plot(places, [point[name] for point in points.values()], "o-", label=name.replace("_", " "))
        axis.set(xlabel=across, ylabel=up)
        if part == "rows":
            axis.set(xscale="log", yscale="log")
            axis.legend(frameon=False)
        else:
            axis.set_xscale("log", base=2)
            axis.set_xticks(places, [f"{place}" for place in places])
            axis.set_ylim(bottom=0)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "curves.svg", metadata={"Date": None})
    pyplot.close(figure)


FULL = Size(
    rows=(1_000, 4_000, 16_000, 60_000),
    widths=(64, 128, 256, 512, 1024, 2048),
    latent=(2, 8, 32, 128, 512),
    processes=(1, 2),
    n_rows=12_800,
    epochs=4,
    compile=False,
)
TINY = Size(
    rows=(64, 128), widths=(4, 8), latent=(2, 3), processes=(1,), n_rows=256, epochs=2, compile=False
)  # fmt: skip

if __name__ == "__main__":
    parts = {"rows": rows, "widths": widths, "latent": latent, "processes": processes}
    draw(main("costs", __doc__, parts, FULL, TINY))

"""Data larger than memory: what streaming costs against data in memory, and what memory a file takes.

`speed`: an epoch over the same uint8 rows of 784 pixels, in memory, from a file that is read piece by piece with a
buffer of an eighth of it, and from a memory map of that file; for the usual network, and for one so small that reading
rows is most of the work. The file is in the system's cache: a disk that is slower than training is the limit instead.

`memory`: growth of resident memory over two epochs, in processes of their own, above what they take before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.data import Shards
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import ELBO
from isthmus.priors import StandardNormal
from isthmus.training import Rows, Scaling, Settings, fit
from measure import SEED, interleaved, main, rate, ratio, shown

D = 784


NETWORKS = {"784-512-20, batch 128": (512, 128), "784-16-20, batch 1024": (16, 1024)}
"""Width and batch size."""


class Size(NamedTuple):
    rounds: int
    n_rows: int  # of the files for speed
    megabytes: tuple[int, ...]  # of the files for memory
    buffer: int  # bytes, for memory


def train(rows: Any, width: int, batch_size: int, max_epochs: int = 1) -> None:
    """Epochs of a VAE with one hidden layer, not compiled."""
    torch.manual_seed(SEED)
    encoder = Conditional(MLP(D, (width,)), GaussianHead(width, 20))
    model = LatentVariableModel(encoder, Conditional(MLP(20, (width,)), BernoulliHead(width, D)), StandardNormal(20))
    settings = Settings(max_epochs=max_epochs, batch_size=batch_size, compile=False, device="cpu", precision="fp32")
    fit(model, ELBO(), rows, settings, scaling=Scaling(scale=255.0))


@contextmanager
def file_of_rows(n_rows: int) -> Iterator[Path]:
    """Random rows (n_rows, 784), uint8, written piece by piece."""
    with tempfile.TemporaryDirectory() as folder:
        path, generator = Path(folder) / "rows.npy", np.random.default_rng(SEED)
        rows = np.lib.format.open_memmap(path, "w+", np.uint8, (n_rows, D))
        for start in range(0, n_rows, 10_000):
            rows[start : start + 10_000] = generator.integers(0, 256, (len(rows[start : start + 10_000]), D), np.uint8)
        rows.flush()
        del rows
        yield path


def speed(size: Size) -> dict[str, Any]:
    """Rows a second, streamed and resident, in turn."""
    results = {}
    with file_of_rows(size.n_rows) as path:
        resident, buffer = Rows(torch.from_numpy(np.load(path))), size.n_rows * D // 8
        sources: dict[str, Callable[[], Any]] = {
            "in memory": lambda: resident,
            "from a file": lambda: Shards(path, buffer_bytes=buffer),
            "from a memory map": lambda: Shards(np.load(path, mmap_mode="r"), buffer_bytes=buffer),
        }
        for name, (width, batch_size) in {
            "784-512-20, batch 128": (512, 128),
            "784-16-20, batch 1024": (16, 1024),
        }.items():
            contestants = {
                source: lambda rows=rows, width=width, batch_size=batch_size: train(rows(), width, batch_size)
                for source, rows in sources.items()
            }
            interleaved(contestants, 1)
            seconds = interleaved(contestants, size.rounds)
            results[name] = {
                "rows_per_second": {source: rate(size.n_rows, values) for source, values in seconds.items()},
                "speed_against_memory": {
                    source: ratio(seconds["in memory"], seconds[source]) for source in list(sources)[1:]
                },
            }
            for source, ratios in results[name]["speed_against_memory"].items():
                print(f"{name}, {source}: {shown(ratios, percent=True)} of the speed with all rows in memory")
    return {"file_bytes": size.n_rows * D, "buffer_bytes": buffer} | results


def resident_memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def child(path: Path, buffer: int) -> None:
    """Two epochs; prints what they took."""
    warm = np.zeros((2000, D), np.uint8)
    train(Shards(warm, buffer_bytes=2**18), 16, 1024)
    before = resident_memory("VmRSS")
    train(Shards(path, buffer_bytes=buffer), 16, 1024, max_epochs=2)
    print(json.dumps({"before": before, "peak_growth": resident_memory("VmHWM") - before}))


def memory(size: Size) -> dict[str, Any]:
    """Peak growth against the size of the file."""
    files = []
    for megabytes in size.megabytes:
        n_rows = megabytes * 2**20 // D
        with file_of_rows(n_rows) as path:
            command = [sys.executable, __file__, "child", str(path), str(size.buffer)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        files.append({"file_bytes": n_rows * D, **found, "share": round(found["peak_growth"] / (n_rows * D), 3)})
        print(f"{megabytes:,} MB: memory grew by {found['peak_growth'] / 2**20:.0f} MB at most")
    return {"buffer_bytes": size.buffer, "files": files}


FULL = Size(rounds=3, n_rows=30_000, megabytes=(100, 400, 1600), buffer=2**24)
TINY = Size(rounds=1, n_rows=2000, megabytes=(4,), buffer=2**20)

if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main("streaming", __doc__, {"speed": speed, "memory": memory}, FULL, TINY)

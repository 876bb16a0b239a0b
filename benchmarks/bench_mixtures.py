"""Mixtures of Gaussians: seconds of a step of EM against scikit-learn's, from the same start, at equal likelihood.

Rows, start and steps are equal. scikit-learn makes the E- and M-steps that its `fit` makes in a loop; so does Isthmus,
with nothing left out: its steps are `expectations` and `maximised`. Each contestant goes through the same steps, so
that in the end both have a likelihood, which are compared. Nothing converges or is started anew. `memory` is the most
that a process of its own holds above the rows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch
from sklearn.mixture import GaussianMixture as Reference

from isthmus.mixtures import CovarianceRule, Gaussians, Prepared, expectations, maximised, precisions_cholesky
from measure import SEED, interleaved, main, ratio, shown

AIM = 3.0
FLOOR = 1e-6


class Shape(NamedTuple):
    kind: str
    n_rows: int
    n_features: int
    n_components: int


class Size(NamedTuple):
    rounds: int
    full: Shape = Shape("full", 100_000, 32, 16)
    diag: Shape = Shape("diag", 1_000_000, 64, 64)


def bumps(shape: Shape, dtype: str) -> np.ndarray:
    """Rows of overlapping bumps of deviation 1, far from 0."""
    generator = np.random.default_rng(SEED)
    middles = 2 * generator.normal(size=(shape.n_components, shape.n_features)) + 3
    rows = np.empty((shape.n_rows, shape.n_features), dtype)
    for start in range(0, shape.n_rows, 5_000):
        part = rows[start : start + 5_000]
        label = generator.integers(0, shape.n_components, len(part))
        part[:] = middles[label] + generator.normal(size=part.shape)
    return rows


def start_of(rows: np.ndarray, shape: Shape) -> Gaussians:
    """A mixture to begin with: the first rows, and the variance of all."""
    n_components, n_features = shape[3], shape[2]
    variance = torch.full((n_components, n_features), float(rows[:10_000].var()), dtype=torch.float64)
    return Gaussians(
        torch.full((n_components,), 1 / n_components, dtype=torch.float64),
        torch.from_numpy(rows[:n_components]).double(),
        torch.diag_embed(variance) if shape.kind == "full" else variance,
        shape.kind,
    )


class Ours:
    """EM of Isthmus, step by step."""

    def __init__(self, rows: np.ndarray, start: Gaussians) -> None:
        self.data, self.gaussians = Prepared(torch.from_numpy(rows)), start
        self.rule = CovarianceRule(added=FLOOR)
        self.likelihood = float("nan")

    def step(self) -> None:
        moments, likelihood = expectations(self.data, self.gaussians)
        self.gaussians, self.likelihood = maximised(moments, self.rule), float(likelihood)


class Theirs:
    """EM of scikit-learn, step by step: what is in the loop of its `fit`."""

    def __init__(self, rows: np.ndarray, start: Gaussians) -> None:
        self.rows, self.likelihood = rows, float("nan")
        self.model = Reference(len(start.means), covariance_type=start.kind, reg_covar=FLOOR)
        parts = (*start[:3], precisions_cholesky(start))
        for name, part in zip(("weights_", "means_", "covariances_", "precisions_cholesky_"), parts, strict=True):
            setattr(self.model, name, part.numpy().astype(rows.dtype))

    def step(self) -> None:
        likelihood, log_shares = self.model._e_step(self.rows)
        self.model._m_step(self.rows, log_shares)
        self.likelihood = float(likelihood)


CONTESTANTS = {"isthmus": Ours, "scikit-learn": Theirs}


def peak_above_rows(name: str, shape: Shape, dtype: str) -> float | None:
    """Most MB that three steps hold above the rows, in a process of their own; Linux alone can tell."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bench_mixtures as bench

def held(line):
    status = Path("/proc/self/status").read_text()
    return float(status.split(line + ":")[1].split()[0]) / 1024

shape = bench.Shape{tuple(shape)!r}
few = shape._replace(n_rows=shape.n_rows // 10)
for some in (few, shape):  # the first so that libraries are loaded
    rows = bench.bumps(some, {dtype!r})
    contestant = bench.CONTESTANTS[{name!r}](rows, bench.start_of(rows, some))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = held("VmRSS")
    for _ in range(3):
        contestant.step()
print(held("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return round(float(done.stdout.split()[-1]), 1)


def contest(size: Size, kind: str, dtype: str) -> dict[str, Any]:
    """Seconds of a step of each, and the likelihoods that they come to."""
    shape: Shape = getattr(size, kind)
    rows = bumps(shape, dtype)
    start = start_of(rows, shape)
    contestants = {name: contestant(rows, start) for name, contestant in CONTESTANTS.items()}
    steps = {name: contestant.step for name, contestant in contestants.items()}
    interleaved(steps, 1)
    seconds = interleaved(steps, size.rounds)
    likelihoods = {name: contestant.likelihood for name, contestant in contestants.items()}
    times = ratio(seconds["scikit-learn"], seconds["isthmus"])
    results = {
        "shape": shape._asdict(),
        "dtype": dtype,
        "steps": size.rounds + 1,
        "scikit-learn": sklearn.__version__,
        "seconds_a_step": {name: round(float(np.median(values)), 4) for name, values in seconds.items()},
        "log_likelihood": {name: round(value, 6) for name, value in likelihoods.items()},
        "times_as_fast": times,
        "aim": AIM,
        "met": times["median"] >= AIM,
        "peak_MB_above_rows": {name: peak_above_rows(name, shape, dtype) for name in contestants},
    }
    for name in contestants:
        print(
            f"{name:<13} {results['seconds_a_step'][name]:7.3f} s a step, log-likelihood "
            f"{results['log_likelihood'][name]:.5f}, {results['peak_MB_above_rows'][name]} MB above the rows"
        )
    print(f"isthmus is {shown(times)} as fast; aim {AIM:g}")
    return results


PARTS = {
    f"{kind}, {dtype}": lambda size, kind=kind, dtype=dtype: contest(size, kind, dtype)
    for kind in ("full", "diag")
    for dtype in ("float64", "float32")
}
FULL = Size(rounds=9)
TINY = Size(rounds=1, full=Shape("full", 2000, 4, 3), diag=Shape("diag", 2000, 4, 3))

if __name__ == "__main__":
    main("mixtures", __doc__, PARTS, FULL, TINY)

"""Fifty hard data sets: how likely a mixture of Gaussians makes them, ours against scikit-learn's, each as it comes.

Both have the same number of components and one start; all else is each one's default. A smaller floor under
covariances makes degenerate data likelier and no model better. So neither is measured by its own floor: both densities
are blurred alike, by noise of 1e-4 of each column's variance, and columns that do not vary are left out. One evaluator
in NumPy does that for both. "At least" counts differences within 1e-3 nats a row as ties.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture as Peer

from isthmus.estimators import GaussianMixture
from measure import SEED, main

TIE, WORSE = 1e-3, 0.02
BLUR = 1e-4


class Size(NamedTuple):
    n_sets: int
    rows: float = 1.0


class Problem(NamedTuple):
    """Rows to learn from, rows held out, and what both are told."""

    name: str
    train: np.ndarray
    test: np.ndarray
    n_components: int
    covariance_type: str


def mixture_rows(
    generator: np.random.Generator, n: int, n_components: int, n_features: int, apart: float, shape: str = "round"
) -> np.ndarray:
    """Rows of a random mixture: components at a distance, round or long, of unlike weights, (n, F)."""
    weights = generator.dirichlet(np.full(n_components, 3.0))
    means = apart * generator.normal(size=(n_components, n_features))
    labels = generator.choice(n_components, n, p=weights)
    noise = generator.normal(size=(n, n_features))
    if shape == "long":
        roots = generator.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features)
        noise = np.einsum("nij,nj->ni", roots[labels], noise) + 0.1 * generator.normal(size=(n, n_features))
    return means[labels] + noise


def with_outliers(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One row in fifty far away, at no place in particular."""
    far = generator.random(len(rows)) < 0.02
    return np.where(far[:, None], 10 * rows.std(axis=0) * generator.standard_t(2, size=rows.shape), rows)


def with_one_hot(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A column of numbers for each of four values, one of which each row has."""
    return np.hstack([rows, np.eye(4)[generator.integers(0, 4, len(rows))]])


def unlike(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Columns in units that differ by up to 1e7."""
    return rows * 10.0 ** generator.uniform(-3, 4, rows.shape[1])


Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

FAMILIES: dict[str, tuple[int, str, Change]] = {
    "blobs": (6, "round", lambda rows, generator: rows),
    "anisotropic": (6, "long", lambda rows, generator: rows),
    "overlapping": (6, "long", lambda rows, generator: rows),
    "outliers": (6, "round", with_outliers),
    "duplicates": (5, "long", lambda rows, generator: np.round(rows)),
    "constant column": (3, "long", lambda rows, generator: np.hstack([rows, np.full((len(rows), 1), 7.0)])),
    "unlike scales": (4, "long", unlike),
    "offset": (4, "long", lambda rows, generator: rows + 10.0 ** generator.integers(3, 7)),
    "few rows": (4, "long", lambda rows, generator: rows),
    "one-hot": (3, "round", with_one_hot),
    "float32": (3, "long", lambda rows, generator: (rows + 1e3).astype(np.float32)),
}
KINDS = ("full", "full", "diag", "full", "tied", "spherical")
"""Of covariances, in turn: mostly full, where most can go wrong."""


def problems(size: Size) -> Iterator[Problem]:
    """The data sets, each a function of its number."""
    number = 0
    for family, (count, shape, change) in FAMILIES.items():
        for i in range(count):
            generator = np.random.default_rng([SEED, number])
            n_components, n_features = int(generator.integers(2, 11)), int(generator.integers(2, 13))
            n = max(60, int(size.rows * generator.integers(1000, 3000)))
            if family == "few rows":
                n, n_components, n_features = 60, min(n_components, 3), min(n_features, 5)
            apart = {"overlapping": 0.7, "duplicates": 3.0}.get(family, float(generator.uniform(1.5, 5)))
            rows = change(mixture_rows(generator, 2 * n, n_components, n_features, apart, shape), generator)
            yield Problem(f"{family} {i + 1}", rows[:n], rows[n:], n_components, KINDS[i % len(KINDS)])
            number += 1


def covariances_of(model: Any) -> np.ndarray:
    """Covariances as matrices, (K, F, F) float64."""
    found, (n_components, n_features) = np.asarray(model.covariances_, np.float64), model.means_.shape
    if model.covariance_type == "full":
        return found
    if model.covariance_type == "tied":
        return np.tile(found, (n_components, 1, 1))
    diagonals = found if model.covariance_type == "diag" else np.tile(found[:, None], n_features)
    return diagonals[:, None] * np.eye(n_features)


def blurred_likelihood(model: Any, rows: np.ndarray, train: np.ndarray) -> float:
    """Mean log-likelihood of rows, nats a row, of the density blurred by noise: the same for all models of a set."""
    variances = train.astype(np.float64).var(axis=0)
    varies = variances > 1e-12 * np.square(train.astype(np.float64)).mean(axis=0)
    rows, joint = rows[:, varies].astype(np.float64), []
    blur = np.diag(BLUR * variances[varies])
    for weight, mean, covariance in zip(model.weights_, model.means_, covariances_of(model), strict=True):
        root = np.linalg.cholesky(covariance[np.ix_(varies, varies)] + blur)
        white = solve_triangular(root, (rows - mean[varies].astype(np.float64)).T, lower=True)
        constant = 0.5 * len(root) * np.log(2 * np.pi) + np.log(root.diagonal()).sum()
        with np.errstate(divide="ignore"):  # a component without weight
            joint.append(np.log(weight) - constant - 0.5 * np.square(white).sum(axis=0))
    return float(logsumexp(joint, axis=0).mean())


MODELS = {"isthmus": GaussianMixture, "scikit-learn": Peer}


def fitted(kind: type, problem: Problem) -> dict[str, Any]:
    """Likelihoods and seconds of one model, or what it failed with."""
    model = kind(problem.n_components, covariance_type=problem.covariance_type, random_state=SEED)
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of components that collapsed, or steps that ran out
            model.fit(problem.train)
    except Exception as error:  # whatever it is, it counts as a failure
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    seconds = time.perf_counter() - begin
    found = {name: blurred_likelihood(model, getattr(problem, name), problem.train) for name in ("train", "test")}
    if not np.isfinite(list(found.values())).all():
        return {"failed": "not finite"}
    return found | {"seconds": round(seconds, 4)}


def likelihood(size: Size) -> dict[str, Any]:
    """Each set under both, how often ours is at least as likely, and how often clearly worse."""
    sets, gains = [], {"train": [], "test": []}
    for problem, _ in zip(problems(size), range(size.n_sets), strict=False):
        found = {name: fitted(kind, problem) for name, kind in MODELS.items()}
        ours, peer = found["isthmus"], found["scikit-learn"]
        if not any("failed" in one for one in found.values()):
            for part, values in gains.items():
                values.append(ours[part] - peer[part])
        told = {"kind": problem.covariance_type, "n_components": problem.n_components, "shape": problem.train.shape}
        sets.append({"name": problem.name, **told, **found})
        failed = {name: one["failed"] for name, one in found.items() if "failed" in one}
        said = failed or {part: f"{values[-1]:+.4f}" for part, values in gains.items()}
        print(f"{problem.name:<18} {problem.covariance_type:<10} {said}")
    results: dict[str, Any] = {
        "sets": len(sets),
        "failed": {name: sum("failed" in one[name] for one in sets) for name in MODELS},
        "seconds": {name: round(sum(one[name].get("seconds", 0) for one in sets), 2) for name in MODELS},
    }
    for part, values in gains.items():
        apart = np.array(values)
        results[part] = {
            "compared": len(apart),
            "at_least": int((apart >= -TIE).sum()),
            "better": int((apart > TIE).sum()),
            "worse_by_0.02": int((apart < -WORSE).sum()),
            "median_gain": round(float(np.median(apart)), 5),
            "largest_loss": round(float(-apart.min()), 4),
            "largest_gain": round(float(apart.max()), 4),
        }
        print(part, results[part])
    return results | {"by_set": sets}


def mini_batches(size: Size) -> dict[str, Any]:
    """A million rows of eight components that overlap: mini-batches of three sizes against all rows in each step."""
    rows = mixture_rows(np.random.default_rng(SEED), int(1e6 * size.rows), 8, 8, 0.7, "long").astype(np.float32)
    results: dict[str, Any] = {"shape": rows.shape}
    for batch_size in (None, 1000, 4096, 16_384):
        model = GaussianMixture(8, batch_size=batch_size, random_state=SEED)
        begin = time.perf_counter()
        model.fit(rows)
        found = {"likelihood": round(model.lower_bound_, 6), "steps_or_passes": model.n_iter_}
        results[str(batch_size)] = found | {"seconds": round(time.perf_counter() - begin, 2)}
        print(f"batch_size={batch_size}: {results[str(batch_size)]}")
    return results


FULL, TINY = Size(50), Size(4, rows=0.01)

if __name__ == "__main__":
    main("mixture_quality", __doc__, {"likelihood": likelihood, "mini_batches": mini_batches}, FULL, TINY)

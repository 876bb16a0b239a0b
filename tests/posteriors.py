"""The nine posteriors of benchmarks/posteriordb.py, and their reference draws as unconstrained vectors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from torch import Tensor

from isthmus.inference.parameters import Parameters

_FILE = Path(__file__).parents[1] / "benchmarks" / "posteriordb.py"
_SPECIFICATION = importlib.util.spec_from_file_location("posteriordb", _FILE)
posteriordb: Any = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(posteriordb)

NAMES = list(posteriordb.FILES)
load = posteriordb.load


def parameters_of(posterior: Any) -> Parameters:
    """The posterior's parameters, to be fitted."""
    return Parameters(**posterior.parameters)


def log_density_of(posterior: Any):
    """Its log-density of unconstrained vectors, (..., dim) -> (...)."""
    return parameters_of(posterior).log_density(lambda values: posterior.log_density(values))


def unconstrained_draws(name: str, posterior: Any) -> Tensor:
    """The reference draws as unconstrained vectors, (10000, dim)."""
    draws = posterior.draws
    if name == "eight_schools":
        theta, mu, tau = draws[:, :8], draws[:, 8], draws[:, 9]
        values = {"theta_raw": (theta - mu[:, None]) / tau[:, None], "mu": mu, "tau": tau}
    elif name == "garch11":
        mu, alpha0, alpha1, beta1 = draws.T
        values = {"mu": mu, "alpha0": alpha0, "alpha1": alpha1, "share": beta1 / (1 - alpha1)}
    elif name == "low_dim_gauss_mix":
        first, second, *_, theta = draws.T
        values = {"mu1": first, "gap": second - first, "sigma": draws[:, 2:4], "theta": theta}
    else:  # what the reference is about is the parameters
        sizes = [entry[1] if isinstance(entry, tuple) else 0 for entry in posterior.parameters.values()]
        parts = draws.split([size or 1 for size in sizes], 1)
        values = {
            key: part if size else part[:, 0]
            for key, part, size in zip(posterior.parameters, parts, sizes, strict=True)
        }
    return parameters_of(posterior).unconstrain(**values)


def quantities_of(posterior: Any, vectors: Tensor) -> Tensor:
    """What the reference is about, of unconstrained vectors, (..., dim) -> (..., n)."""
    return posterior.quantities(parameters_of(posterior).constrain(vectors))


def moments(quantities: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and sd over draws."""
    weights = log_weights.softmax(0)[:, None]
    mean = (weights * quantities).sum(0)
    return mean, (weights * (quantities - mean) ** 2).sum(0).sqrt()

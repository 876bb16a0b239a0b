"""Nine posteriors of posteriordb as log-densities in plain torch, with what 10,000 reference draws say of them.

Written from the definitions of the models. It imports nothing of Isthmus, so that any library can be given the same
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Beta, Cauchy, Gamma, MultivariateNormal, Normal, constraints
from torch.distributions.constraints import Constraint

Values = Mapping[str, Tensor]
Data = Mapping[str, Tensor]

FILES = {
    "arK": "arK-arK",
    "earnings": "earnings-logearn_interaction",
    "eight_schools": "eight_schools-eight_schools_noncentered",
    "garch11": "garch-garch11",
    "gp_regr": "gp_pois_regr-gp_regr",
    "kidscore": "kidiq-kidscore_momhsiq",
    "kilpisjarvi": "kilpisjarvi_mod-kilpisjarvi",
    "low_dim_gauss_mix": "low_dim_gauss_mix-low_dim_gauss_mix",
    "blr": "sblri-blr",
}


class Posterior(NamedTuple):
    """A posterior and its reference.

    Attributes:
        parameters: each parameter's constraint, or (constraint, size) where it is a vector, as
            `isthmus.inference.Parameters` takes them.
        log_density: values of the constrained parameters, (...) or (..., size), to the log-density, (...), float64;
            without the Jacobian of a change to unconstrained ones.
        quantities: the same values to what the reference is about, (..., n).
        names, mean, sd: of the reference, (n,).
        draws: of the reference, (10000, n), rounded to float32.
    """

    parameters: dict[str, Constraint | tuple[Constraint, int]]
    log_density: Callable[[Values], Tensor]
    quantities: Callable[[Values], Tensor]
    names: list[str]
    mean: Tensor
    sd: Tensor
    draws: Tensor


def _normal(value: Tensor, mean: Tensor | float, sd: Tensor | float) -> Tensor:
    """Log-density of independent normals, summed over the last axis."""
    return Normal(mean, sd, validate_args=False).log_prob(value).sum(-1)


def _last(*scalars: Tensor) -> Tensor:
    return torch.stack(scalars, -1)


def _prior(kind: Any, *parameters: float | Tensor) -> Callable[[Tensor], Tensor]:
    """Log-density of one number."""
    as_tensors = [torch.as_tensor(parameter, dtype=torch.float64) for parameter in parameters]
    return kind(*as_tensors, validate_args=False).log_prob


def _ark(data: Data) -> tuple[Any, ...]:
    """Autoregression of order 5."""
    y, order = data["y"], int(data["K"])
    alpha_prior, sigma_prior = _prior(Normal, 0.0, 10.0), _prior(Cauchy, 0.0, 2.5)
    lagged = torch.stack([y[order - k : len(y) - k] for k in range(1, order + 1)], -1)

    def log_density(v: Values) -> Tensor:
        mean = v["alpha"][..., None] + v["beta"] @ lagged.T
        prior = alpha_prior(v["alpha"]) + _normal(v["beta"], 0.0, 10.0) + sigma_prior(v["sigma"])
        return prior + _normal(y[order:], mean, v["sigma"][..., None])

    parameters = {"alpha": constraints.real, "beta": (constraints.real, order), "sigma": constraints.positive}
    return parameters, log_density, lambda v: torch.cat((v["alpha"][..., None], v["beta"], v["sigma"][..., None]), -1)


def _linear_regression(X: Tensor, y: Tensor, prior: Callable[[Values], Tensor | float]) -> tuple[Any, ...]:
    """beta and sigma of a linear regression."""

    def log_density(v: Values) -> Tensor:
        return prior(v) + _normal(y, v["beta"] @ X.T, v["sigma"][..., None])

    parameters = {"beta": (constraints.real, X.shape[1]), "sigma": constraints.positive}
    return parameters, log_density, lambda v: torch.cat((v["beta"], v["sigma"][..., None]), -1)


def _earnings(data: Data) -> tuple[Any, ...]:
    """Log earnings by height, sex and both, flat priors."""
    height, male = data["height"], data["male"]
    X = torch.stack((torch.ones_like(height), height, male, height * male), -1)
    return _linear_regression(X, data["earn"].log(), lambda v: 0.0)


def _kidscore(data: Data) -> tuple[Any, ...]:
    """A child's test score by its mother's schooling and IQ."""
    prior = _prior(Cauchy, 0.0, 2.5)
    X = torch.stack((torch.ones_like(data["mom_hs"]), data["mom_hs"], data["mom_iq"]), -1)
    return _linear_regression(X, data["kid_score"], lambda v: prior(v["sigma"]))


def _blr(data: Data) -> tuple[Any, ...]:
    """Bayesian linear regression on five columns."""
    prior = _prior(Normal, 0.0, 10.0)
    return _linear_regression(data["X"], data["y"], lambda v: _normal(v["beta"], 0.0, 10.0) + prior(v["sigma"]))


def _kilpisjarvi(data: Data) -> tuple[Any, ...]:
    """Summer temperatures by year: slope and intercept at year 0, 4,000 years before the data."""
    x, y = data["x"], data["y"]
    alpha_prior = _prior(Normal, data["pmualpha"], data["psalpha"])
    beta_prior = _prior(Normal, data["pmubeta"], data["psbeta"])

    def log_density(v: Values) -> Tensor:
        mean = v["alpha"][..., None] + v["beta"][..., None] * x
        return alpha_prior(v["alpha"]) + beta_prior(v["beta"]) + _normal(y, mean, v["sigma"][..., None])

    parameters = {"alpha": constraints.real, "beta": constraints.real, "sigma": constraints.positive}
    return parameters, log_density, lambda v: _last(v["alpha"], v["beta"], v["sigma"])


def _eight_schools(data: Data) -> tuple[Any, ...]:
    """Effects of coaching in eight schools, not centred."""

    mu_prior, tau_prior = _prior(Normal, 0.0, 5.0), _prior(Cauchy, 0.0, 5.0)

    def theta(v: Values) -> Tensor:
        return v["mu"][..., None] + v["tau"][..., None] * v["theta_raw"]

    def log_density(v: Values) -> Tensor:
        prior = _normal(v["theta_raw"], 0.0, 1.0) + mu_prior(v["mu"]) + tau_prior(v["tau"])
        return prior + _normal(data["y"], theta(v), data["sigma"])

    parameters = {"theta_raw": (constraints.real, 8), "mu": constraints.real, "tau": constraints.positive}
    return parameters, log_density, lambda v: torch.cat((theta(v), _last(v["mu"], v["tau"])), -1)


def _garch11(data: Data) -> tuple[Any, ...]:
    """Variance that follows squares and itself; alpha1 + beta1 < 1, so `share` is beta1 / (1 - alpha1)."""
    y = data["y"]

    def log_density(v: Values) -> Tensor:
        mu, alpha1 = v["mu"][..., None], v["alpha1"][..., None]
        beta1 = v["share"][..., None] * (1 - alpha1)
        first = (data["sigma1"] ** 2).expand(mu.shape)
        variance = torch.cat((first, v["alpha0"][..., None] + alpha1 * (y[:-1] - mu) ** 2), -1)
        # variance[t] += beta1 * variance[t - 1], one after the other, by doubling
        lag = 1
        while lag < len(y):
            variance = variance + beta1**lag * F.pad(variance[..., :-lag], (lag, 0))
            lag *= 2
        return (1 - v["alpha1"]).log() + _normal(y, mu, variance.sqrt())  # flat in beta1

    def quantities(v: Values) -> Tensor:
        return _last(v["mu"], v["alpha0"], v["alpha1"], v["share"] * (1 - v["alpha1"]))

    unit = constraints.unit_interval
    parameters = {"mu": constraints.real, "alpha0": constraints.positive, "alpha1": unit, "share": unit}
    return parameters, log_density, quantities


def _gp_regr(data: Data) -> tuple[Any, ...]:
    """Regression by a Gaussian process on eleven points; sigma is the variance of the noise."""
    x, y = data["x"], data["y"]
    rho_prior, alpha_prior, sigma_prior = _prior(Gamma, 25.0, 4.0), _prior(Normal, 0.0, 2.0), _prior(Normal, 0.0, 1.0)
    squares = (x[:, None] - x) ** 2

    def log_density(v: Values) -> Tensor:
        rho, alpha, sigma = (v[name][..., None, None] for name in ("rho", "alpha", "sigma"))
        covariance = alpha**2 * (-0.5 * squares / rho**2).exp() + sigma * torch.eye(len(x), dtype=x.dtype)
        prior = rho_prior(v["rho"]) + alpha_prior(v["alpha"]) + sigma_prior(v["sigma"])
        return prior + MultivariateNormal(torch.zeros_like(y), covariance, validate_args=False).log_prob(y)

    parameters = dict.fromkeys(("rho", "alpha", "sigma"), constraints.positive)
    return parameters, log_density, lambda v: _last(v["rho"], v["alpha"], v["sigma"])


def _low_dim_gauss_mix(data: Data) -> tuple[Any, ...]:
    """Two Gaussians; their means are ordered, mu2 = mu1 + gap."""
    y, theta_prior = data["y"][:, None], _prior(Beta, 5.0, 5.0)

    def log_density(v: Values) -> Tensor:
        mu = _last(v["mu1"], v["mu1"] + v["gap"])
        prior = _normal(mu, 0.0, 2.0) + _normal(v["sigma"], 0.0, 2.0) + theta_prior(v["theta"])
        log_weights = _last(v["theta"].log(), torch.log1p(-v["theta"]))
        each = Normal(mu[..., None, :], v["sigma"][..., None, :], validate_args=False).log_prob(y)
        return prior + (log_weights[..., None, :] + each).logsumexp(-1).sum(-1)

    def quantities(v: Values) -> Tensor:
        return torch.cat((_last(v["mu1"], v["mu1"] + v["gap"]), v["sigma"], v["theta"][..., None]), -1)

    parameters = {
        "mu1": constraints.real,
        "gap": constraints.positive,
        "sigma": (constraints.positive, 2),
        "theta": constraints.unit_interval,
    }
    return parameters, log_density, quantities


_MODELS = {
    "arK": _ark,
    "earnings": _earnings,
    "eight_schools": _eight_schools,
    "garch11": _garch11,
    "gp_regr": _gp_regr,
    "kidscore": _kidscore,
    "kilpisjarvi": _kilpisjarvi,
    "low_dim_gauss_mix": _low_dim_gauss_mix,
    "blr": _blr,
}


def load(name: str, folder: str | Path) -> Posterior:
    """One of `FILES` with its data and its reference draws, from the folder with `posteriordb`."""
    with np.load(Path(folder) / "posteriordb" / f"{FILES[name]}.npz") as arrays:
        data = {key[6:]: torch.tensor(arrays[key], dtype=torch.float64) for key in arrays.files if key[:6] == "data__"}
        reference = {key: arrays[key] for key in ("params", "mean", "sd", "draws")}
    parameters, log_density, quantities = _MODELS[name](data)
    draws = torch.from_numpy(reference["draws"]).double().flatten(1).T
    mean, sd = torch.from_numpy(reference["mean"]), torch.from_numpy(reference["sd"])
    return Posterior(parameters, log_density, quantities, reference["params"].tolist(), mean, sd, draws)

"""Normal approximations by sample-average approximation: the mean-field fit, its linear response, and full rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .density import LogDensity
from .draws import standard_draws
from .families import FullRank, MeanField
from .linear_response import linear_response
from .optimise import ImproperDensityError, Optimum, lbfgs, newton, newton_cg
from .saa import FullRankObjective, MeanFieldObjective

__all__ = [
    "DENSE",
    "FEW",
    "RESPONSE",
    "MeanFieldFit",
    "fit_full_rank",
    "fit_mean_field",
    "guarded",
    "mean_field_at",
    "mean_field_noise",
]

Vector = NDArray[np.float64]

DENSE = 200  # dimensions up to which a Hessian of the bound is computed at every step
RESPONSE = 1000  # and up to which it is computed once, for linear response
FEW = 8  # draws that are enough to come near an optimum
LARGEST = 1e11  # standard deviation; beyond, no posterior is: the bound grows without end
SUSPECT = 1e4  # one that a fit which does not converge has come to, on a way without end


class MeanFieldFit(NamedTuple):
    """A mean-field optimum and what it implies.

    Attributes:
        family: the fit.
        response: a normal distribution of linear-response covariance; None where there is none.
        objective: minus the bound on the fixed draws.
        optimum: of the objective, parameters (m, log s).
    """

    family: MeanField
    response: FullRank | None
    objective: MeanFieldObjective
    optimum: Optimum


def mean_field_noise(n_draws: int | None, log_density: LogDensity, generator: torch.Generator) -> Tensor:
    """Fixed draws, max(32, 2 dim) of them up to 512 unless said: enough to be whitened."""
    dim = log_density.dim
    n_draws = max(32, min(2 * dim, 512)) if n_draws is None else n_draws
    return standard_draws(n_draws, dim, generator, dtype=log_density.dtype).to(log_density.device)


def fit_mean_field(
    log_density: LogDensity, start: Vector, noise: Tensor, few: Tensor, names: Sequence[str]
) -> MeanFieldFit:
    """Independent normals: near the optimum by Newton's method on a few draws, then L-BFGS, then Newton's to the end.

    Args:
        log_density: the target.
        start: parameters (m, log s), (2 dim,).
        noise: fixed draws (M, dim).
        few: fewer of them, to begin with.
        names: of the coordinates, for messages.

    Returns:
        the fit.
    """
    objective, rough = MeanFieldObjective(log_density, noise), MeanFieldObjective(log_density, few)
    dim, longest = log_density.dim, guarded(names)
    if dim <= DENSE:
        near = newton(rough.second_order, start, longest=longest, tolerance=0.05)
        at = near.theta if np.isfinite(objective.value_and_gradient(near.theta)[0]) else start
        close = lbfgs(objective.value_and_gradient, at, hessian=near.hessian)
        _refuse_improper(close.theta, names)
        optimum = newton(objective.second_order, close.theta, longest=longest)
        if not optimum.converged:
            _refuse_improper(optimum.theta, names, largest=SUSPECT)
    else:
        optimum = lbfgs(objective.value_and_gradient, start, max_iter=2000)
        _refuse_improper(optimum.theta, names)
        if not optimum.converged:
            optimum = newton_cg(objective.value_and_gradient, objective.product, optimum.theta)
            _refuse_improper(optimum.theta, names)
        if dim <= RESPONSE:
            hessian = objective.second_order(optimum.theta)[1]()[1]
            optimum = optimum._replace(hessian=hessian if np.isfinite(hessian).all() else None)
    return mean_field_at(log_density, objective, optimum)


def mean_field_at(log_density: LogDensity, objective: MeanFieldObjective, optimum: Optimum) -> MeanFieldFit:
    """The families that an optimum stands for."""
    dim, dtype = log_density.dim, log_density.dtype
    location, log_scale = torch.from_numpy(optimum.theta).to(log_density.device, dtype).split(dim)
    family = MeanField(dim, location, log_scale.exp(), dtype=dtype)
    covariance = linear_response(optimum.hessian) if optimum.hessian is not None else None
    response = None
    if covariance is not None:
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if not failed:
            response = FullRank(dim, location, factor.to(log_density.device, dtype), dtype=dtype)
    return MeanFieldFit(family, response, objective, optimum)


def fit_full_rank(
    log_density: LogDensity, guess: FullRank, noise: Tensor, names: Sequence[str]
) -> tuple[FullRank, Optimum]:
    """A normal distribution of any covariance, by L-BFGS from a guess.

    Args:
        log_density: the target.
        guess: where to start, and what gives all parameters one scale.
        noise: fixed draws (M, dim), M >= 2 dim.
        names: of the coordinates, for messages.

    Returns:
        the fit, and the optimum of its parameters.
    """
    objective = FullRankObjective(log_density, noise, guess.location.detach(), guess.factor.detach())
    optimum = lbfgs(objective.value_and_gradient, objective.start(), tolerance=1e-4)
    location, factor = objective.solution(optimum.theta)
    _refuse_improper(np.concatenate([location.cpu().numpy(), factor.norm(dim=1).log().cpu().numpy()]), names)
    return FullRank(log_density.dim, location, factor, dtype=log_density.dtype), optimum


def guarded(names: Sequence[str]) -> Callable[[Vector, Vector], float]:
    """The share of Newton's step to take: scales change by e^2 at most, means by a hundred times their size."""

    def longest(theta: Vector, step: Vector) -> float:
        _refuse_improper(theta, names)
        dim = len(names)
        by_mean = np.abs(step[:dim]) / (100 * (1 + np.abs(theta[:dim])))
        return 1 / max(1.0, float(by_mean.max()), float(np.abs(step[dim:]).max()) / 2)

    return longest


def _refuse_improper(theta: Vector, names: Sequence[str], largest: float = LARGEST) -> None:
    location, log_scale = np.split(theta, 2)
    beyond = (log_scale > np.log(largest)) | (np.abs(location) > 10 * largest)
    if beyond.any():
        where = [name for name, is_beyond in zip(names, beyond, strict=True) if is_beyond]
        shown = ", ".join(where[:5]) + (", ..." if len(where) > 5 else "")
        raise ImproperDensityError(
            f"Expected a density with a finite integral, got one whose bound grows without end along {shown}; "
            "the posterior is improper: use a prior that is proper there"
        )

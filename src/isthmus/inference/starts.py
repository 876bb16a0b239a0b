"""Other optima: what a fit from one start can't see, and importance weights of its draws can't either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .families.mixture import GaussianMixtureFamily
from .optimise import ImproperDensityError, lbfgs, newton
from .saa import MeanFieldObjective
from .variational import DENSE, MeanFieldFit, guarded, mean_field_at

__all__ = ["mixture_of", "other_optima"]

Vector = NDArray[np.float64]
MOST = 8  # optima to look for
WORSE = 12.0  # nats; an optimum of that much less evidence holds nothing of the posterior
SCATTERED = 500  # points at which the density is looked at, for mass far from the known optimum
FAR, NEARLY = 5.0, 20.0  # standard deviations; nats below the optimum's density


def other_optima(
    fit: MeanFieldFit, few: Tensor, n_starts: int, generator: torch.Generator, names: Sequence[str]
) -> list[MeanFieldFit]:
    """Mean-field optima other than one, found from other starts: few draws until it is clear where they lead.

    Starts are the mirror image of the fit, points near the origin and some ten standard deviations off in turn, the
    densest of many scattered points where there is mass far off, and the mirror image of whatever is found.

    Args:
        fit: the one known; without a Hessian, or in many dimensions, others are not looked for.
        few: draws for the search.
        n_starts: how many.
        generator: of the starts.
        names: of the coordinates, for messages.

    Returns:
        the others, best first, none of them far worse than the best of all.
    """
    hessian, dim = fit.optimum.hessian, fit.objective.dim
    if hessian is None or fit.response is None or dim > DENSE:
        return []
    rough, longest = MeanFieldObjective(fit.objective.log_density, few), guarded(names)
    found, starts = [fit], _starts(fit, n_starts, generator)
    while starts and len(found) <= MOST:
        at = starts.pop(0)
        theta = np.concatenate([at, fit.optimum.theta[dim:]])
        value, gradient = rough.value_and_gradient(theta)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            continue
        led = lbfgs(
            rough.value_and_gradient, theta, hessian=hessian, tolerance=0.03, max_iter=20,
            enough=lambda theta: any(_same(theta, known) for known in found),
        )  # fmt: skip
        if any(_same(led.theta, known) for known in found):
            continue
        value = fit.objective.value_and_gradient(led.theta)[0]
        if not led.converged or not np.isfinite(value) or value > fit.optimum.value + WORSE + dim:
            continue
        try:
            optimum = newton(fit.objective.second_order, led.theta, longest=longest)
        except (ImproperDensityError, ValueError):
            continue
        other = mean_field_at(fit.objective.log_density, fit.objective, optimum)
        if optimum.converged and other.response is not None and not any(_same(optimum.theta, k) for k in found):
            found.append(other)
            starts.append(-optimum.theta[:dim])
    best = min(one.optimum.value for one in found)
    others = [one for one in found[1:] if one.optimum.value < best + WORSE]
    return sorted(others, key=lambda one: one.optimum.value)


def mixture_of(fits: Sequence[MeanFieldFit]) -> GaussianMixtureFamily:
    """A mixture of the linear-response normals at several optima, weighted by their bounds, none very small."""
    responses = [fit.response for fit in fits if fit.response is not None]
    dim, like = responses[0].dim, responses[0].location
    family = GaussianMixtureFamily(dim, len(responses), covariance="full", dtype=like.dtype)
    lower = like.new_zeros(len(responses), dim, dim)
    with torch.no_grad():
        for k, (fit, response) in enumerate(zip(fits, responses, strict=True)):
            diagonal = response.factor.diagonal()
            family.locations[k] = response.location
            family.log_scales[k] = diagonal.log()
            lower[k] = response.factor.tril(-1) / diagonal[:, None]
            # The bound of mean field misses the volume that linear response adds.
            volume = float(diagonal.log().sum() - fit.family.log_scale.sum())
            family.logits[k] = -fit.optimum.value + volume
        family.lower = nn.Parameter(lower)
        # Each has its share of the draws, so that none that matters goes unseen.
        family.logits.copy_((0.9 * family.logits.softmax(0) + 0.1 / len(responses)).log())
    return family.to(like.device)


def _starts(fit: MeanFieldFit, n_starts: int, generator: torch.Generator) -> list[Vector]:
    dim, location = fit.objective.dim, fit.optimum.theta[: fit.objective.dim]
    factor = fit.response.factor.detach().double().cpu().numpy() if fit.response is not None else np.eye(dim)
    starts = []
    for k in range(n_starts):
        noise = torch.randn(dim, generator=generator, dtype=torch.float64, device=generator.device).cpu().numpy()
        starts.append([-location, 2 * noise, location + 10 * factor @ noise][k % 3 if k < 3 else 1 + k % 2])
    return starts + _far_mass(fit, factor, generator) if n_starts else starts


def _far_mass(fit: MeanFieldFit, factor: NDArray[np.float64], generator: torch.Generator) -> list[Vector]:
    """The densest of points scattered 3 to 30 standard deviations around, if it is as dense as another mode's would be.

    In a few dimensions some of them come near a mode wherever it is; in many, hardly any does.
    """
    dim, location, target = fit.objective.dim, fit.optimum.theta[: fit.objective.dim], fit.objective.log_density
    noise = torch.randn(SCATTERED, dim, generator=generator, dtype=torch.float64, device=generator.device).cpu().numpy()
    noise *= np.geomspace(3.0, 30.0, SCATTERED)[:, None]
    points = np.concatenate([location[None], location + noise @ factor.T])
    values = target.values(torch.from_numpy(points).to(target.device, target.dtype)).double().cpu().numpy()
    distance = np.concatenate([[0.0], np.sqrt(np.square(noise).sum(axis=1))])
    values[(distance < FAR * dim**0.5) | ~(values > values[0] - NEARLY)] = -np.inf
    densest = int(values.argmax())
    return [points[densest]] if values[densest] > -np.inf else []


def _same(theta: Vector, known: MeanFieldFit) -> bool:
    """Whether means are within one standard deviation, by linear response, in every direction."""
    dim = len(theta) // 2
    factor = known.response.factor.detach().double().cpu().numpy() if known.response is not None else np.eye(dim)
    apart = np.linalg.solve(factor, theta[:dim] - known.optimum.theta[:dim])
    return bool(np.sqrt(apart @ apart) < 1.0 + 0.1 * dim**0.5)

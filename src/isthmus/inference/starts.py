"""Other optima: what a fit from one start can't see, and importance weights of its draws can't either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .density import LogDensity
from .families.mixture import GaussianMixtureFamily
from .optimise import ImproperDensityError, lbfgs, newton
from .saa import MeanFieldObjective
from .variational import DENSE, MeanFieldFit, guarded, mean_field_at

__all__ = ["mixture_of", "other_optima"]

Vector = NDArray[np.float64]
DENSER = 1.0  # nats above the optimum's density: points that end there may lead to another one within its scale
MOST = 8  # optima to look for
LIKELY = 7.0  # by which log scales of two optima may differ
ALIKE = 0.6  # log scales of one optimum, found from few draws and from more
WORSE = 12.0  # nats; an optimum of that much less evidence holds nothing of the posterior
BANDS, LOOKED_AT = 32, 32  # distances, and points at each, of which one climbs too
SCATTERED, CLIMBS = 64, 12  # points, and steps that they climb, to find mass far from the known optimum
NEARLY = 20.0  # nats, and 2 a dimension, below the optimum's density: points that end there may lead to another one


def other_optima(
    fit: MeanFieldFit, few: Tensor, n_starts: int, generator: torch.Generator, names: Sequence[str]
) -> list[MeanFieldFit]:
    """Mean-field optima other than one, found from other starts: few draws until it is clear where they lead.

    Starts are where many scattered points end that climb the density, and the mirror image of whatever is found.

    Args:
        fit: the one known; without a Hessian, or in many dimensions, others are not looked for.
        few: draws for the search.
        n_starts: how many may lead to nothing new.
        generator: of the scattered points.
        names: of the coordinates, for messages.

    Returns:
        the others, best first, none of them far worse than the best of all.
    """
    hessian, dim = fit.optimum.hessian, fit.objective.dim
    if hessian is None or dim > DENSE or n_starts < 1:
        return []
    rough, longest = MeanFieldObjective(fit.objective.log_density, few), guarded(names)
    found, starts, tried = [fit], _ends(fit, generator), 0
    while starts and len(found) <= MOST and tried < n_starts + len(found) - 1:
        theta, tried = starts.pop(0), tried + 1
        value, derivatives = rough.second_order(theta)
        if not np.isfinite(value):
            continue
        here = derivatives()[1]
        here = here if np.isfinite(here).all() else hessian
        led = lbfgs(
            rough.value_and_gradient, theta, hessian=here, tolerance=0.03, max_iter=20,
            enough=lambda theta: any(_same(theta, known, within=0.3) for known in found),
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
            starts.append(np.concatenate([-optimum.theta[:dim], optimum.theta[dim:]]))
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


def _scattered(location: Tensor, unit: Tensor, generator: torch.Generator) -> Tensor:
    """Points around an optimum in its own metric, (S, dim): 1 to 100 standard deviations off, in opposite pairs.

    With them its mirror image, as many densities are the same under a change of sign, and points around the origin.
    """
    dim = len(location)
    noise = torch.randn(SCATTERED // 2 + 8, dim, generator=generator, dtype=torch.float64, device=generator.device)
    noise = noise.to(unit)
    half = noise[8:] * torch.logspace(0, 2, SCATTERED // 2).to(unit)[:, None]
    near = torch.cat([-location[None], 2 * noise[:8]]) - location
    return torch.cat([torch.linalg.solve_triangular(unit, near.T, upper=False).T, half, -half])


def _suspects(target: LogDensity, location: Tensor, unit: Tensor, generator: torch.Generator) -> Tensor:
    """Of many more points at each distance those with the most density above the normal distribution's, (BANDS, dim).

    They may lie in the basin of a mode that is narrower than the known one, which few others would hit.
    """
    noise = torch.randn(
        BANDS * LOOKED_AT, len(location), generator=generator, dtype=torch.float64, device=generator.device
    )
    whitened = noise.to(unit) * torch.logspace(0, 2, BANDS * LOOKED_AT).to(unit)[:, None]
    above = target.values(location + whitened @ unit.T) + 0.5 * whitened.square().sum(1)
    best = above.reshape(BANDS, LOOKED_AT).argmax(1)
    return whitened[best + LOOKED_AT * torch.arange(BANDS, device=best.device)]


def _ends(fit: MeanFieldFit, generator: torch.Generator) -> list[Vector]:
    """Parameters (m, log s) where scattered points end that climb the density, away from each other, densest first.

    Where one normal distribution is all there is, the first step takes all of them to its mean. Of a far mode's basin
    they need to hit a half-space, in which a good share of them lies in any dimension; of one much narrower than the
    known mode's, a ball, which in more than four dimensions none may hit.
    """
    target, response = fit.objective.log_density, fit.response
    if response is None:
        return []
    location, unit = response.location.detach(), response.factor.detach()
    points = torch.cat([_scattered(location, unit, generator), _suspects(target, location, unit, generator)])
    ends, values = _climbed(target, location, unit, points)
    dim, kept, starts = len(location), [torch.zeros_like(location)], []
    gains = values - target.values(location[None])
    for index in values.argsort(descending=True):
        gain = float(gains[index])
        if gain < -NEARLY - 2 * dim or len(kept) > MOST:  # a wider mode is less dense
            break
        if all((ends[index] - other).norm() > _apart(dim) for other in kept[gain > DENSER :]):
            kept.append(ends[index])
            starts.append(_with_scales(target, location + unit @ ends[index], fit.optimum.theta[dim:]))
    return starts


def _with_scales(target: LogDensity, point: Tensor, log_scale: Vector) -> Vector:
    """Parameters (m, log s) at a point: scales by the curvature there, or those of another optimum if there is none."""
    dim = len(point)
    product = target.curvature(point[None])[2]
    curvature = -product(torch.eye(dim, dtype=point.dtype, device=point.device)[:, None])[:, 0].diagonal()
    own = (-0.5 * curvature.clamp(min=1e-300).log()).double().cpu().numpy()
    bent = (curvature > 0).cpu().numpy() & (np.abs(own - log_scale) < LIKELY)
    return np.concatenate([point.double().cpu().numpy(), np.where(bent, own, log_scale)])


def _climbed(target: LogDensity, location: Tensor, unit: Tensor, whitened: Tensor) -> tuple[Tensor, Tensor]:
    """Points that climb a density by its gradient, each with a step of its own, which is 1 for a normal's.

    Args:
        target: the density.
        location, unit: the metric's centre (dim,) and Cholesky factor (dim, dim).
        whitened: where points start, in that metric, (S, dim).

    Returns:
        where they end in that metric, (S, dim), and the log-density there (S,), but for those that begin outside.
    """
    values, gradient = target.value_and_gradient(location + whitened @ unit.T)
    inside = values.isfinite()
    at, values, gradient = whitened[inside], values[inside], gradient[inside]
    step = torch.ones_like(values)[:, None]
    for _ in range(CLIMBS):
        direction = (gradient @ unit).nan_to_num(0.0, 0.0, 0.0)
        if not bool((direction.norm(dim=1) > 0.1).any()):
            break
        # No further than through the centre to the other side: gradients may be of any size far out.
        longest = (2 * at.norm(dim=1) + 1) / direction.norm(dim=1).clamp(min=1e-300)
        proposed = at + torch.minimum(step, longest[:, None]) * direction
        found, slope = target.value_and_gradient(location + proposed @ unit.T)
        # A gain in keeping with the slope: a step that is too long may land in another optimum's basin, and gain.
        better = (found > values + 0.3 * ((proposed - at) * direction).sum(1))[:, None]
        at, gradient = torch.where(better, proposed, at), torch.where(better, slope, gradient)
        values = torch.where(better[:, 0], found, values)
        step = torch.where(better, (2 * step).clamp(max=1.0), step / 4)
    return at, values


def _apart(dim: int) -> float:
    """Standard deviations between two points that are not of one optimum."""
    return 1.0 + 0.1 * dim**0.5


def _same(theta: Vector, known: MeanFieldFit, within: float = 1.0) -> bool:
    """Whether means are within so many of `_apart`, by linear response, in every direction, and scales alike.

    A fit across two modes and one of either have means that are near, in terms of the first.
    """
    dim = len(theta) // 2
    factor = known.response.factor.detach().double().cpu().numpy() if known.response is not None else np.eye(dim)
    apart = np.linalg.solve(factor, theta[:dim] - known.optimum.theta[:dim])
    scales = np.abs(theta[dim:] - known.optimum.theta[dim:])
    return bool(np.sqrt(apart @ apart) < within * _apart(dim) and scales.max() < within * ALIKE)

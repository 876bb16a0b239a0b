"""Hamiltonian Monte Carlo along a geometric path between two densities, many chains at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from .importance import sample
from .seeding import seeded

__all__ = ["Path", "Pilot", "Point", "pilot", "step"]

ACCEPTANCE = 0.8
"""Share of accepted steps that step sizes are tuned for."""

_PILOT_CHAINS = 16
_FIRST_STEPS = 20  # at the first temperature, to find the size there
_RATE = 0.2  # by how much a step's logarithm follows what acceptance lacks


class Point(NamedTuple):
    """Where chains are, (C, *batch, dim), with both log-densities, (C, *batch), and their gradients there."""

    x: Tensor
    log_start: Tensor
    log_target: Tensor
    start_gradient: Tensor
    target_gradient: Tensor

    def log_density(self, beta: float) -> Tensor:
        """(1 - beta) log p_0 + beta log p, (C, *batch)."""
        return (1 - beta) * self.log_start + beta * self.log_target

    def gradient(self, beta: float) -> Tensor:
        """Its gradient, (C, *batch, dim)."""
        return (1 - beta) * self.start_gradient + beta * self.target_gradient

    def where(self, accept: Tensor, other: Point) -> Point:
        """This point where accept, (C, *batch), is true, the other one elsewhere."""
        wide = accept[..., None]
        masks = (wide, accept, accept, wide, wide)
        return Point(*(torch.where(mask, a, b) for mask, a, b in zip(masks, self, other, strict=True)))


class Path:
    """The densities p_0(x)^(1 - beta) p(x)^beta.

    Args:
        start: p_0, normalised, of event shape (dim,) and any batch shape.
        log_density: x (C, *batch, dim) to log p, (C, *batch), up to a constant. NaN and infinity count as a density of
            zero.
        n_leapfrog: gradients of each step.

    Raises:
        ValueError: events of the start that are no vectors, or n_leapfrog below 1.
    """

    def __init__(self, start: Distribution, log_density: Callable[[Tensor], Tensor], n_leapfrog: int) -> None:
        if len(start.event_shape) != 1:
            raise ValueError(
                f"Expected a start whose events are vectors, got events of shape {tuple(start.event_shape)}; "
                "use torch.distributions.Independent."
            )
        if n_leapfrog < 1:
            raise ValueError(f"Expected n_leapfrog of at least 1, got {n_leapfrog}.")
        self.start, self.log_density, self.n_leapfrog = start, log_density, n_leapfrog
        self.unit = _standard_deviation(start)

    def at(self, x: Tensor) -> Point:
        """Both densities and their gradients at x (C, *batch, dim)."""
        log_start, start_gradient = _with_gradient(self.start.log_prob, x)
        log_target, target_gradient = _with_gradient(self.log_density, x)
        log_target = log_target.masked_fill(~log_target.isfinite(), -torch.inf)
        return Point(x.detach(), log_start, log_target, start_gradient, target_gradient)


def _standard_deviation(start: Distribution) -> Tensor:
    """What steps are measured in, (*batch, dim); 1 where the start has none."""
    try:
        unit = start.stddev.detach()
    except NotImplementedError:
        with seeded(0):
            unit = torch.ones_like(start.sample())
    return torch.where(unit.isfinite() & (unit > 0), unit, 1.0)


def _with_gradient(log_density: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = log_density(x)
        if value.shape != x.shape[:-1]:
            raise ValueError(
                f"Expected a log-density of shape {tuple(x.shape[:-1])} for {tuple(x.shape)}, got {tuple(value.shape)}."
            )
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def step(path: Path, point: Point, beta: float, size: Tensor, generator: torch.Generator) -> tuple[Point, Tensor]:
    """One accepted or rejected trajectory of each chain; leaves the density at beta as it is.

    Args:
        path: of densities.
        point: where the chains are.
        beta: inverse temperature.
        size: step sizes, (*batch).
        generator: of random numbers.

    Returns:
        Where they are then, and the probabilities of acceptance, (C, *batch).
    """
    like = point.x
    momentum = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    noise = torch.rand((1 + point.log_start.numel(),), generator=generator, dtype=like.dtype, device=like.device)
    # Trajectories of one length would bring a Gaussian's chains back to where they began.
    size = (size * (0.8 + 0.4 * noise[0]))[..., None]
    proposal, start = point, momentum
    for i in range(path.n_leapfrog):
        momentum = momentum + (0.5 if i == 0 else 1.0) * size * path.unit * proposal.gradient(beta)
        proposal = path.at(proposal.x + size * path.unit * momentum)
    momentum = momentum + 0.5 * size * path.unit * proposal.gradient(beta)
    kinetic = 0.5 * (start.square() - momentum.square()).sum(-1)
    change = proposal.log_density(beta) - point.log_density(beta) + kinetic
    acceptance = change.nan_to_num(nan=-torch.inf, posinf=torch.inf).clamp(max=0).exp()
    return proposal.where(noise[1:].reshape(acceptance.shape) < acceptance, point), acceptance


class Pilot(NamedTuple):
    """What a run that is then thrown away found along a path.

    Attributes:
        betas: the inverse temperatures it passed, from 0 to 1, (P + 1,).
        sizes: step sizes there, (P + 1, *batch).
        spread: standard deviation of log p - log p_0 over the chains, root mean square over the batch, (P + 1,).
    """

    betas: Tensor
    sizes: Tensor
    spread: Tensor

    def sizes_at(self, betas: Tensor) -> Tensor:
        """Step sizes at the nearest inverse temperatures, (n + 1, *batch)."""
        nearest = (betas[:, None] - self.betas).abs().argmin(1)
        return self.sizes[nearest.to(self.sizes.device)]

    def temperatures(self, n: int) -> Tensor:
        r"""n steps from 0 to 1 between which log weights spread alike, (n + 1,).

        With perfect transitions the variance of a log weight is least where :math:`\Delta\beta` is inverse to the
        spread. A tenth of the steps follows the run's own spacing, lest a spread that it took for zero be jumped over.
        """
        cells = 0.5 * (self.spread[1:] + self.spread[:-1]) * self.betas.diff()
        share = cells / cells.sum() if 0 < cells.sum() < torch.inf else torch.zeros_like(cells)
        passed = torch.cat((cells.new_zeros(1), (0.9 * share + 0.1 / len(cells)).cumsum(0)))
        wanted = torch.linspace(0, 1, n + 1, dtype=passed.dtype) * passed[-1]
        cell = torch.searchsorted(passed, wanted, right=True).clamp(1, len(cells)) - 1
        inside = (wanted - passed[cell]) / (passed[cell + 1] - passed[cell])
        betas = self.betas[cell] + inside * self.betas.diff()[cell]
        betas[0], betas[-1] = 0, 1
        return betas


def pilot(path: Path, betas: Tensor, generator: torch.Generator) -> Pilot:
    """Tune step sizes along inverse temperatures (P + 1,) from 0 to 1, and see how log weights spread there."""
    point = path.at(sample(path.start, _PILOT_CHAINS, generator))
    log_size = torch.full_like(path.unit[..., 0], 0.5).log()
    sizes, spreads = [log_size], [_spread(point)]
    for i, beta in enumerate([betas[1].item()] * _FIRST_STEPS + betas[1:].tolist()):
        point, acceptance = step(path, point, beta, log_size.exp(), generator)
        log_size = log_size + _RATE * (acceptance.mean(0) - ACCEPTANCE)
        if i >= _FIRST_STEPS:
            sizes.append(log_size)
            spreads.append(_spread(point))
    return Pilot(betas, torch.stack(sizes).exp(), torch.stack(spreads).cpu())


def _spread(point: Point) -> Tensor:
    """Chains where a density is zero don't count."""
    difference = (point.log_target - point.log_start).double()
    finite = difference.isfinite()
    n = finite.sum(0).clamp(min=1)
    mean = torch.where(finite, difference, 0.0).sum(0) / n
    variance = torch.where(finite, (difference - mean).square(), 0.0).sum(0) / n
    return variance.mean().sqrt()

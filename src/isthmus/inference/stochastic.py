"""Fitting any family by stochastic gradients, with neither a learning rate nor a step count to choose."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributions import Distribution

from .density import LogDensity
from .divergences import Direction, divergence_loss
from .families import Family, GaussianMixtureFamily, LinearFamily
from .gradients import Gradient
from .seeding import seed_torch, seeded

__all__ = ["StochasticFit", "fit_family"]

RATES = tuple(0.1 / 4**k for k in range(5))
"""Learning rates to choose from: Agrawal, Sheldon and Domke's."""

PATIENCE = 3
"""Windows without progress after which a rate has done what it can."""


@dataclass
class StochasticFit:
    """What `fit_family` found.

    Attributes:
        family: the fitted family, its parameters averaged over the last steps.
        bound: the evidence lower bound by fresh draws, nats: below the log of p's normalising constant.
        bound_error: its standard error.
        converged: whether the objective had stopped to change, at the last rate by less than its own noise.
        rate: the learning rate that was chosen.
        history: the objective's mean over each window of steps, in nats: lower is better.
        n_steps: steps taken.
        n_rejected: those left out, as gradients were not finite.
        n_evaluations: evaluations of the log-density, one for each draw.
        message: what happened, in words.
    """

    family: Family
    bound: float
    bound_error: float
    converged: bool
    rate: float
    history: list[float] = field(default_factory=list)
    n_steps: int = 0
    n_rejected: int = 0
    n_evaluations: int = 0
    message: str = ""


def fit_family(
    log_density: LogDensity | Callable[[Tensor], Tensor],
    family: Family,
    *,
    direction: Direction = "reverse",
    gradient: Gradient = "stl",
    alpha: float = 0.5,
    n_draws: int = 32,
    generator: torch.Generator | None = None,
    max_steps: int = 4000,
    window: int = 50,
    tolerance: float = 0.01,
    n_bound_draws: int = 2000,
) -> StochasticFit:
    r"""Fit a family to a log-density by Adam on fresh draws; rate and number of steps are found.

    One window of steps is run at each rate of :math:`0.1 / 4^k`, k = 0 to 4, from the same start with the same noise,
    and the rate with the best objective goes on. When three windows in turn no longer lower the objective by more than
    its noise, the iterates of the last one are averaged and the rate is divided by 4; when that gains nothing either,
    the fit has converged, and is averaged over a window at a small rate. A step whose loss or gradient is not finite is
    left out and counted. Use it for flows, mixtures and low-rank Gaussians; mean-field and full-rank ones of moderate
    size are fitted faster, and exactly, on fixed draws by `fit_posterior`.

    Args:
        log_density: `LogDensity`, or a function of a vector as that takes.
        family: where it starts; it is left as it is.
        direction: "reverse", KL(q||p); "forward", KL(p||q) by self-normalised importance sampling, for few dimensions
            and a start that covers p; or "alpha", Renyi's.
        gradient: "stl", "reparameterised", or "score", which differentiates no log-density.
        alpha: order of Renyi's divergence.
        n_draws: of each step, two or more.
        generator: all randomness is a function of it; seed 0 unless given.
        max_steps: of the search and the fit together.
        window: steps between two looks.
        tolerance: change of the objective that counts as none, nats.
        n_bound_draws: fresh draws for the bound.

    Returns:
        The fit; where `converged` is False, `message` says why.

    Raises:
        ValueError: out of range, or a log-density that is finite in no draw at the start.

    References:
        Agrawal, Sheldon, Domke (2020). Advances in black-box VI: normalizing flows, importance weighting, and
            optimization. NeurIPS (rates, gradient).
        Dhaka et al. (2020). Robust, accurate stochastic optimization for variational inference. NeurIPS (averaging).

    Example:
        >>> from isthmus.inference import LowRank
        >>> fit = fit_family(lambda x: -0.5 * ((x - 3.0) ** 2).sum(), LowRank(4, rank=1))
        >>> fit.converged, bool((fit.family().mean - 3.0).abs().max() < 0.05)
        (True, True)
    """
    if n_draws < 2 or window < 10 or max_steps < window:
        raise ValueError(
            f"Expected n_draws >= 2 and 10 <= window <= max_steps, got {n_draws}, {window} and {max_steps}."
        )
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    like = next(family.parameters())
    if not isinstance(log_density, LogDensity):
        log_density = LogDensity(log_density, family.dim, dtype=like.dtype, device=like.device)
    n_before = log_density.n_values

    def loss(family: Family) -> Tensor:
        q = family()
        draws, weight = _draws(family, q, n_draws, direction, gradient)
        return divergence_loss(log_density(draws), q, draws, direction, gradient=gradient, alpha=alpha, weight=weight)

    with seeded(generator) as seed:
        run, n_search, n_lost = _search(family, loss, window, max_steps, seed)
        n_windows, converged = _descend(run, window, max_steps - n_search, tolerance)
    bound, error = _bound(log_density, run.family, n_bound_draws, generator)
    n_steps = n_search + n_windows * window
    rejected = n_lost + run.n_rejected
    said = (
        f"Stationary after {n_steps} steps" if converged else f"Not stationary after {n_steps} steps, the most allowed"
    )
    said += f"; rate {run.first_rate:.2g} of {RATES[0]:.2g} to {RATES[-1]:.2g}"
    said += f"; {rejected} steps left out as not finite" if rejected else ""
    converged = converged and run.n_rejected < 0.1 * n_steps
    return StochasticFit(
        run.family, bound, error, converged, run.first_rate, run.history, n_steps, rejected,
        log_density.n_values - n_before, said,
    )  # fmt: skip


def _draws(
    family: Family, q: Distribution, n: int, direction: Direction, gradient: Gradient
) -> tuple[Tensor, Tensor | None]:
    """Draws (S, dim), and their weights where they are stratified."""
    if gradient == "score":
        return q.sample((n,)), None
    if isinstance(family, GaussianMixtureFamily):
        return family.stratified(q, n)
    # Estimators with normalised weights, of the other directions, take draws to be independent of each other.
    if isinstance(family, LinearFamily) and direction == "reverse":
        like = next(family.parameters())
        noise = torch.randn(n - n // 2, family.noise_dim, dtype=like.dtype, device=like.device)
        return family.push(torch.cat((noise, -noise))[:n]), None  # antithetic: odd parts of the noise cancel
    return q.rsample((n,)), None


class _Run:
    """One family on its way at one rate."""

    def __init__(self, family: Family, loss: Callable[[Family], Tensor], rate: float) -> None:
        self.family, self.loss, self.first_rate = copy.deepcopy(family), loss, rate
        self.parameters: list[Tensor] = list(self.family.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=rate, fused=True)
        self.history: list[float] = []
        self.n_rejected = 0
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    def window(self, n_steps: int) -> tuple[float, float]:
        """Mean loss of a window's second half, and its standard error; the iterates' average over that half."""
        losses: list[Tensor] = []
        for average in self.average:
            average.zero_()
        for number in range(n_steps):
            value = self.loss(self.family)
            gradients = torch.autograd.grad(value, self.parameters, allow_unused=True)
            gradients = [
                torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.parameters, strict=True)
            ]
            if bool(torch.stack([value.detach(), *torch._foreach_norm(gradients)]).isfinite().all()):
                for parameter, g in zip(self.parameters, gradients, strict=True):
                    parameter.grad = g
                self.optimiser.step()
                losses.append(value.detach())
            else:
                self.n_rejected += 1
            if number >= n_steps // 2:
                torch._foreach_add_(
                    self.average, [p.detach() for p in self.parameters], alpha=1 / (n_steps - n_steps // 2)
                )
        tail = torch.stack(losses[len(losses) // 2 :]) if len(losses) >= 4 else torch.tensor([torch.inf])
        mean, error = float(tail.mean()), float(tail.std(correction=0) / len(tail) ** 0.5)
        self.history.append(mean)
        return mean, error

    def slow_down(self) -> None:
        """Go on from the average, at a quarter of the rate."""
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.average)
        for group in self.optimiser.param_groups:
            group["lr"] /= 4


def _search(
    family: Family, loss: Callable[[Family], Tensor], window: int, max_steps: int, seed: int
) -> tuple[_Run, int, int]:
    """The run with the best objective after a window, how many steps that took, and how many the others lost."""
    best: _Run | None = None
    worse, n_steps, n_rejected = 0, 0, 0
    for rate in RATES:
        if n_steps + 2 * window > max_steps and best is not None:
            break
        seed_torch(seed)  # the same noise at every rate
        run = _Run(family, loss, rate)
        mean, _ = run.window(window)
        n_steps += window
        if best is None or not mean >= best.history[0]:
            n_rejected += best.n_rejected if best else 0
            best, worse = run, 0
        else:
            n_rejected += run.n_rejected
            worse += 1
            if worse == 2 and best.history[0] < torch.inf:
                break  # past the best one
    if best is None or best.history[0] == torch.inf:
        raise ValueError(
            "Expected a log-density that is finite near the start, got non-finite losses at every rate; "
            "use another start, or a narrower one."
        )
    return best, n_steps, n_rejected


def _descend(run: _Run, window: int, max_steps: int, tolerance: float) -> tuple[int, bool]:
    """Windows until nothing is gained at any rate; how many, and whether that came to pass."""
    level, n_still, before = torch.inf, 0, torch.inf
    last = max_steps // window
    for number in range(1, last):
        mean, error = run.window(window)
        if mean < level - max(tolerance, 2 * error):
            level, n_still = mean, 0
            continue
        n_still += 1  # the level stays, so that slow progress adds up to some
        if n_still < PATIENCE:
            continue
        run.slow_down()
        if level > before - max(tolerance, 2 * error):
            run.window(window)  # once more where noise is small, to be averaged
            run.slow_down()
            return number + 1, True
        before, n_still = level, 0
    if last > 0:
        run.window(window)
        run.slow_down()
    return last, False


@torch.no_grad()
def _bound(log_density: LogDensity, family: Family, n_draws: int, generator: torch.Generator) -> tuple[float, float]:
    draws = family.draw(n_draws, generator)
    log_weights = log_density.values(draws) - family().log_prob(draws)
    return float(log_weights.mean()), float(log_weights.std() / n_draws**0.5)

"""Annealed importance sampling: integrals that importance sampling can't reach, from below and from above."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from .hamiltonian import Path, Point, pilot, step
from .importance import WeightSums, sample

__all__ = [
    "AnnealedEstimate",
    "BidirectionalEstimate",
    "Schedule",
    "anneal",
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "temperatures",
]

Schedule = Literal["adaptive", "sigmoidal", "linear"]
"""How inverse temperatures are spaced; sigmoidal: more densely near both ends; adaptive: as a pilot run says."""

_PILOT_STEPS = (50, 200)  # at least and at most

State = TypeVar("State")


class AnnealedEstimate(NamedTuple):
    """Log of an integral from annealed chains, with its error; `...` is the batch of integrals, () for one.

    Attributes:
        log_evidence: estimated log Z, (...).
        standard_error: of log_evidence over chains, by the delta method, (...); too small where few chains count.
        effective_sample_size: how many chains count, between 1 and C, (...).
        log_weights: of each chain, (C, ...).
        draws: where the chains ended, (C, ..., dim); with the log weights, draws of the target. Of reverse chains:
            unweighted draws of the start.
        acceptance: mean acceptance of the Hamiltonian steps, (...); NaN where there are none.
    """

    log_evidence: Tensor
    standard_error: Tensor
    effective_sample_size: Tensor
    log_weights: Tensor
    draws: Tensor
    acceptance: Tensor


class BidirectionalEstimate(NamedTuple):
    """Log Z between two bounds.

    Attributes:
        lower: from forward chains, in expectation below log Z.
        upper: from reverse chains that begin at exact draws, in expectation above it.
        gap: upper minus lower, (...): how far either can be off, in expectation.
    """

    lower: AnnealedEstimate
    upper: AnnealedEstimate
    gap: Tensor


def temperatures(n: int, schedule: Literal["sigmoidal", "linear"] = "sigmoidal") -> Tensor:
    r"""Inverse temperatures from 0 to 1 in n steps, float64, (n + 1,).

    Linear, or sigmoidal: :math:`\sigma(\delta (2t / n - 1))` with :math:`\delta = 4`, shifted and scaled to [0, 1].

    Raises:
        ValueError: n below 1, or an unknown schedule.

    References:
        Grosse, Ghahramani, Adams (2015). Sandwiching the marginal likelihood using bidirectional Monte Carlo.

    Example:
        >>> temperatures(4, "linear")
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=torch.float64)
    """
    if n < 1:
        raise ValueError(f"Expected n_temperatures of at least 1, got {n}.")
    even = torch.linspace(0, 1, n + 1, dtype=torch.float64)
    if schedule == "linear":
        return even
    if schedule != "sigmoidal":
        raise ValueError(f"Expected schedule 'sigmoidal' or 'linear', got {schedule!r}.")
    curve = (4 * (2 * even - 1)).sigmoid()
    return (curve - curve[0]) / (curve[-1] - curve[0])


def anneal(
    state: State,
    n_temperatures: int,
    log_ratio: Callable[[State, int], Tensor],
    transition: Callable[[State, int], State],
    *,
    reverse: bool = False,
) -> tuple[State, Tensor]:
    r"""Chains through densities f_0, ..., f_n, and their log weights :math:`\sum_t \log f_t(x_t) - \log f_{t-1}(x_t)`.

    Of forward chains from draws of f_0, the mean weight is Z_n / Z_0 in expectation; of reverse ones from draws of
    f_n, the mean of 1 / weight is Z_0 / Z_n.

    Args:
        state: where the chains are, draws of f_0, or of f_n in reverse.
        n_temperatures: the number n of densities after f_0.
        log_ratio: state and t to log f_t - log f_{t-1} of each chain, t from 1 to n.
        transition: state and t to the next state, by a kernel that leaves f_t as it is, t from 1 to n - 1; in reverse
            the reversed kernel, which for Metropolis-Hastings is the same.
        reverse: from f_n to f_0.

    Returns:
        Where the chains are, and their log weights.

    References:
        Neal (2001). Annealed importance sampling. Statistics and Computing 11.
    """
    order = range(n_temperatures, 0, -1) if reverse else range(1, n_temperatures + 1)
    total = None
    for t in order:
        ratio = log_ratio(state, t)
        total = ratio if total is None else total + ratio
        if t != order[-1]:
            state = transition(state, t - 1 if reverse else t)
    if total is None:
        raise ValueError(f"Expected n_temperatures of at least 1, got {n_temperatures}.")
    return state, total


def annealed_importance_sampling(
    start: Distribution,
    log_density: Callable[[Tensor], Tensor],
    n_chains: int = 16,
    *,
    n_temperatures: int = 1000,
    generator: torch.Generator,
    schedule: Schedule = "adaptive",
    n_leapfrog: int = 10,
) -> AnnealedEstimate:
    r"""Log of the integral of a density, by chains that go there from a known one in small steps.

    .. math:: f_t(x) = p_0(x)^{1 - \beta_t} \tilde p(x)^{\beta_t}, \qquad
        \log w = \sum_t (\beta_t - \beta_{t-1}) (\log \tilde p(x_t) - \log p_0(x_t))

    with a step of Hamiltonian Monte Carlo at each temperature. The mean weight is unbiased, so its logarithm is a lower
    bound in expectation that tightens with the number of temperatures; one temperature is importance sampling from
    p_0. Use it for the marginal likelihood of a posterior that no proposal covers, such as p(x) of a decoder with the
    prior as start: many integrals at once, one for each of the batch.

    Step sizes are tuned for each temperature, and each of the batch, in a short pilot run of other chains, and are
    fixed before a chain starts; so are the temperatures, set where log weights spread most. The estimate stays
    unbiased.

    Args:
        start: p_0, of event shape (dim,) and any batch shape.
        log_density: x (C, *batch, dim) to the log of the density, which need not be normalised, (C, *batch). NaN and
            infinity count as a density of zero.
        n_chains: chains C of each of the batch.
        n_temperatures: steps from p_0 to the density.
        generator: of random numbers.
        schedule: spacing of the inverse temperatures.
        n_leapfrog: gradients of each transition; all in all it takes about n_temperatures times so many.

    Returns:
        Log evidence with its error, effective sample size, weights, draws and acceptance.

    Raises:
        ValueError: a start without vectors as its events, a log-density of another shape, or counts below 1.

    References:
        Neal (2001). Annealed importance sampling. Statistics and Computing 11.
        Wu, Burda, Salakhutdinov, Grosse (2017). On the quantitative analysis of decoder-based generative models. ICLR.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> start = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> unit = Independent(Normal(torch.tensor([3.0, -2.0]), 0.2), 1)
        >>> found = annealed_importance_sampling(
        ...     start, unit.log_prob, n_temperatures=200, generator=torch.Generator().manual_seed(0)
        ... )
        >>> bool(found.log_evidence.abs() < 0.2)
        True
    """
    if n_chains < 1:
        raise ValueError(f"Expected n_chains of at least 1, got {n_chains}.")
    path = Path(start, log_density, n_leapfrog)
    betas, steps = _plan(path, n_temperatures, schedule, generator)
    return _run(path, path.at(sample(start, n_chains, generator)), betas, steps, generator)


def bidirectional_monte_carlo(
    start: Distribution,
    log_density: Callable[[Tensor], Tensor],
    draws: Tensor,
    *,
    n_temperatures: int = 1000,
    generator: torch.Generator,
    schedule: Schedule = "adaptive",
    n_leapfrog: int = 10,
) -> BidirectionalEstimate:
    r"""Log of an integral from below and from above: annealed chains in both directions.

    Reverse chains need exact draws of the density. Of a model's posterior there is one for data that the model made:
    what they were made from. Use it to learn how many temperatures are enough, on simulated data, and to trust
    `annealed_importance_sampling` with as many on real ones.

    Args:
        start, log_density, n_temperatures, generator, schedule, n_leapfrog: see `annealed_importance_sampling`.
        draws: exact draws of the density, (C, *batch, dim); as many forward chains are run.

    Returns:
        Lower and upper bound, each with its error, and their gap.

    Raises:
        ValueError: as for `annealed_importance_sampling`.

    References:
        Grosse, Ghahramani, Adams (2015). Sandwiching the marginal likelihood using bidirectional Monte Carlo.
    """
    path = Path(start, log_density, n_leapfrog)
    betas, steps = _plan(path, n_temperatures, schedule, generator)
    lower = _run(path, path.at(sample(start, len(draws), generator)), betas, steps, generator)
    upper = _run(path, path.at(draws), betas, steps, generator, reverse=True)
    return BidirectionalEstimate(lower, upper, upper.log_evidence - lower.log_evidence)


def _plan(path: Path, n: int, schedule: Schedule, generator: torch.Generator) -> tuple[list[float], Tensor]:
    """Inverse temperatures, and step sizes at them."""
    if schedule not in ("adaptive", "sigmoidal", "linear"):
        raise ValueError(f"Expected schedule 'adaptive', 'sigmoidal' or 'linear', got {schedule!r}.")
    betas = temperatures(n, "linear" if schedule == "linear" else "sigmoidal")
    if n == 1:  # no transition
        return betas.tolist(), path.unit[..., 0].expand(2, *path.unit.shape[:-1])
    fewest, most = _PILOT_STEPS
    way = temperatures(min(most, max(fewest, n)), "linear" if schedule == "linear" else "sigmoidal")
    found = pilot(path, way, generator)
    if schedule == "adaptive":
        betas = found.temperatures(n)
    return betas.tolist(), found.sizes_at(betas)


def _run(
    path: Path, chains: Point, betas: list[float], steps: Tensor, generator: torch.Generator, reverse: bool = False
) -> AnnealedEstimate:
    """Chains along the path, whose weights are averaged; in reverse, their inverses."""
    accepted: list[Tensor] = []

    def log_ratio(chains: Point, t: int) -> Tensor:
        return (betas[t] - betas[t - 1]) * (chains.log_target - chains.log_start).double()

    def transition(chains: Point, t: int) -> Point:
        chains, acceptance = step(path, chains, betas[t], steps[t], generator)
        accepted.append(acceptance.mean(0))
        return chains

    chains, log_weights = anneal(chains, len(betas) - 1, log_ratio, transition, reverse=reverse)
    sums = WeightSums.of(-log_weights if reverse else log_weights)
    log_evidence = -sums.log_mean if reverse else sums.log_mean
    acceptance = torch.stack(accepted).mean(0) if accepted else torch.full_like(log_evidence, torch.nan)
    return AnnealedEstimate(
        log_evidence, sums.standard_error, sums.effective_sample_size, log_weights, chains.x, acceptance
    )

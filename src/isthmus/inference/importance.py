"""Monte Carlo: expectations from draws, and integrals by importance sampling, each with its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from .families import Family
from .psis import smooth
from .seeding import seeded

__all__ = [
    "Estimate",
    "ImportanceSample",
    "WeightSums",
    "importance_sampling",
    "sample",
    "simple_monte_carlo",
]


class Estimate(NamedTuple):
    """A mean over draws and its standard error, alike in shape; the error is NaN for one draw."""

    value: Tensor
    standard_error: Tensor


class WeightSums(NamedTuple):
    r"""All that the log of a mean weight and its error take: sums over draws, which may come piece by piece.

    Attributes:
        top: the largest log weight, (...); the sums are relative to it.
        total: sum of the weights, (...).
        squares: sum of their squares, (...).
        n_draws: how many there were.
    """

    top: Tensor
    total: Tensor
    squares: Tensor
    n_draws: int

    @classmethod
    def of(cls, log_weights: Tensor) -> WeightSums:
        """Sums over the first axis of log weights (S, ...), in float64."""
        log_weights = log_weights.double()
        top = log_weights.max(0).values
        weights = (log_weights - _finite(top)).exp()
        return cls(top, weights.sum(0), weights.square().sum(0), len(log_weights))

    def __or__(self, other: WeightSums) -> WeightSums:
        """Sums over the draws of both."""
        top = torch.maximum(self.top, other.top)
        ours, theirs = ((sums.top - _finite(top)).exp() for sums in (self, other))
        return WeightSums(
            top,
            self.total * ours + other.total * theirs,
            self.squares * ours.square() + other.squares * theirs.square(),
            self.n_draws + other.n_draws,
        )

    @property
    def log_mean(self) -> Tensor:
        """Log of the mean weight, (...)."""
        return self.top + (self.total / self.n_draws).log()

    @property
    def effective_sample_size(self) -> Tensor:
        """(sum of weights)^2 / sum of squares, (...)."""
        return self.total.square() / self.squares

    @property
    def standard_error(self) -> Tensor:
        """Of `log_mean`, by the delta method, (...): the relative error of the mean weight; NaN for one draw."""
        if self.n_draws == 1:
            return self.total * math.nan
        # Relative variance of the mean weight, (S sum w^2 / (sum w)^2 - 1) / (S - 1); rounding may make it negative.
        return ((self.n_draws / self.effective_sample_size - 1).clamp(min=0) / (self.n_draws - 1)).sqrt()


def _finite(top: Tensor) -> Tensor:
    """What to subtract from log weights: 0 where all of them are -inf, to avoid inf - inf."""
    return torch.where(top.isneginf(), 0.0, top)


def sample(q: Distribution | Family, n: int, generator: torch.Generator) -> Tensor:
    """Draws (n, *batch, *event) as a function of the generator; torch's own random numbers stay as they were."""
    if isinstance(q, Family):
        return q.draw(n, generator)
    with seeded(generator), torch.no_grad():
        return q.sample(torch.Size((n,)))


def simple_monte_carlo(
    function: Callable[[Tensor], Tensor], p: Distribution | Family, n_samples: int, generator: torch.Generator
) -> Estimate:
    r"""An expectation under p as a mean over its draws.

    .. math:: E_p[f(x)] \approx \frac{1}{S} \sum_s f(x_s), \qquad x_s \sim p

    Its error falls with the square root of S in any dimension. For p(data) as the mean likelihood of draws from a prior
    use `importance_sampling` with the prior as q: it works with logarithms.

    Args:
        function: draws (S, ...) to values (S, ...).
        p: what is drawn from.
        n_samples: draws S.
        generator: of random numbers.

    Returns:
        Mean over draws and its standard error, each (...).

    Raises:
        ValueError: n_samples below 1.

    Example:
        >>> from torch.distributions import Normal
        >>> p = Normal(torch.tensor(0.0), torch.tensor(2.0))
        >>> value, error = simple_monte_carlo(torch.square, p, 10_000, torch.Generator().manual_seed(0))
        >>> bool((value - 4).abs() < 3 * error)
        True
    """
    values = function(sample(p, _at_least_one(n_samples), generator))
    error = values.std(0) / math.sqrt(n_samples) if n_samples > 1 else values[0] * math.nan
    return Estimate(values.mean(0), error)


def _at_least_one(n_samples: int) -> int:
    if n_samples < 1:
        raise ValueError(f"Expected n_samples of at least 1, got {n_samples}.")
    return n_samples


class ImportanceSample(NamedTuple):
    r"""Weighted draws, and what they say of the density that weighted them.

    Attributes:
        draws: from the proposal, (S, ...).
        log_weights: log-density minus the proposal's, (S,).
        smoothed: Pareto-smoothed log weights, whose exponentials sum to 1, (S,).
        log_evidence: log of the mean raw weight, (), which estimates log of the integral of the density. The mean
            weight is unbiased, and so its logarithm is a lower bound in expectation.
        standard_error: of log_evidence, by the delta method, (); too small where k-hat is large.
        effective_sample_size: of the raw weights, ().
        khat: shape of the weights' tail, (); above 0.7 neither evidence nor expectations are to be trusted.
        smoothed_log_evidence: log of the mean smoothed weight, (): of less variance than log_evidence, and a little
            bias.
    """

    draws: Tensor
    log_weights: Tensor
    smoothed: Tensor
    log_evidence: Tensor
    standard_error: Tensor
    effective_sample_size: Tensor
    khat: Tensor
    smoothed_log_evidence: Tensor

    @classmethod
    def of(cls, draws: Tensor, log_weights: Tensor) -> ImportanceSample:
        """From draws (S, ...) and their log weights (S,)."""
        smoothed, khat = smooth(log_weights)
        sums, total = WeightSums.of(log_weights), smoothed.logsumexp(0)
        return cls(
            draws, log_weights, (smoothed - total).to(log_weights.dtype),
            sums.log_mean, sums.standard_error, sums.effective_sample_size, khat, total - math.log(len(log_weights)),
        )  # fmt: skip

    def expectation(self, function: Callable[[Tensor], Tensor] | None = None, *, smooth: bool = True) -> Estimate:
        r"""Self-normalised expectation under the density, :math:`\sum_s w_s f(x_s) / \sum_s w_s`.

        Args:
            function: draws (S, ...) to values (S, ...); the draws themselves without one.
            smooth: with Pareto-smoothed weights, else the raw ones.

        Returns:
            The mean and its standard error by the delta method, each (...).
        """
        values = self.draws if function is None else function(self.draws)
        log_weights = self.smoothed if smooth else self.log_weights
        weights = log_weights.softmax(0).to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
        mean = (weights * values).sum(0)
        return Estimate(mean, (weights * (values - mean)).square().sum(0).sqrt())


def importance_sampling(
    log_density: Callable[[Tensor], Tensor],
    q: Distribution | Family,
    n_samples: int,
    generator: torch.Generator,
) -> ImportanceSample:
    r"""The integral of a density, and expectations under it, by draws from another one.

    .. math:: \log \int \tilde p(x) dx \approx \log \frac{1}{S} \sum_s w_s, \qquad w_s = \tilde p(x_s) / q(x_s)

    Good where q covers the density: weights of finite variance. `khat` tells, see `pareto_smooth`; and where q does not
    cover it, `annealed_importance_sampling` goes there in small steps.

    Args:
        log_density: draws (S, ...) to the log-density, which need not be normalised, (S,).
        q: proposal without batch shape: a torch distribution, or a fitted family.
        n_samples: draws S.
        generator: of random numbers.

    Returns:
        Draws, weights, log evidence with its error, effective sample size and k-hat.

    Raises:
        ValueError: n_samples below 1, densities that are not (S,), NaN or +inf, or zero for all draws.

    References:
        Kahn, Marshall (1953). Methods of reducing sample size in Monte Carlo computations. Operations Research 1(5).
        Vehtari, Simpson, Gelman, Yao, Gabry (2024). Pareto smoothed importance sampling. JMLR 25(72).

    Example:
        >>> from torch.distributions import Independent, Normal, StudentT
        >>> q = Independent(StudentT(5, torch.zeros(2), 1.5), 1)
        >>> generator = torch.Generator().manual_seed(0)
        >>> found = importance_sampling(lambda x: -0.5 * x.square().sum(-1), q, 20_000, generator)
        >>> bool((found.log_evidence - math.log(2 * math.pi)).abs() < 3 * found.standard_error), bool(found.khat < 0.5)
        (True, True)
    """
    draws = sample(q, _at_least_one(n_samples), generator)
    with torch.no_grad():
        log_target, log_q = log_density(draws), (q() if isinstance(q, Family) else q).log_prob(draws)
    for name, found in (("log_density", log_target), ("q.log_prob", log_q)):
        if found.shape != (n_samples,):
            raise ValueError(
                f"Expected {name} to return ({n_samples},) for {n_samples} draws, got {tuple(found.shape)}."
            )
    return ImportanceSample.of(draws, log_target - log_q)

"""Fresh draws of an approximation, weighed against the target: how good it is, and better moments than its own."""

from __future__ import annotations

from math import inf, nan
from typing import NamedTuple

import torch
from torch import Tensor

from .density import LogDensity
from .draws import standard_draws
from .families import Family, LinearFamily, Student
from .importance import ImportanceSample

__all__ = ["TRUSTED_KHAT", "Weighed", "missed_share", "weigh", "weigh_surely"]

TRUSTED_KHAT = 0.7
"""Above it, no estimate from the draws is to be trusted (Vehtari et al. 2024)."""

# From here up to that, k-hat is told from many draws: of few, a tail that is out of their reach looks short.
DOUBTED_KHAT, MANY = 0.4, 20_000
WIDER, HARDLY = 1.5, 3.0  # times as wide; nats below the target's density


class Weighed(NamedTuple):
    """An approximation q with fresh draws of it and their importance weights.

    Attributes:
        family: the approximation.
        sample: its draws with weights p / q; None where all of them are zero.
        draws: its draws, (S, dim).
        khat: shape of the weights' tail.
        bound: mean of log p - log q, in nats, at most the log evidence; minus infinity where q reaches beyond p.
        bound_error: its standard error.
        n_outside: draws where the density is zero, or not a number.
        whole: whether no other family's draws have found mass that these miss.
    """

    family: Family
    sample: ImportanceSample | None
    draws: Tensor
    khat: float
    bound: float
    bound_error: float
    n_outside: int
    whole: bool = True

    @property
    def trusted(self) -> bool:
        """Whether moments are better taken with the weights."""
        return self.whole and self.khat <= TRUSTED_KHAT

    @property
    def effective_sample_size(self) -> float:
        """How many independent draws of the target the weighted ones are worth."""
        return float(self.sample.effective_sample_size) if self.sample is not None else 0.0

    @property
    def log_evidence(self) -> float:
        """Log of the mean smoothed weight, in nats."""
        return float(self.sample.smoothed_log_evidence) if self.sample is not None else -inf

    @property
    def log_evidence_error(self) -> float:
        """Its standard error, by the raw weights; NaN where all of them are zero."""
        return float(self.sample.standard_error) if self.sample is not None else nan

    @property
    def least_evidence(self) -> float:
        """What the log evidence is hardly below, in nats: the bound by five errors, or the estimate by two."""
        by_bound = self.bound - 5 * self.bound_error if self.bound > -inf else -inf
        by_weights = self.log_evidence - 2 * self.log_evidence_error if self.sample is not None else -inf
        return max(by_bound, by_weights)

    @property
    def log_weights(self) -> Tensor:
        """Log weights of sum one that moments are taken with, (S,): smoothed where trusted, else all alike."""
        if self.sample is not None and self.trusted:
            return self.sample.smoothed
        n = len(self.draws)
        return torch.full((n,), -torch.tensor(float(n)).log().item(), dtype=torch.float64, device=self.draws.device)


def weigh(log_density: LogDensity, family: Family, n_draws: int, generator: torch.Generator) -> Weighed:
    """Draws from a family and their importance weights.

    Draws of a linear family have its mean and covariance exactly, so that moments of an approximation that is right
    are right to rounding; the standard error of the bound, that of independent draws, is then an upper one.

    Args:
        log_density: the target.
        family: the approximation.
        n_draws: how many.
        generator: where they come from.

    Returns:
        the draws, weighed.
    """
    with torch.no_grad():
        if isinstance(family, LinearFamily):
            noise = standard_draws(n_draws, family.noise_dim, generator, antithetic=False, dtype=log_density.dtype)
            draws = family.push(noise.to(log_density.device))
        else:
            draws = family.draw(n_draws, generator)
        ratio = log_density.values(draws).double() - family().log_prob(draws).double()
    outside = int(ratio.isneginf().sum())
    if outside == n_draws:
        return Weighed(family, None, draws, inf, -inf, nan, outside)
    sample = ImportanceSample.of(draws, ratio)
    if ratio.max() - ratio.quantile(0.8) < 1e-6:  # a fifth of the draws have the largest weight: there is no tail
        sample = sample._replace(khat=torch.zeros_like(sample.khat))
    error = nan if outside else float(ratio.std()) / n_draws**0.5
    return Weighed(family, sample, draws, float(sample.khat), float(ratio.mean()), error, outside)


def weigh_surely(log_density: LogDensity, family: Family, n_draws: int, generator: torch.Generator) -> Weighed:
    """The same, with many more draws where k-hat of so many is below what is trusted, but not far below."""
    weighed = weigh(log_density, family, n_draws, generator)
    if DOUBTED_KHAT < weighed.khat <= TRUSTED_KHAT and n_draws < MANY:
        return weigh(log_density, family, MANY, generator)
    return weighed


def missed_share(log_density: LogDensity, weighed: Weighed, n_draws: int, generator: torch.Generator) -> float:
    """The share of the target's mass that wide draws find where an approximation has hardly any density.

    Its own draws can't tell: weights of a flow that ends short of a bend are even.

    Args:
        log_density: the target.
        weighed: the approximation.
        n_draws: of Student's t with the moments of the approximation's draws, and wider.
        generator: where they come from.

    Returns:
        an estimate between 0 and 1, or somewhat above; 0 where moments are none.
    """
    own = weighed.draws.double()
    factor, failed = torch.linalg.cholesky_ex(torch.cov(own.T).reshape(log_density.dim, log_density.dim))
    if failed or not factor.isfinite().all():
        return 0.0
    wide = Student(log_density.dim, own.mean(0), WIDER * factor, df=3.0, dtype=log_density.dtype).to(own.device)
    with torch.no_grad():
        points = wide.draw(n_draws, generator)
        log_p = log_density.values(points).double() - weighed.log_evidence
        beyond = weighed.family().log_prob(points).double() < log_p - HARDLY
        return float((log_p - wide().log_prob(points).double())[beyond].exp().sum() / n_draws)

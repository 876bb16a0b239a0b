"""log p(x) of a decoder by annealed importance sampling: what importance sampling from the encoder may miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import Point
from ..inference.annealed import annealed_importance_sampling, bidirectional_monte_carlo
from ..inference.importance import sample
from ..model import Batch, LatentVariableModel
from ..training.memory import keep_freed_memory
from .chunks import device_of
from .lean import lean
from .likelihood import NoDensityError
from .mean import Mean

__all__ = [
    "AnnealedLikelihood",
    "annealed_gap",
    "annealed_log_likelihood",
]

_ELEMENTS = 2**22
"""Elements of a tensor (chains, rows, features)."""


class AnnealedLikelihood(NamedTuple):
    """Estimated log p(x) of each example, in nats, and how far to trust it.

    Attributes:
        log_likelihood: log of the mean weight over chains, (n,): in expectation a lower bound.
        standard_error: of each example, over chains, (n,); NaN for one chain.
        effective_sample_size: how many of the chains count, (n,).
        acceptance: share of accepted steps, (n,); far below 0.8 says that chains did not move.
    """

    log_likelihood: Tensor
    standard_error: Tensor
    effective_sample_size: Tensor
    acceptance: Tensor

    @property
    def mean(self) -> Mean:
        """The mean log-likelihood and its standard error over examples."""
        return Mean.of(self.log_likelihood)


def annealed_log_likelihood(
    model: LatentVariableModel,
    x: Tensor,
    n_temperatures: int = 1000,
    n_chains: int = 16,
    *,
    condition: Tensor | None = None,
    seed: int = 0,
    n_leapfrog: int = 2,
) -> AnnealedLikelihood:
    r"""Log p(x) of each example by chains from the prior of its code to the posterior.

    Importance sampling, `importance_log_likelihood`, draws from the encoder, and is too low where the encoder misses a
    part of the posterior: on rows unlike those of training, or with an encoder that is small. This one needs only the
    decoder and the prior, so it tells a bad encoder from a bad decoder. It takes some `n_temperatures` times
    `n_leapfrog` passes through the decoder and back: score a hundred rows, not ten thousand. `annealed_gap` says how
    many temperatures are enough.

    Args:
        model: a model with a prior over one layer of codes.
        x: examples in the model's units, (n, F).
        n_temperatures: steps from the prior to the posterior.
        n_chains: chains of each example.
        condition: labels or side information, (n, C).
        seed: seed of the noise, which rows that are scored together share: a score changes a little in other company.
        n_leapfrog: passes through the decoder for each step.

    Returns:
        Log-likelihood, its Monte-Carlo standard error, effective sample size and acceptance, each (n,).

    Raises:
        NoDensityError: codes that are deterministic.
        ValueError: x is not flat, or counts below 1.

    References:
        Wu, Burda, Salakhutdinov, Grosse (2017). On the quantitative analysis of decoder-based generative models. ICLR.

    Example:
        >>> from isthmus.distributions import normal
        >>> from isthmus.priors import StandardNormal
        >>> decoder = lambda z, condition: normal(z, torch.ones_like(z))
        >>> model = LatentVariableModel(None, decoder, StandardNormal(1))
        >>> found = annealed_log_likelihood(model, torch.full((1, 1), 3.0), 50)
        >>> exact = torch.distributions.Normal(0, 2**0.5).log_prob(torch.tensor(3.0))
        >>> bool((found.log_likelihood - exact).abs() < 4 * found.standard_error)
        True
    """

    def of_rows(x: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, ...]:
        prior = _prior(model, x, condition)
        found = annealed_importance_sampling(
            prior,
            _log_joint(model, prior, x, condition),
            n_chains,
            n_temperatures=n_temperatures,
            generator=generator,
            n_leapfrog=n_leapfrog,
        )
        return found.log_evidence, found.standard_error, found.effective_sample_size, found.acceptance

    return AnnealedLikelihood(*_some_at_a_time(model, x, condition, n_chains, seed, of_rows))


def annealed_gap(
    model: LatentVariableModel,
    x: Tensor,
    n_temperatures: int = 1000,
    n_chains: int = 16,
    *,
    condition: Tensor | None = None,
    seed: int = 0,
    n_leapfrog: int = 2,
) -> Tensor:
    r"""By how much annealing may be off: an upper bound less a lower one on log p(x) of rows that the model makes.

    Of a simulated row the code that it was made from is an exact draw of the posterior. Chains that begin there and go
    to the prior give an upper bound in expectation, where `annealed_log_likelihood` is a lower one. Where the gap is
    small, so is the error of as many temperatures on real rows, as long as these are like those that the model makes.

    Args:
        model, n_temperatures, n_chains, seed, n_leapfrog: see `annealed_log_likelihood`.
        x: rows in the model's units, (n, F), as many as are to be simulated; nothing else of them counts.
        condition: labels or side information that rows are simulated with, (n, C).

    Returns:
        Upper bound less lower bound of each simulated row, (n,), nats.

    Raises:
        NoDensityError: codes that are deterministic.
        ValueError: x is not flat, or counts below 1.

    References:
        Grosse, Ghahramani, Adams (2015). Sandwiching the marginal likelihood using bidirectional Monte Carlo.
        Wu, Burda, Salakhutdinov, Grosse (2017). On the quantitative analysis of decoder-based generative models. ICLR.

    Example:
        >>> from isthmus.distributions import normal
        >>> from isthmus.priors import StandardNormal
        >>> decoder = lambda z, condition: normal(z, torch.ones_like(z))
        >>> model = LatentVariableModel(None, decoder, StandardNormal(1))
        >>> bool(annealed_gap(model, torch.zeros(8, 1), 100).mean().abs() < 0.1)
        True
    """

    def of_rows(x: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor]:
        prior = _prior(model, x, condition)
        (z,) = sample(prior, 1, generator)
        with torch.no_grad():
            (made,) = sample(model.decoder(z, condition), 1, generator)
        found = bidirectional_monte_carlo(
            prior,
            _log_joint(model, prior, made, condition),
            z.expand(n_chains, *z.shape),
            n_temperatures=n_temperatures,
            generator=generator,
            n_leapfrog=n_leapfrog,
        )
        return (found.gap,)

    return _some_at_a_time(model, x, condition, n_chains, seed, of_rows)[0]


OfRows = Callable[[Tensor, Tensor | None, torch.Generator], tuple[Tensor, ...]]


def _some_at_a_time(
    model: LatentVariableModel, x: Tensor, condition: Tensor | None, n_chains: int, seed: int, of_rows: OfRows
) -> tuple[Tensor, ...]:
    """What a function finds of rows, with their conditions and random numbers, in bounded memory."""
    if x.ndim != 2:
        raise ValueError(f"Expected flat rows (n, n_features), got {tuple(x.shape)}; use x.flatten(1).")
    if n_chains < 1:
        raise ValueError(f"Expected n_chains of at least 1, got {n_chains}.")
    keep_freed_memory()
    device = device_of(model)
    generator = torch.Generator(device).manual_seed(seed)
    n_rows = max(1, _ELEMENTS // (n_chains * max(x.shape[1], 256)))
    conditions = [None] * -(-len(x) // n_rows) if condition is None else condition.split(n_rows)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        parts = [
            of_rows(rows.to(device), None if given is None else given.to(device), generator)
            for rows, given in zip(x.split(n_rows), conditions, strict=True)
        ]
    finally:
        for module in training:
            module.training = True
    return tuple(torch.cat(part).double().cpu() for part in zip(*parts, strict=True))


def _prior(model: LatentVariableModel, x: Tensor, condition: Tensor | None) -> Distribution:
    """The prior of the codes of rows x."""
    with torch.no_grad():
        prior: Distribution | None = model.prior(Batch(x, x, condition)) if model.prior is not None else None
    if prior is None or isinstance(prior, Point):
        raise NoDensityError("Expected codes with a prior, got deterministic ones, which give no p(x); use a VAE.")
    return prior


def _log_joint(
    model: LatentVariableModel, prior: Distribution, x: Tensor, condition: Tensor | None
) -> Callable[[Tensor], Tensor]:
    """Log p(x, z) of codes (C, B, D)."""

    def log_joint(z: Tensor) -> Tensor:
        return prior.log_prob(z) + lean(model.decoder(z, condition)).log_prob(x)

    return log_joint

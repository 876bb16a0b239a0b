"""log p(x) of a decoder by annealed importance sampling: what importance sampling from the encoder may miss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..data.shards import Shards
from ..distributions import Point
from ..inference.annealed import annealed_importance_sampling
from ..model import Batch, LatentVariableModel
from .chunks import CHUNK_SIZE, device_of
from .likelihood import NoDensityError, importance_log_likelihood
from .mean import Mean
from .measures import Measure

__all__ = [
    "AnnealedLikelihood",
    "annealed_log_likelihood",
    "measures_of_decoder",
    "measures_of_machine",
    "spread_rows",
]

ANNEALED_ROWS = 100
"""Rows that `measures_of_decoder` scores: each takes thousands of passes through the decoder."""

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
    n_leapfrog: int = 10,
) -> AnnealedLikelihood:
    r"""Log p(x) of each example by chains from the prior of its code to the posterior.

    Importance sampling, `importance_log_likelihood`, draws from the encoder, and is too low where the encoder misses a
    part of the posterior: on rows unlike those of training, or with an encoder that is small. This one needs only the
    decoder and the prior, so it tells a bad encoder from a bad decoder. It takes some `n_temperatures` times
    `n_leapfrog` passes through the decoder and back: score a hundred rows, not ten thousand.

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
    if x.ndim != 2:
        raise ValueError(f"Expected flat rows (n, n_features), got {tuple(x.shape)}; use x.flatten(1).")
    device = device_of(model)
    generator = torch.Generator(device).manual_seed(seed)
    n_rows = max(1, _ELEMENTS // (n_chains * max(x.shape[1], 256))) if n_chains > 0 else 1
    conditions = [None] * -(-len(x) // n_rows) if condition is None else condition.split(n_rows)
    parts = []
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        for rows, given in zip(x.split(n_rows), conditions, strict=True):
            given = None if given is None else given.to(device)
            start, log_joint = _posterior_of(model, rows.to(device), given)
            found = annealed_importance_sampling(
                start, log_joint, n_chains, n_temperatures=n_temperatures, generator=generator, n_leapfrog=n_leapfrog
            )
            parts.append((found.log_evidence, found.standard_error, found.effective_sample_size, found.acceptance))
    finally:
        for module in training:
            module.training = True
    return AnnealedLikelihood(*(torch.cat(part).double().cpu() for part in zip(*parts, strict=True)))


def _posterior_of(model: LatentVariableModel, x: Tensor, condition: Tensor | None):
    """The prior of the codes of rows x, and log p(x, z) of codes (C, B, D)."""
    with torch.no_grad():
        prior: Distribution | None = model.prior(Batch(x, x, condition)) if model.prior is not None else None
    if prior is None or isinstance(prior, Point):
        raise NoDensityError("Expected codes with a prior, got deterministic ones, which give no p(x); use a VAE.")

    def log_joint(z: Tensor) -> Tensor:
        return prior.log_prob(z) + model.decoder(z, condition).log_prob(x)

    return prior, log_joint


def measures_of_decoder(
    estimator: Any,
    blocks: Iterable[tuple[Tensor, Tensor | None]],
    n_rows: int,
    n_temperatures: int,
    n_importance_samples: int,
    seed: int,
) -> list[Measure]:
    """Annealed importance sampling of some rows of a fitted VAE, and by how much it finds more than the encoder does.

    Args:
        estimator: a fitted one with a decoder.
        blocks: rows in the model's units with their conditions, some at a time.
        n_rows: how many there are.
        n_temperatures: of annealing.
        n_importance_samples: from the encoder, for the same rows; 0 for a thousand.
        seed: of all noise.
    """
    chosen, kept, told, start = spread_rows(n_rows, ANNEALED_ROWS), [], [], 0
    for rows, condition in blocks:
        inside = chosen[(chosen >= start) & (chosen < start + len(rows))] - start
        kept.append(rows[inside])
        if condition is not None:
            told.append(condition[inside])
        start += len(rows)
    x, condition = torch.cat(kept), torch.cat(told) if told else None
    n_samples = n_importance_samples or 1000
    found = annealed_log_likelihood(estimator.model_, x, n_temperatures, condition=condition, seed=seed)
    usual = importance_log_likelihood(estimator.model_, x, n_samples, condition=condition, seed=seed)
    value = Mean.of(found.log_likelihood - estimator.n_features_in_ * estimator.log_scale_)
    gain = Mean.of(found.log_likelihood - usual.log_likelihood)
    on = f"on {len(x)} of the rows"
    what = f"log p(x) by annealing from the prior over {n_temperatures} temperatures, {on}, in the mean from below"
    missed = f"by how much that is above {n_samples} importance samples from the encoder, {on}: what the encoder misses"
    return [_measure("annealed_log_likelihood", value, what), _measure("annealed_gain", gain, missed)]


def measures_of_machine(estimator: Any, X: Any, n_temperatures: int) -> list[Measure]:
    """log p(x) of a fitted Boltzmann machine with an annealed log Z, the only one beyond twenty units; else nothing."""
    if not n_temperatures or not hasattr(estimator, "annealed_log_partition"):
        return []
    start = next(iter(X.blocks(CHUNK_SIZE))) if isinstance(X, Shards) else X
    log_z, error = estimator.annealed_log_partition(start, n_temperatures, random_state=0)
    free = Mean.of(estimator.score_samples(X))
    what = f"log p(x) with log Z by annealing over {n_temperatures} temperatures, in the mean from above"
    return [_measure("annealed_log_likelihood", Mean(free.value - log_z, math.hypot(free.standard_error, error)), what)]


def _measure(name: str, mean: Mean, what: str) -> Measure:
    error = mean.standard_error if math.isfinite(mean.standard_error) else None
    return Measure(name, mean.value, error, "nats", what)


def spread_rows(n: int, n_wanted: int) -> Tensor:
    """Numbers of so many of n rows, evenly spread: data often come sorted by class.

    Example:
        >>> spread_rows(10, 4)
        tensor([1, 3, 6, 8])
    """
    n_wanted = min(n, n_wanted)
    return ((torch.arange(n_wanted, dtype=torch.float64) + 0.5) * n / n_wanted).long()

"""What `evaluate` tells of annealed importance sampling."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..data.shards import Shards
from .annealed import annealed_gap, annealed_log_likelihood
from .chunks import CHUNK_SIZE
from .likelihood import importance_log_likelihood
from .mean import Mean
from .measures import Measure

__all__ = ["measures_of_decoder", "measures_of_machine", "spread_rows"]

ANNEALED_ROWS = 100
"""Rows that `measures_of_decoder` scores: each takes thousands of passes through the decoder."""

SIMULATED_ROWS = 20
"""Rows that it simulates, to see how far off those scores may be: each takes more than twice as long."""


def measures_of_decoder(
    estimator: Any,
    blocks: Iterable[tuple[Tensor, Tensor | None]],
    n_rows: int,
    n_temperatures: int,
    n_importance_samples: int,
    seed: int,
) -> list[Measure]:
    """Annealed importance sampling of some rows of a fitted VAE, how far it may be off, and what the encoder misses.

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
    few = spread_rows(len(x), SIMULATED_ROWS)
    told = None if condition is None else condition[few]
    off = Mean.of(annealed_gap(estimator.model_, x[few], n_temperatures, condition=told, seed=seed))
    on = f"on {len(x)} of the rows"
    what = f"log p(x) by annealing from the prior over {n_temperatures} temperatures, {on}, in the mean from below"
    missed = f"by how much that is above {n_samples} importance samples from the encoder, {on}: what the encoder misses"
    apart = (
        f"how far {n_temperatures} temperatures may be off: bounds from above and below, on {len(few)} simulated rows"
    )
    return [
        _measure("annealed_log_likelihood", value, what),
        _measure("annealed_gap", off, apart),
        _measure("annealed_gain", gain, missed),
    ]


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

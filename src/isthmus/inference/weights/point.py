"""Networks with one vector of weights each, for ensembles and for dropout, whose settings held-out rows choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from .descend import train_networks
from .dropout import dropped
from .likelihoods import InputNoise, OutputLikelihood
from .network import Network

__all__ = ["PointFit", "fit_point_networks"]

HELD_OUT = 0.2
"""Share of the rows by which settings are chosen; all rows are trained on afterwards."""

N_DRAWS = 30  # of dropout, to score a setting

N_SCORED = 3
"""Networks of an ensemble that are trained to score a setting, at most."""

FIRST_NOISE = 0.3  # standard deviation where training begins

EVENNESS = 10.0
"""How many times as precise the prior of weights into log-scales is: noise is the same for all unless rows say so."""


class PointFit(NamedTuple):
    """M networks.

    Attributes:
        vectors: weights, (M, P).
        noise: log-scales, (M, n_noise).
        rate: of dropout, that was chosen.
        precision: of the prior, likewise.
        n_steps: of training, likewise.
        held_out: mean log-likelihood of held-out rows by (rate, precision, n_steps); empty where there was no choice.
        history: losses, one a step.
    """

    vectors: Tensor
    noise: Tensor
    rate: float
    precision: float
    n_steps: int
    held_out: dict[tuple[float, float, int], float]
    history: list[float]


def fit_point_networks(
    network: Network,
    likelihood: OutputLikelihood,
    x: Tensor,
    y: Tensor,
    *,
    generator: torch.Generator,
    n_networks: int = 1,
    rates: Sequence[float] = (0.0,),
    precisions: Sequence[float] = (1.0,),
    n_steps: int | Sequence[int] = 2500,
    learning_rate: float = 0.02,
    batch_size: int = 2048,
) -> PointFit:
    """Train networks by penalised likelihood, with dropout or without; held-out rows choose among settings.

    Args:
        network, likelihood, x, y, generator, learning_rate, batch_size: see `fit_laplace`.
        n_networks: M, from different weights.
        rates: of dropout, to choose from.
        precisions: of the prior of all weights, to choose from. Where noise depends on the input, that of weights into
            log-scales is ten times as precise, and their biases have none.
        n_steps: of training, or several to choose from: early stopping.

    Returns:
        The networks, and what was chosen.

    References:
        Lakshminarayanan, Pritzel, Blundell (2017). Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS.
        Gal, Ghahramani (2016). Dropout as a Bayesian approximation. ICML.
    """
    settings = {"learning_rate": learning_rate, "batch_size": batch_size}

    def trained(
        x: Tensor, y: Tensor, rate: Tensor, precision: Tensor, steps: int
    ) -> tuple[Tensor, Tensor, list[float]]:
        vectors, prior = _start(network, likelihood, network.initial(len(rate), generator).to(x), precision)
        noise = x.new_full((len(rate), likelihood.n_noise), FIRST_NOISE).log()
        perturb = dropped(rate, generator) if bool((rate > 0).any()) else None
        return train_networks(
            network, likelihood, x, y, vectors, noise, prior, generator=generator, n_steps=steps, perturb=perturb,
            means_first=True, **settings,
        )  # fmt: skip

    lengths = (n_steps,) if isinstance(n_steps, int) else tuple(n_steps)
    candidates, held_out = list(product(rates, precisions)), {}
    if len(candidates) * len(lengths) > 1:
        order = torch.randperm(len(x), generator=generator).to(x.device)
        n_held = max(1, round(HELD_OUT * len(x)))
        held, rest = order[:n_held], order[n_held:]
        n_each = min(n_networks, N_SCORED)
        rate, precision = (x.new_tensor(values).repeat_interleave(n_each) for values in zip(*candidates, strict=True))
        for steps in lengths:
            vectors, noise, _ = trained(x[rest], y[rest], rate, precision, steps)
            found = _predictive(network, likelihood, vectors, noise, rate, x[held], y[held], generator)
            scores = found.unflatten(0, (-1, n_each)).logsumexp(1).mean(-1) - math.log(n_each)
            held_out |= {(*pair, steps): score for pair, score in zip(candidates, scores.tolist(), strict=True)}
    rate, precision, steps = max(held_out, key=held_out.__getitem__) if held_out else (*candidates[0], lengths[0])
    chosen = x.new_full((n_networks,), rate), x.new_full((n_networks,), precision)
    vectors, noise, history = trained(x, y, *chosen, steps)
    return PointFit(vectors, noise, rate, precision, steps, held_out, history)


def _start(network: Network, likelihood: OutputLikelihood, vectors: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """First weights and their prior's precisions, (M, P); noise that depends on the input begins the same for all."""
    prior = precision[:, None].expand_as(vectors).clone()
    if isinstance(likelihood, InputNoise):
        (weight, bias), (of_weight, of_bias) = network.layers(vectors)[-1], network.layers(prior)[-1]
        scales = slice(likelihood.n_targets, None)
        weight[..., scales], bias[..., scales] = 0.0, math.log(FIRST_NOISE)
        of_weight[..., scales] *= EVENNESS
        of_bias[..., scales] = 0.0
    return vectors, prior


def _predictive(
    network: Network, likelihood: OutputLikelihood, vectors: Tensor, noise: Tensor, rate: Tensor, x: Tensor, y: Tensor,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """log p(y|x) of each network by draws of dropout, (M, n)."""
    if not bool((rate > 0).any()):
        return likelihood.log_likelihood(network(vectors, x), y, noise)
    perturb = dropped(rate, generator)
    draws = [likelihood.log_likelihood(network(vectors, x, perturb), y, noise) for _ in range(N_DRAWS)]
    return torch.stack(draws).logsumexp(0) - torch.tensor(float(N_DRAWS)).log()

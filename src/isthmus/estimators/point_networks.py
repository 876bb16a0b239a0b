"""Ensembles and dropout: networks with one vector of weights each, whose settings held-out rows choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from ..inference.weights import InputNoise, Network, OutputLikelihood, dropped
from ..training import Rows
from .network_training import Networks, NetworkTraining, PenalisedLikelihood, targets_of, total_weight
from .weights import History

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
        history: one record a pass over the rows; its loss is in nats a row.
    """

    vectors: Tensor
    noise: Tensor
    rate: float
    precision: float
    n_steps: int
    held_out: dict[tuple[float, float, int], float]
    history: History


def fit_point_networks(
    network: Network,
    likelihood: OutputLikelihood,
    rows: Rows,
    training: NetworkTraining,
    *,
    n_networks: int = 1,
    rates: Sequence[float] = (0.0,),
    precisions: Sequence[float] = (1.0,),
    lengths: Sequence[int] | None = None,
) -> PointFit:
    """Train networks by penalised likelihood, with dropout or without; held-out rows choose among settings.

    Args:
        network, likelihood, rows, training: see `fit_laplace`; a length to choose from is a stage, and the last one
            trains on all rows.
        n_networks: M, from different weights.
        rates: of dropout, to choose from.
        precisions: of the prior of all weights, to choose from. Where noise depends on the input, that of weights into
            log-scales is ten times as precise, and their biases have none.
        lengths: of training, in steps, to choose from: early stopping; None has that of `training`.

    Returns:
        The networks, and what was chosen.

    References:
        Lakshminarayanan, Pritzel, Blundell (2017). Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS.
        Gal, Ghahramani (2016). Dropout as a Bayesian approximation. ICML.
    """
    generator = torch.Generator().manual_seed(training.seed)
    lengths, candidates = tuple(lengths or (training.n_steps,)), list(product(rates, precisions))
    n_choices = len(lengths) if len(candidates) * len(lengths) > 1 else 0

    def trained(
        rows: Rows, rate: Sequence[float], precision: Sequence[float], n_steps: int, number: int
    ) -> tuple[Networks, History]:
        vectors = network.initial(len(rate), generator).to(rows.x)
        vectors, prior = _start(network, likelihood, vectors, rows.x.new_tensor(precision))
        noise = rows.x.new_full((len(rate), likelihood.n_noise), FIRST_NOISE).log()
        model = Networks(network, vectors, noise, prior, prior=str(precision))
        objective = PenalisedLikelihood(likelihood, total_weight(rows), n_steps, tuple(rate), means_first=True)
        final = number > n_choices
        what = "" if not n_choices else "as chosen" if final else f"choice {number} of {n_choices}"
        return model, training(model, objective, rows, n_steps=n_steps, number=number, what=what, validate=final)

    training.begin()
    held_out: dict[tuple[float, float, int], float] = {}
    if n_choices:
        order = torch.randperm(rows.n_rows, generator=generator).to(rows.x.device)
        n_held, n_each = max(1, round(HELD_OUT * rows.n_rows)), min(n_networks, N_SCORED)
        held, rest = rows.take(order[:n_held]), rows.take(order[n_held:])
        rate, precision = ([each for each in values for _ in range(n_each)] for values in zip(*candidates, strict=True))
        for number, n_steps in enumerate(lengths, 1):
            model, _ = trained(rest, rate, precision, n_steps, number)
            scores = _scores(model, likelihood, rate, held, n_each, generator)
            held_out |= {(*pair, n_steps): score for pair, score in zip(candidates, scores, strict=True)}
    best = max(held_out, key=held_out.__getitem__) if held_out else (*candidates[0], lengths[0])
    model, history = trained(rows, [best[0]] * n_networks, [best[1]] * n_networks, best[2], n_choices + 1)
    return PointFit(model.vectors.detach(), model.noise.detach(), *best, held_out, history)


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


@torch.no_grad()
def _scores(
    model: Networks, likelihood: OutputLikelihood, rate: Sequence[float], held: Rows, n_each: int,
    generator: torch.Generator,
) -> list[float]:  # fmt: skip
    """Mean log p(y|x) of rows held out, by ensembles of `n_each` networks, and by draws of dropout."""
    network, vectors = model.network, model.vectors
    if any(rate):
        perturb = dropped(held.x.new_tensor(rate), generator)
        draws = [network(vectors, held.x, perturb) for _ in range(N_DRAWS)]
    else:
        draws = [network(vectors, held.x)]
    found = torch.stack([likelihood.log_likelihood(outputs, targets_of(held), model.noise) for outputs in draws])
    found = found.logsumexp(0).unflatten(0, (-1, n_each)).logsumexp(1) - math.log(len(draws) * n_each)
    weight = torch.ones_like(found[0]) if held.weight is None else held.weight
    return ((found * weight).sum(-1) / weight.sum()).tolist()

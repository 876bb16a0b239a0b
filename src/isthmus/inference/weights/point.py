"""Networks with one vector of weights each, for ensembles and for dropout, whose settings held-out rows choose."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from .descend import train_networks
from .dropout import dropped
from .likelihoods import OutputLikelihood
from .network import Network

__all__ = ["PointFit", "fit_point_networks"]

HELD_OUT = 0.2
"""Share of the rows by which settings are chosen; all rows are trained on afterwards."""

N_DRAWS = 30  # of dropout, to score a setting


class PointFit(NamedTuple):
    """M networks.

    Attributes:
        vectors: weights, (M, P).
        noise: log-scales, (M, n_noise).
        rate: of dropout, that was chosen.
        precision: of the prior, likewise.
        held_out: mean log-likelihood of held-out rows by (rate, precision); empty where there was no choice.
        history: losses, one a step.
    """

    vectors: Tensor
    noise: Tensor
    rate: float
    precision: float
    held_out: dict[tuple[float, float], float]
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
    n_steps: int = 2500,
    learning_rate: float = 0.02,
    batch_size: int = 2048,
) -> PointFit:
    """Train networks by penalised likelihood, with dropout or without; all candidates of a choice at once.

    Args:
        network, likelihood, x, y, generator, n_steps, learning_rate, batch_size: see `fit_laplace`.
        n_networks: M, from different weights.
        rates: of dropout, to choose from.
        precisions: of the prior of all weights, to choose from.

    Returns:
        The networks, and what was chosen.

    References:
        Lakshminarayanan, Pritzel, Blundell (2017). Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS.
        Gal, Ghahramani (2016). Dropout as a Bayesian approximation. ICML.
    """
    settings = {"n_steps": n_steps, "learning_rate": learning_rate, "batch_size": batch_size}

    def trained(x: Tensor, y: Tensor, rate: Tensor, precision: Tensor) -> tuple[Tensor, Tensor, list[float]]:
        vectors = network.initial(len(rate), generator).to(x)
        noise = x.new_full((len(rate), likelihood.n_noise), 0.3).log()
        perturb = dropped(rate, generator) if bool((rate > 0).any()) else None
        return train_networks(
            network, likelihood, x, y, vectors, noise, precision[:, None], generator=generator, perturb=perturb,
            **settings,
        )  # fmt: skip

    candidates, held_out = list(product(rates, precisions)), {}
    if len(candidates) > 1:
        order = torch.randperm(len(x), generator=generator).to(x.device)
        n_held = max(1, round(HELD_OUT * len(x)))
        held, rest = order[:n_held], order[n_held:]
        rate, precision = (x.new_tensor(values) for values in zip(*candidates, strict=True))
        vectors, noise, _ = trained(x[rest], y[rest], rate, precision)
        scores = _predictive(network, likelihood, vectors, noise, rate, x[held], y[held], generator).mean(-1)
        held_out = dict(zip(candidates, scores.tolist(), strict=True))
    rate, precision = max(held_out, key=held_out.__getitem__) if held_out else candidates[0]
    chosen = x.new_full((n_networks,), rate), x.new_full((n_networks,), precision)
    vectors, noise, history = trained(x, y, *chosen)
    return PointFit(vectors, noise, rate, precision, held_out, history)


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

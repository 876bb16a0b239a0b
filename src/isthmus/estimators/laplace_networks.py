"""Laplace networks: trained while their prior precisions and noise climb the marginal likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..inference.weights import ConstantNoise, Network, OutputLikelihood
from ..inference.weights.laplace import Curved, last_mode
from ..training import Rows
from .network_training import Networks, NetworkTraining, PenalisedLikelihood, targets_of, total_weight
from .weights import History

__all__ = ["LaplaceFit", "fit_laplace"]

FINAL_SHARE = 0.2  # of the steps, with precisions and noise as they were found


class LaplaceFit(NamedTuple):
    """M networks with their posteriors.

    Attributes:
        vectors: most probable weights, (M, P).
        noise: log-scales, (M, n_noise).
        log_precision: of each group of weights, (M, n_groups).
        covariances: of the weights, (M, D, D) float64.
        log_evidence: nats, (M,).
        history: one record a round; its loss is minus the mean log evidence a row.
    """

    vectors: Tensor
    noise: Tensor
    log_precision: Tensor
    covariances: Tensor
    log_evidence: Tensor
    history: History


def fit_laplace(
    network: Network,
    likelihood: OutputLikelihood,
    rows: Rows,
    training: NetworkTraining,
    *,
    n_networks: int = 1,
    n_rounds: int = 20,
    each_input: bool = True,
    last_layer: bool = False,
    precision: float | None = None,
    noise: float | None = None,
) -> LaplaceFit:
    """Train networks, and while that goes on raise their marginal likelihood over prior precisions and noise.

    A round trains, takes the curvature, and updates precisions by MacKay's fixed point, a group's number of
    well-determined weights over their squares, and noise by EM, the mean of squared errors and of the outputs'
    variance. The last fifth of all steps trains with these fixed.

    Args:
        network: the architecture.
        likelihood: of its outputs.
        rows: with targets, both standardised; a weight counts like so many rows.
        training: how; a round is a stage.
        n_networks: M, from different weights.
        n_rounds: updates of precisions and noise.
        each_input: a precision for the weights of each input, see `Network.groups`.
        last_layer: posterior of its weights alone; precisions of the others stay 1.
        precision: of all weights, fixed; None finds it.
        noise: standard deviation in the units of y, fixed; None finds it.

    Returns:
        The networks and their posteriors.

    References:
        MacKay (1992). A practical Bayesian framework for backpropagation networks. Neural Computation 4.
        Immer et al. (2021). Scalable marginal likelihood estimation for model selection in deep learning. ICML.

    Example:
        >>> x = torch.linspace(-1, 1, 30)[:, None]
        >>> rows, training = Rows(x, target=2 * x), NetworkTraining(n_steps=200)
        >>> fit = fit_laplace(Network((1, 1)), ConstantNoise(1), rows, training)
        >>> round(float(fit.vectors[0, 0]), 2), fit.covariances.shape
        (2.0, torch.Size([1, 2, 2]))
    """
    x, y, weight, total = rows.x, targets_of(rows), rows.weight, total_weight(rows)
    groups = network.groups(each_input).to(x.device)
    vectors = network.initial(n_networks, torch.Generator().manual_seed(training.seed)).to(x)
    scales = x.new_full((n_networks, likelihood.n_noise), 0.3 if noise is None else noise).log()
    logs = x.new_full((n_networks, int(groups.max()) + 1), 1.0 if precision is None else precision).log()
    rounds = n_rounds if precision is None or (noise is None and likelihood.n_noise > 0) else 0
    each = int((1 - FINAL_SHARE) * training.n_steps) // rounds if rounds else 0
    prior = f"{precision or 'found'}, each_input={each_input}, last_layer={last_layer}, noise={noise or 'found'}"
    history: History = []
    before = {"epoch": 0, "step": 0}
    found, log_evidence = [], torch.zeros(n_networks)
    training.begin()
    for i in range(rounds + 1):
        final = i == rounds
        n_steps = training.n_steps - rounds * each if final else each
        model = Networks(network, vectors, scales, logs.exp()[:, groups], learn_noise=False, prior=prior)
        records = training(
            model, PenalisedLikelihood(likelihood, total, training.n_steps), rows, n_steps=n_steps, number=i + 1,
            what=f"round {i + 1} of {rounds + 1}" if rounds else "",
            learning_rate=training.learning_rate / (2 if final else 1),
        )  # fmt: skip
        vectors, found = model.vectors.detach(), []
        for m in range(n_networks):
            if final and last_layer and isinstance(likelihood, ConstantNoise):
                prior_of_last = logs[m].exp()[groups[-network.n_last :]]
                vectors[m, -network.n_last :] = last_mode(network, vectors[m], scales[m], prior_of_last, x, y, weight)
            state = Curved(network, likelihood, vectors[m], x, y, weight, groups, last_layer)
            found.append(state.evidence(logs[m], scales[m]))
            if not final:
                new_logs, new_scales = state.updated(found[-1].covariance, logs[m], scales[m])
                logs[m] = new_logs if precision is None else logs[m]
                scales[m] = new_scales if noise is None else scales[m]
        log_evidence = torch.stack([each.log_evidence for each in found])
        done = {name: records[-1][name] + before[name] for name in before}  # a stage counts its own
        history.append({**records[-1], **done, "loss": -float(log_evidence.mean()) / total})
        before = {"epoch": done["epoch"] + 1, "step": done["step"]}
    covariances = torch.stack([each.covariance for each in found])
    return LaplaceFit(vectors, scales, logs, covariances, log_evidence, history)

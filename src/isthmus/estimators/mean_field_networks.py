"""Mean-field networks: independent Gaussian weights, trained by the bound on the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..inference.weights import Network, OutputLikelihood
from ..inference.weights.mean_field import Estimator, best_log_precision, expected_log_likelihood, kl_divergence
from ..model import Batch, draw
from ..objectives import Loss, Objective
from ..training import Rows
from .network_training import NetworkTraining, total_weight
from .weights import History

__all__ = ["MeanFieldFit", "fit_mean_field"]

FIRST_SD = 0.03  # of a weight, where fitting starts

N_STEPS_OF_BOUND = 100
"""At the end, over which the bound is averaged."""


class MeanFieldFit(NamedTuple):
    """M networks with independent Gaussian weights.

    Attributes:
        mean: of the weights, (M, P).
        log_sd: logarithms of their standard deviations, (M, P).
        noise: log-scales, (M, n_noise).
        log_precision: of the prior of each group of weights, (M, n_groups).
        bound: on the log evidence, in nats, mean of the networks: by the last hundred steps.
        history: one record a pass over the rows; its loss is minus the bound a row.
    """

    mean: Tensor
    log_sd: Tensor
    noise: Tensor
    log_precision: Tensor
    bound: float
    history: History


class GaussianNetworks(nn.Module):
    """M networks with Gaussian weights, as the training loop sees them; see `MeanFieldFit`."""

    def __init__(
        self, network: Network, mean: Tensor, noise: Tensor, groups: Tensor, precision: float | None, learn_noise: bool
    ) -> None:
        super().__init__()
        self.network, self.groups, self.precision = network, groups, precision
        self.mean = nn.Parameter(mean)
        self.log_sd = nn.Parameter(torch.full_like(mean, math.log(FIRST_SD)))
        self.noise = nn.Parameter(noise, requires_grad=learn_noise and noise.numel() > 0)

    @torch.no_grad()
    def log_precision(self) -> Tensor:
        """Of the prior of each group: the best under the bound, which is known, where none is fixed."""
        found = best_log_precision(self.mean, self.log_sd, self.groups)
        return found if self.precision is None else torch.full_like(found, math.log(self.precision))

    def extra_repr(self) -> str:
        """What they are: a checkpoint of others is refused."""
        n_groups = int(self.groups.max()) + 1
        return (
            f"{self.network}, n_networks={len(self.mean)}, n_groups={n_groups}, precision={self.precision or 'found'}"
        )


@dataclass(frozen=True)
class WeightBound(Objective):
    r"""Minus the bound a row, :math:`\frac1n KL(q(w) \| p(w)) - \frac1n E_q[\log p(y|x, w)]`, mean of networks.

    Args:
        likelihood: of the networks' outputs.
        total: n, the sum of the rows' weights.
        estimator: how weights are drawn.
    """

    likelihood: OutputLikelihood
    total: float
    estimator: Estimator

    def __call__(self, model: Any, batch: Batch, sample=draw) -> Loss:
        """Nats a row."""
        found = expected_log_likelihood(
            model.network, self.likelihood, batch.x, batch.target, model.mean, model.log_sd, model.noise, self.estimator
        )
        divergence = kl_divergence(model.mean, model.log_sd, model.log_precision()[:, model.groups])
        return Loss(-found.mean(0), divergence.mean() / self.total)


def fit_mean_field(
    network: Network,
    likelihood: OutputLikelihood,
    rows: Rows,
    training: NetworkTraining,
    *,
    n_networks: int = 1,
    each_input: bool = True,
    estimator: Estimator = "local",
    precision: float | None = None,
    noise: float | None = None,
) -> MeanFieldFit:
    r"""Maximise the bound :math:`E_q[\log p(y|x, w)] - KL(q(w) \| p(w))` over q, prior precisions and noise.

    The last layer's weights are integrated exactly where the likelihood is Gaussian: a linear model then has no noise
    in its gradients. The best precision of a group, its weights' number over the sum of their second moments, is known.

    Args:
        network, likelihood, rows, training, n_networks: see `fit_laplace`; there is one stage.
        each_input: a precision for the weights of each input.
        estimator: see `Estimator`.
        precision: of all weights, fixed; None finds those of groups.
        noise: standard deviation in the units of y, fixed; None finds it.

    References:
        Blundell, Cornebise, Kavukcuoglu, Wierstra (2015). Weight uncertainty in neural networks. ICML.

    Example:
        >>> from isthmus.inference.weights import ConstantNoise
        >>> x = torch.linspace(-1, 1, 30)[:, None]
        >>> rows, training = Rows(x, target=2 * x), NetworkTraining()
        >>> fit = fit_mean_field(Network((1, 1)), ConstantNoise(1), rows, training, noise=0.1)
        >>> fit.mean.shape, bool(fit.log_sd.exp().max() < 0.1)
        (torch.Size([1, 2]), True)
    """
    x, total = rows.x, total_weight(rows)
    mean = network.initial(n_networks, torch.Generator().manual_seed(training.seed)).to(x)
    scales = x.new_full((n_networks, likelihood.n_noise), 0.3 if noise is None else noise).log()
    groups = network.groups(each_input).to(x.device)
    model = GaussianNetworks(network, mean, scales, groups, precision, noise is None)
    training.begin()
    history = training(model, WeightBound(likelihood, total, estimator), rows)
    # Of the last steps, as the bound is estimated with noise, and grows no more.
    last = history[-max(1, round(N_STEPS_OF_BOUND * len(history) / history[-1]["step"])) :]
    bound = -total * sum(record["loss"] for record in last) / len(last)
    parts = model.mean.detach(), model.log_sd.detach(), model.noise.detach()
    return MeanFieldFit(*parts, model.log_precision(), bound, history)

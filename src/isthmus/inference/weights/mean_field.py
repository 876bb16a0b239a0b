"""Bayes by backprop: independent Gaussian weights, by local reparameterisation or flipout."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .descend import descend, row_batches
from .likelihoods import OutputLikelihood
from .network import Network

__all__ = ["Estimator", "MeanFieldFit", "fit_mean_field", "kl_divergence", "moments", "noisy_sums"]

Estimator = Literal["local", "flipout", "shared"]
"""How weights are drawn while training: sums drawn instead, one draw with signs for each row, one draw for all rows."""

FIRST_SD = 0.03  # of a weight, where fitting starts


def moments(x: Tensor, layer: int, network: Network, mean: Tensor, log_sd: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of a layer's sums, :math:`x M + m` and :math:`x^2 S^2 + s^2`, exactly.

    Args:
        x: its input, (M, n, inputs) or (n, inputs).
        layer: its number.
        network: the architecture.
        mean: of all weights, (M, P).
        log_sd: logarithms of their standard deviations, (M, P).

    Returns:
        Both (M, n, outputs).
    """
    weight, bias = network.layers(mean)[layer]
    of_weight, of_bias = network.layers(torch.exp(2 * log_sd))[layer]
    return x @ weight + bias.unsqueeze(-2), x.square() @ of_weight + of_bias.unsqueeze(-2)


def noisy_sums(
    x: Tensor, layer: int, network: Network, mean: Tensor, log_sd: Tensor, estimator: Estimator,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Sums of a layer under random weights, (M, n, outputs): the same distribution in each row, whichever estimator.

    Between rows, "local" is independent, "flipout" uncorrelated, and "shared" has the same weights in all of them.

    References:
        Kingma, Salimans, Welling (2015). Variational dropout and the local reparameterization trick. NeurIPS.
        Wen et al. (2018). Flipout: efficient pseudo-independent weight perturbations on mini-batches. ICLR.
    """
    if estimator == "local":
        loc, variance = moments(x, layer, network, mean, log_sd)
        return loc + (variance + 1e-12).sqrt() * _normal(loc.shape, loc, generator)
    weight, bias = network.layers(mean)[layer]
    of_weight, of_bias = network.layers(log_sd.exp())[layer]
    of_weight = of_weight * _normal(of_weight.shape, mean, generator)
    of_bias = of_bias * _normal(of_bias.shape, mean, generator)
    centre = x @ weight + bias.unsqueeze(-2)
    if estimator == "shared":
        return centre + x @ of_weight + of_bias.unsqueeze(-2)
    signs_in = _signs((*centre.shape[:-1], x.shape[-1]), mean, generator)
    signs_out = _signs(centre.shape, mean, generator)
    return centre + ((x * signs_in) @ of_weight + of_bias.unsqueeze(-2)) * signs_out


def kl_divergence(mean: Tensor, log_sd: Tensor, log_precision: Tensor) -> Tensor:
    """KL(q || p) of each network in nats, (M,), where p is Gaussian around zero with precisions (M, P)."""
    scaled = (mean.square() + torch.exp(2 * log_sd)) * log_precision.exp()
    return 0.5 * (scaled - 1 - log_precision - 2 * log_sd).sum(-1)


class MeanFieldFit(NamedTuple):
    """M networks with independent Gaussian weights.

    Attributes:
        mean: of the weights, (M, P).
        log_sd: logarithms of their standard deviations, (M, P).
        noise: log-scales, (M, n_noise).
        log_precision: of the prior of each group of weights, (M, n_groups).
        bound: on the log evidence, in nats, (M,): by the last hundred steps.
        history: minus the sum of the bounds, one a step.
    """

    mean: Tensor
    log_sd: Tensor
    noise: Tensor
    log_precision: Tensor
    bound: Tensor
    history: list[float]


def fit_mean_field(
    network: Network,
    likelihood: OutputLikelihood,
    x: Tensor,
    y: Tensor,
    *,
    generator: torch.Generator,
    n_networks: int = 1,
    n_steps: int = 2500,
    learning_rate: float = 0.02,
    batch_size: int = 2048,
    each_input: bool = True,
    estimator: Estimator = "local",
    precision: float | None = None,
    noise: float | None = None,
) -> MeanFieldFit:
    r"""Maximise the bound :math:`E_q[\log p(y|x, w)] - KL(q(w) \| p(w))` over q, prior precisions and noise.

    The last layer's weights are integrated exactly where the likelihood is Gaussian: a linear model then has no noise
    in its gradients. The best precision of a group, its weights' number over the sum of their second moments, is known.

    Args:
        network, likelihood, x, y, generator, n_networks, n_steps, learning_rate, batch_size: see `fit_laplace`.
        each_input: a precision for the weights of each input.
        estimator: see `Estimator`.
        precision: of all weights, fixed; None finds those of groups.
        noise: standard deviation in the units of y, fixed; None finds it.

    References:
        Blundell, Cornebise, Kavukcuoglu, Wierstra (2015). Weight uncertainty in neural networks. ICML.

    Example:
        >>> from isthmus.inference.weights import ConstantNoise
        >>> x = torch.linspace(-1, 1, 30)[:, None]
        >>> generator = torch.Generator().manual_seed(0)
        >>> fit = fit_mean_field(Network((1, 1)), ConstantNoise(1), x, 2 * x, generator=generator, noise=0.1)
        >>> fit.mean.shape, bool(fit.log_sd.exp().max() < 0.1)
        (torch.Size([1, 2]), True)
    """
    groups, n = network.groups(each_input).to(x.device), len(x)
    mean = network.initial(n_networks, generator).to(x).requires_grad_()
    log_sd = torch.full_like(mean, math.log(FIRST_SD)).requires_grad_()
    scales = x.new_full((n_networks, likelihood.n_noise), 0.3 if noise is None else noise).log().requires_grad_()
    batches = row_batches(n, batch_size, generator)
    count = torch.bincount(groups).to(x)
    bounds: list[Tensor] = []

    def log_precision() -> Tensor:
        if precision is not None:
            return mean.new_full((n_networks, len(count)), precision).log()
        with torch.no_grad():
            second = mean.square() + torch.exp(2 * log_sd)
            return (count / torch.zeros_like(second[:, : len(count)]).index_add(1, groups, second)).log()

    def loss() -> Tensor:
        rows = next(batches)
        fit = _expected(network, likelihood, x[rows], y[rows], mean, log_sd, scales, estimator, generator)
        bound = fit.mean(-1) * n - kl_divergence(mean, log_sd, log_precision()[:, groups])
        bounds.append(bound.detach())
        return -bound.sum()

    learned = [mean, log_sd] + ([scales] if noise is None and likelihood.n_noise else [])
    history = descend(loss, learned, n_steps=n_steps, learning_rate=learning_rate)
    found = log_precision()
    parts = mean.detach(), log_sd.detach(), scales.detach()
    return MeanFieldFit(*parts, found, torch.stack(bounds[-100:]).mean(0), history)


def _expected(
    network: Network, likelihood: OutputLikelihood, x: Tensor, y: Tensor, mean: Tensor, log_sd: Tensor, noise: Tensor,
    estimator: Estimator, generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Expected log-likelihood of rows, (M, n): sampled up to the last layer, and there exact if that is known."""
    last = len(network.sizes) - 1
    for layer in range(last):
        x = network.activate(noisy_sums(x, layer, network, mean, log_sd, estimator, generator))
    if estimator == "local":
        exact = likelihood.expected(*moments(x, last, network, mean, log_sd), y, noise)
        if exact is not None:
            return exact
    outputs = noisy_sums(x, last, network, mean, log_sd, estimator, generator)
    return likelihood.log_likelihood(outputs, y, noise)


def _normal(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device).to(like)


def _signs(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator, device=generator.device).to(like) * 2 - 1

"""Bayes by backprop: independent Gaussian weights, by local reparameterisation or flipout."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .likelihoods import OutputLikelihood
from .network import Network

__all__ = ["Estimator", "best_log_precision", "expected_log_likelihood", "kl_divergence", "moments", "noisy_sums"]

Estimator = Literal["local", "flipout", "shared"]
"""How weights are drawn while training: sums drawn instead, one draw with signs for each row, one draw for all rows."""


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
    generator: torch.Generator | None = None,
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


def best_log_precision(mean: Tensor, log_sd: Tensor, groups: Tensor) -> Tensor:
    """Of the prior of each group of weights, (M, n_groups): their number over the sum of their second moments."""
    second = mean.square() + torch.exp(2 * log_sd)
    count = torch.bincount(groups).to(second)
    return (count / torch.zeros_like(second[:, : len(count)]).index_add(1, groups, second)).log()


def expected_log_likelihood(
    network: Network, likelihood: OutputLikelihood, x: Tensor, y: Tensor, mean: Tensor, log_sd: Tensor, noise: Tensor,
    estimator: Estimator, generator: torch.Generator | None = None,
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


def _normal(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, device=_device(like, generator)).to(like)


def _signs(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator, device=_device(like, generator)).to(like) * 2 - 1


def _device(like: Tensor, generator: torch.Generator | None) -> torch.device:
    return like.device if generator is None else generator.device

"""What posteriors over weights say of the outputs: Gaussians, one for each network or draw of one."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .dropout import dropped
from .laplace import linearised
from .likelihoods import InputNoise, OutputLikelihood
from .mean_field import moments, noisy_sums
from .network import Network

__all__ = ["Outputs", "Posterior", "WeightPosterior", "log_probabilities", "outputs_of", "target_gaussians"]

Posterior = Literal["laplace", "last-layer", "mean-field", "ensemble", "dropout"]
"""How the posterior over weights is approximated."""

CHUNK = 256  # rows at a time


class WeightPosterior(NamedTuple):
    """An approximate posterior of M networks, in float64.

    Attributes:
        kind: which approximation.
        vectors: most probable or mean weights, (M, P).
        noise: log-scales of the noise, (M, n_noise).
        spread: covariances (M, D, D) of Laplace's; log standard deviations (M, P) of the mean field; rates (M,) of
            dropout; nothing (0,) for ensembles.
    """

    kind: Posterior
    vectors: Tensor
    noise: Tensor
    spread: Tensor


class Outputs(NamedTuple):
    """Gaussian outputs under K networks, all alike in weight.

    Attributes:
        mean: (K, n, outputs).
        covariance: of each row's outputs, (K, n, outputs, outputs), or None for none.
        noise: log-scales, (K, n_noise).
    """

    mean: Tensor
    covariance: Tensor | None
    noise: Tensor


def outputs_of(network: Network, posterior: WeightPosterior, x: Tensor, n_samples: int, seed: int) -> Outputs:
    """Outputs at rows x; the same for a row in any company, as draws are the same for all rows.

    Args:
        network: the architecture.
        posterior: of its weights.
        x: rows, (n, inputs), in float64.
        n_samples: draws of weights, of all networks together, where the posterior has to be drawn from.
        seed: of the draws.
    """
    parts = [_outputs(network, posterior, rows, n_samples, seed) for rows in x.split(CHUNK)]
    covariance = None if parts[0].covariance is None else torch.cat([part.covariance for part in parts], 1)  # type: ignore[misc]
    return Outputs(torch.cat([part.mean for part in parts], 1), covariance, parts[0].noise)


def _outputs(network: Network, posterior: WeightPosterior, x: Tensor, n_samples: int, seed: int) -> Outputs:
    kind, vectors, noise, spread = posterior
    if kind in ("laplace", "last-layer"):
        return Outputs(*linearised(network, vectors, spread, x), noise)
    if kind == "ensemble":
        return Outputs(network(vectors, x), None, noise)
    n_draws = max(1, n_samples // len(vectors))
    generator = torch.Generator().manual_seed(seed)
    draws = [_draw(network, posterior, x, generator) for _ in range(n_draws)]
    means, variances = zip(*draws, strict=True)
    covariance = None if kind == "dropout" else torch.diag_embed(torch.cat(variances))
    return Outputs(torch.cat(means), covariance, noise.repeat(n_draws, 1))


def _draw(network: Network, posterior: WeightPosterior, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Outputs under one draw of each network's hidden layers, and their variance by the last layer."""
    kind, vectors, _, spread = posterior
    if kind == "dropout":
        means = network(vectors, x, dropped(spread, generator, shared=True))
        return means, torch.zeros_like(means)
    last = len(network.sizes) - 1
    for layer in range(last):
        x = network.activate(noisy_sums(x, layer, network, vectors, spread, "shared", generator))
    return moments(x, last, network, vectors, spread)


def target_gaussians(likelihood: OutputLikelihood, outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Means (n, K, k) of targets and their standard deviations (n, K, k) or Cholesky factors (n, K, k, k).

    Noise that depends on the input is log-normal under the posterior; its mean counts.
    """
    mean, covariance = outputs.mean, outputs.covariance
    spread = torch.zeros_like(mean) if covariance is None else covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0)
    if isinstance(likelihood, InputNoise):
        mean, log_scale = likelihood.split(mean)
        k = mean.shape[-1]
        noise = torch.exp(2 * log_scale + 2 * spread[..., k:].clamp(max=5.0))
        covariance = None if covariance is None else covariance[..., :k, :k]
        spread = spread[..., :k]
    else:
        noise = torch.exp(2 * outputs.noise).unsqueeze(1).expand_as(mean)
    if covariance is None or mean.shape[-1] == 1:
        factor = (spread + noise).sqrt()
    else:
        factor = torch.linalg.cholesky(covariance + torch.diag_embed(noise))
    return mean.transpose(0, 1), factor.transpose(0, 1)


def log_probabilities(outputs: Outputs, n_samples: int, seed: int) -> Tensor:
    """Logarithms of the classes' mean probabilities, (n, n_classes), over networks and draws of Gaussian logits."""
    logits = outputs.mean
    if outputs.covariance is not None:
        n_draws = max(1, n_samples // len(logits))
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(n_draws, len(logits), 1, logits.shape[-1], generator=generator, dtype=logits.dtype)
        values, directions = torch.linalg.eigh(outputs.covariance)
        root = directions * values.clamp(min=0).sqrt().unsqueeze(-2)
        logits = (logits + (root @ noise.unsqueeze(-1)).squeeze(-1)).flatten(0, 1)
    found = logits.log_softmax(-1).logsumexp(0)
    return found - found.logsumexp(-1, keepdim=True)

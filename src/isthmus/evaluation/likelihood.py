"""How likely a model finds data: lower bounds on log p(x), of known error and in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..distributions import Point
from ..inference.importance import WeightSums
from ..model import Batch, LatentVariableModel, Layer, Trace
from ..objectives.elbo import layer_rate
from ..training.memory import keep_freed_memory
from .chunks import device_of, evaluating, map_rows
from .lean import lean
from .mean import Mean
from .noise import RowNoise, row_keys

__all__ = ["Bound", "ImportanceEstimate", "NoDensityError", "bound", "importance_log_likelihood"]

_NO_DENSITY = (
    "Expected codes with a density and a prior, got deterministic ones, which give no bound on log p(x); "
    "use the reconstruction error, or a VAE."
)


class NoDensityError(TypeError):
    """A model whose codes are deterministic was asked for a likelihood."""


class Bound(NamedTuple):
    """The evidence lower bound of each example, and its two parts, in nats: bound = -distortion - rate.

    Attributes:
        bound: lower bound on log p(x), (n,).
        distortion: -E_q[log p(x|z)], (n,).
        rate: KL(q(z|x) || p(z)), (n,).
    """

    bound: Tensor
    distortion: Tensor
    rate: Tensor

    @property
    def mean(self) -> Mean:
        """The mean bound and its standard error over examples."""
        return Mean.of(self.bound)


class ImportanceEstimate(NamedTuple):
    """Estimated log p(x) of each example, in nats, and how far to trust it.

    Attributes:
        log_likelihood: log of the mean importance weight, (n,).
        standard_error: Monte-Carlo standard error of each example (delta method), (n,); NaN for one sample. It is too
            small where the effective sample size is: then rare large weights have not been seen.
        effective_sample_size: (sum of weights)^2 / sum of squared weights, between 1 and n_samples, (n,).
    """

    log_likelihood: Tensor
    standard_error: Tensor
    effective_sample_size: Tensor

    @property
    def mean(self) -> Mean:
        """The mean log-likelihood and its standard error over examples."""
        return Mean.of(self.log_likelihood)


def _rate(layer: Layer) -> Tensor:
    """KL(q || p) of each example, (B,): exact where torch knows it, else estimated; 0 where codes come from p."""
    q, z, prior = layer
    if prior is None or isinstance(q, Point):
        raise NoDensityError(_NO_DENSITY)
    return z.new_zeros(z.shape[-2]) if q is prior else layer_rate(layer)


def _plan(n_samples: int, n_features: int, max_elements: int | None, device: torch.device) -> tuple[int, int]:
    """Rows and samples of one pass; they depend on nothing that changes from batch to batch.

    A pass is wide enough for fast matrix products and small enough for a processor's cache, and is filled with samples
    first. Rows come one by one, which needs no padding, or in multiples of 32: the last elements of a tensor that
    does not fill a processor's vectors are rounded differently, and so would be the last rows.
    """
    cached, most = (2**20, 2**22) if device.type == "cpu" else (2**27, 2**27)
    most = max_elements or most
    n_elements = max(n_features, 256)  # of a row: with few features, what the nets hold inside counts
    widest, width = (max(1, limit // n_elements) for limit in (most, min(cached, most)))
    samples = math.ceil(n_samples / math.ceil(n_samples / width))  # equal pieces, not a small one at the end
    for rows in (256, 128, 64):
        if rows * samples <= width:
            return rows, samples
    return (32 if 32 * samples <= widest else 1), samples


def _stream(
    model: LatentVariableModel,
    x: Tensor,
    condition: Tensor | None,
    n_samples: int,
    seed: int,
    max_elements: int | None,
    accumulate: Callable[[tuple[Tensor, ...] | None, Trace], tuple[Tensor, ...]],
    bf16: bool = False,
) -> tuple[Tensor, ...]:
    """Fold the traces of n_samples samples of each row into a few numbers a row."""
    if x.ndim != 2:
        raise ValueError(f"Expected flat rows (n, n_features), got {tuple(x.shape)}; use x.flatten(1).")
    if n_samples < 1:
        raise ValueError(f"Expected n_samples of at least 1, got {n_samples}.")
    keep_freed_memory()
    device = device_of(model)
    n_rows, n_pass = _plan(n_samples, x.shape[1], max_elements, device)

    def score(rows: Tensor, condition: Tensor | None) -> tuple[Tensor, ...]:
        batch, keys = Batch(rows, rows, condition), row_keys(rows)
        state = None
        for first in range(0, n_samples, n_pass):
            noise = RowNoise(keys, seed, first_sample=first)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                trace = model.trace(batch, min(n_pass, n_samples - first), noise)
            state = accumulate(state, trace._replace(p=lean(trace.p)))
        return state or ()

    with evaluating(model):
        return map_rows(score, x, condition, chunk_size=n_rows, device=device)


def bound(
    model: LatentVariableModel,
    x: Tensor,
    n_samples: int = 1,
    *,
    condition: Tensor | None = None,
    seed: int = 0,
    max_elements: int | None = None,
) -> Bound:
    r"""The evidence lower bound of each example.

    .. math:: \log p(x) \ge E_q[\log p(x|z)] - KL(q(z|x) \,\|\, p(z))

    The score to compare models by when there are many examples. One sample suffices for a mean over examples; the
    KL is exact where it is known in closed form. For one example's own log p(x) use `importance_log_likelihood`.

    Args:
        model: a model whose codes have a prior.
        x: examples in the model's units, (n, F).
        n_samples: samples of z for the distortion.
        condition: labels or side information, (n, C).
        seed: seed of the noise, which besides depends only on an example's content.
        max_elements: largest number of elements of a tensor (samples, rows, F), F counting as 256 at least; bounds the
            memory.

    Returns:
        Bound, distortion and rate, each (n,), nats.

    Raises:
        NoDensityError: the model's codes are deterministic.
        ValueError: x is not flat, or n_samples below 1.

    References:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 3.
    """

    def accumulate(state: tuple[Tensor, ...] | None, trace: Trace) -> tuple[Tensor, ...]:
        log_likelihood = trace.log_likelihood
        rate = torch.stack([_rate(layer) for layer in trace.layers]).sum(0).double() * len(log_likelihood)
        sums = (-log_likelihood.sum(0, dtype=torch.float64), rate)
        return sums if state is None else (state[0] + sums[0], state[1] + sums[1])

    distortion, rate = _stream(model, x, condition, n_samples, seed, max_elements, accumulate)
    distortion, rate = distortion / n_samples, rate / n_samples
    return Bound(-distortion - rate, distortion, rate)


def importance_log_likelihood(
    model: LatentVariableModel,
    x: Tensor,
    n_samples: int = 5000,
    *,
    condition: Tensor | None = None,
    seed: int = 0,
    max_elements: int | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> ImportanceEstimate:
    r"""Log p(x) of each example by importance sampling from the posterior.

    .. math:: \log \hat p(x) = \log \frac{1}{k} \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i|x)}, \qquad z_i \sim q(z|x)

    Its expectation is a lower bound on log p(x), which rises with k and reaches it; published log-likelihoods of VAEs
    are this number with k = 5000. With k = 1 it is a Monte-Carlo estimate of `bound`.

    Args:
        model: a model whose codes have a prior; without an encoder, samples come from the prior.
        x: examples in the model's units, (n, F).
        n_samples: samples k of each example.
        condition: labels or side information, (n, C).
        seed: seed of the noise, which besides depends only on an example's content.
        max_elements: largest number of elements of a tensor (samples, rows, F), F counting as 256 at least; bounds the
            memory. Results don't depend on it but for rounding.
        precision: "bf16" runs the networks' matrix products in half precision, densities in float32. For a VAE of
            MNIST it takes two thirds of the time and differs by 0.02 nats an image, 0.01 in their mean.

    Returns:
        Log-likelihood, its Monte-Carlo standard error, and the effective sample size, each (n,).

    Raises:
        NoDensityError: the model's codes are deterministic.
        ValueError: x is not flat, n_samples below 1, or an unknown precision.

    References:
        Burda, Grosse and Salakhutdinov 2015, "Importance Weighted Autoencoders", eq. 8.

    Example:
        >>> from isthmus.distributions import normal
        >>> from isthmus.priors import StandardNormal
        >>> decoder = lambda z, condition: normal(z, torch.ones_like(z))
        >>> model = LatentVariableModel(None, decoder, StandardNormal(1))
        >>> estimate = importance_log_likelihood(model, torch.zeros(1, 1), 20_000)
        >>> exact = -0.5 * math.log(2 * math.pi * 2)  # x is N(0, 2)
        >>> abs(estimate.log_likelihood.item() - exact) < 4 * estimate.standard_error.item()
        True
    """

    if precision not in ("fp32", "bf16"):
        raise ValueError(f"Expected precision 'fp32' or 'bf16', got {precision!r}.")

    def accumulate(state: tuple[Tensor, ...] | None, trace: Trace) -> tuple[Tensor, ...]:
        if any(layer.prior is None or isinstance(layer.q, Point) for layer in trace.layers):
            raise NoDensityError(_NO_DENSITY)
        sums = WeightSums.of(trace.log_weights)
        if state is not None:
            top, total, squares = state
            sums = WeightSums(top, total, squares, 0) | sums
        return sums.top, sums.total, sums.squares

    top, total, squares = _stream(
        model, x, condition, n_samples, seed, max_elements, accumulate, bf16=precision == "bf16"
    )
    sums = WeightSums(top, total, squares, n_samples)
    return ImportanceEstimate(sums.log_mean, sums.standard_error, sums.effective_sample_size)

"""Pareto-smoothed importance weights, and the diagnostic k-hat that tells when importance sampling fails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["effective_sample_size", "pareto_smooth", "smooth"]

_FEWEST = 5
"""Draws in the tail, below which no distribution is fitted."""


def effective_sample_size(log_weights: Tensor) -> Tensor:
    r"""How many equally weighted draws the weighted ones are worth.

    .. math:: \frac{(\sum_s w_s)^2}{\sum_s w_s^2}

    Between 1 and S. It is too large where draws miss the mass of the target altogether: read it beside k-hat.

    Args:
        log_weights: log weights up to a constant, (S, ...).

    Returns:
        The effective sample size of each column, (...).

    References:
        Kong (1992). A note on importance sampling using standardized weights. Technical report 348, Chicago.

    Example:
        >>> effective_sample_size(torch.tensor([0.0, 0.0, 0.0, -math.inf]))
        tensor(3.)
    """
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()


def pareto_smooth(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    r"""Importance weights whose largest ones are replaced by what a generalised Pareto distribution expects of them.

    The M = min(S / 5, 3 sqrt(S)) largest weights are fitted by a generalised Pareto distribution, and take its
    quantiles (i - 1/2) / M in their order, at most the largest raw weight: of less variance than raw weights, and less
    bias than truncated ones. Its shape :math:`\hat k` says how far to trust any estimate from the draws, smoothed or
    not: weights have 1/k finite moments. Below 0.5 all is well, up to 0.7 smoothed estimates are useful, and above
    the draws' distribution is no stand-in for the target.

    Args:
        log_weights: log of target over proposal, up to a constant, (S,) or (S, ...): draws first. Some may be -inf.

    Returns:
        Smoothed log weights, whose exponentials sum to 1 over draws, (S, ...), and k-hat, (...). Fewer than 5 weights
        in the tail can't be told about: k-hat is inf and nothing is smoothed. Weights that agree to half of their
        digits have no tail, and k-hat is 0.

    Raises:
        ValueError: no draws, NaN or +inf among the log weights, or a column of -inf only.

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry (2024). Pareto smoothed importance sampling. JMLR 25(72).
        Zhang, Stephens (2009). A new and efficient estimation method for the generalized Pareto distribution.
        Technometrics 51(3).

    Example:
        >>> uniform = torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> smoothed, khat = pareto_smooth(-0.3 * uniform.log())  # weights u^-0.3 have a tail of shape 0.3
        >>> round(smoothed.exp().sum().item(), 6), 0.1 < khat.item() < 0.5
        (1.0, True)
    """
    smoothed, khat = smooth(log_weights)
    return (smoothed - smoothed.logsumexp(0)).to(log_weights.dtype), khat


def smooth(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed log weights in the units of the raw ones, float64, and k-hat: see `pareto_smooth`."""
    _check(log_weights)
    columns = (
        log_weights.detach().double().flatten(1) if log_weights.ndim > 1 else log_weights.detach().double()[:, None]
    )
    same = math.sqrt(torch.finfo(log_weights.dtype).eps)
    done = [_smooth(column, same) for column in columns.unbind(1)]
    smoothed = torch.stack([column for column, _ in done], 1) if done else columns
    khat = columns.new_tensor([k for _, k in done])
    shape = log_weights.shape
    return smoothed.reshape(shape), khat.reshape(shape[1:]).to(log_weights.dtype)


def _check(log_weights: Tensor) -> None:
    if not log_weights.is_floating_point() or log_weights.ndim == 0 or len(log_weights) == 0:
        raise ValueError(
            f"Expected log weights (S, ...) of S draws, got {log_weights.dtype} of shape {tuple(log_weights.shape)}; "
            "use a floating-point tensor with draws on the first axis."
        )
    bad = (log_weights.isnan() | log_weights.isposinf()).sum().item()
    if bad:
        raise ValueError(
            f"Expected log weights that are finite or -inf, got {bad} of {log_weights.numel()} that are NaN or +inf; "
            "use a log-density that is -inf where there is no mass."
        )
    if log_weights.isneginf().all(0).any():
        raise ValueError("Expected a weight above zero, got -inf for all draws; use draws that the target can give.")


def _smooth(log_weights: Tensor, same: float) -> tuple[Tensor, float]:
    """Smoothed log weights of one column, and k-hat."""
    top = log_weights.max()
    x = log_weights - top
    n_draws = len(x)
    smoothed, khat = x, math.inf
    if x.min() >= -same:
        khat = 0.0
    elif (longest := math.ceil(min(n_draws / 5, 3 * math.sqrt(n_draws)))) < n_draws:
        # Ties with the largest weight that is not in the tail stay out, as do weights that are zero.
        cut = x.sort(descending=True).values[longest].clamp(min=math.log(torch.finfo(x.dtype).tiny))
        tail = (x > cut).nonzero()[:, 0]
        tail = tail[x[tail].argsort(stable=True)]
        if len(tail) >= _FEWEST:
            excess = x[tail].exp() - cut.exp()
            k, scale = _fit_pareto(excess)
            if math.isfinite(k) and scale > 0:
                khat = k
                smoothed = x.clone()
                smoothed[tail] = (_quantiles(len(tail), k, scale, x) + cut.exp()).log().clamp(max=0)
    return smoothed + top, khat


def _fit_pareto(excess: Tensor) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution for sorted values above zero: an empirical Bayes estimate.

    With b = k / scale the profile likelihood has one parameter; its mean over a grid of b, with a weak prior, is better
    than its maximum. The shape is then drawn towards 1/2 with the weight of ten values.
    """
    n = len(excess)
    n_grid = 30 + int(math.sqrt(n))
    quartile, largest = excess[int(n / 4 + 0.5) - 1], excess[-1]
    steps = torch.arange(1, n_grid + 1, dtype=excess.dtype, device=excess.device) - 0.5
    b = (1 - (n_grid / steps).sqrt()) / (3 * quartile) + 1 / largest
    k = torch.log1p(-b[:, None] * excess).mean(1)
    profile = n * ((-b / k).log() - k - 1)
    weights = profile.softmax(0)
    weights = torch.where(weights >= 10 * torch.finfo(excess.dtype).eps, weights, 0.0)
    b_mean = (weights / weights.sum() * b).sum()
    shape = torch.log1p(-b_mean * excess).mean()
    scale = -shape / b_mean
    return ((n * shape + 5) / (n + 10)).item(), scale.item()


def _quantiles(n: int, k: float, scale: float, like: Tensor) -> Tensor:
    """Quantiles (i - 1/2) / n of the generalised Pareto distribution."""
    log_survival = torch.log1p(-(torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n)
    standard = -log_survival if abs(k) < torch.finfo(like.dtype).eps else torch.expm1(-k * log_survival) / k
    return scale * standard

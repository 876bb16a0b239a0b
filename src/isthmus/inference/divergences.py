r"""How far an approximation q is from a density p, in either direction and between, and what is least in closed form.

:math:`KL(q \| p)` picks out a mode, :math:`KL(p \| q)` covers all of them, and Renyi's divergences lie between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from .families import Family, FullRank, MeanField
from .gradients import Gradient, evidence_bound, importance_weighted_bound, score_term
from .paths import path_log_prob

__all__ = [
    "Direction",
    "Divergence",
    "divergence",
    "divergence_loss",
    "fit_moments",
    "inclusive_divergence",
    "match_moments",
]

Direction = Literal["reverse", "forward", "alpha"]
"""KL(q || p), KL(p || q), and Renyi's divergence of order alpha."""


WIDER = 1.5
"""Variances of proposals relative to the moments found: with p's own, weights of a correlated p have no variance."""


class Divergence(NamedTuple):
    """An estimate in nats, and its standard error."""

    value: float
    error: float


def divergence_loss(
    log_joint: Tensor,
    q: Distribution,
    z: Tensor,
    direction: Direction = "reverse",
    *,
    gradient: Gradient = "stl",
    alpha: float = 0.5,
    weight: Tensor | None = None,
) -> Tensor:
    """What is minimised for a direction, in nats; a divergence, but for log p's normalising constant.

    Args:
        log_joint: log p of each draw, (K, ...); need not be normalised.
        q: the approximation.
        z: draws from it, (K, ..., D).
        direction: "reverse", "forward" or "alpha".
        gradient: its estimator, see `isthmus.inference.evidence_bound`.
        alpha: order of Renyi's divergence, for that direction.
        weight: of each draw where they are stratified, (K, ...).

    Returns:
        The loss, (...).

    Raises:
        ValueError: another direction, or an estimator that does not go with it.
    """
    if direction == "reverse":
        return -evidence_bound(log_joint, q, z, gradient=gradient, weight=weight)
    if direction == "forward":
        gradient = gradient if weight is None else "score"
        return inclusive_divergence(log_joint, q, z, gradient=gradient, weight=weight)
    if direction != "alpha":
        raise ValueError(f"Expected direction 'reverse', 'forward' or 'alpha', got {direction!r}.")
    gradient = {"stl": "dreg"}.get(gradient, gradient) if weight is None else "reparameterised"  # type: ignore[assignment]
    return -importance_weighted_bound(log_joint, q, z, gradient=gradient, alpha=alpha, weight=weight)


def inclusive_divergence(
    log_joint: Tensor,
    q: Distribution,
    z: Tensor,
    *,
    gradient: Gradient = "stl",
    weight: Tensor | None = None,
) -> Tensor:
    r"""The inclusive divergence :math:`KL(p(z|x) \| q)` by self-normalised importance sampling.

    .. math:: \sum_k \tilde w_k \log w_k - \log \frac{1}{K} \sum_k w_k

    It makes q cover p, and works where q covers p already and dimensions are few: elsewhere a few weights are all there
    is, and the estimate sees nothing of what q misses. Its bias vanishes with K.

    Args:
        log_joint: log p(x, z) of each sample, (K, ...), nats; p need not be normalised.
        q: the posterior, of batch shape (...).
        z: samples from it, (K, ..., D).
        gradient: "score" follows :math:`-\sum_k \tilde w_k \nabla \log q(z_k)`, any other the same reparameterised,
            with :math:`(\tilde w_k - \tilde w_k^2)\, \partial \log w_k / \partial z_k`, whose noise vanishes at q = p.
        weight: of each sample, (K, ...), adding up to 1, where samples are stratified; with "score" only.

    Returns:
        The divergence, (...), nats.

    Raises:
        ValueError: weights with another estimator than "score".

    References:
        Bornschein, Bengio (2015). Reweighted wake-sleep. ICLR, eq. 13.
        Tucker et al. (2019). Doubly reparameterized gradient estimators for Monte Carlo objectives. ICLR, eq. 12.
    """
    if gradient == "score":
        log_q = q.log_prob(z.detach())
        log_weights = (log_joint - log_q).detach()
        log_shares = log_weights - math.log(len(z)) if weight is None else log_weights + weight.detach().log()
        share = log_shares.softmax(0)
        value = (share * log_weights).sum(0) - log_shares.logsumexp(0)
        return value - score_term(share, log_q)
    if weight is not None:
        raise ValueError(f"Expected gradient 'score' with weights of samples, got {gradient!r}.")
    log_weights = log_joint - path_log_prob(q, z)
    share = log_weights.detach().softmax(0)
    value = (share * log_weights.detach()).sum(0) - log_weights.detach().logsumexp(0) + math.log(len(z))
    return value - score_term(share - share.square(), log_weights)


@torch.no_grad()
def divergence(
    log_density: Callable[[Tensor], Tensor],
    family: Family,
    direction: Direction = "reverse",
    *,
    alpha: float = 0.5,
    n_draws: int = 10_000,
    generator: torch.Generator | None = None,
) -> Divergence:
    r"""An estimate of :math:`KL(q \| p)`, :math:`KL(p \| q)` or Renyi's :math:`D_\alpha(q \| p)` by draws from q.

    Args:
        log_density: log p of draws, (S, dim) to (S,), normalised for "reverse" and "alpha": else the result is too
            large by minus the log of its integral.
        family: of q.
        direction: "reverse", "forward" (self-normalised: p need not be normalised, but q has to cover it) or "alpha".
        alpha: order of Renyi's divergence, 0 to 1 for those between.
        n_draws: from q.
        generator: of the draws; seed 0 unless given.

    Returns:
        Nats, with a standard error by the delta method.

    Raises:
        ValueError: another direction.

    References:
        Li, Turner (2016). Renyi divergence variational inference. NeurIPS.

    Example:
        >>> def log_density(x):
        ...     return torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1)
        >>> value, error = divergence(log_density, MeanField(1, scale=2.0))
        >>> abs(value - (1.5 - math.log(2.0))) < 3 * error  # in closed form
        True
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    draws, q = family.draw(n_draws, generator), family()
    log_q = q.log_prob(draws)
    log_p = log_density(draws)
    value = float(divergence_loss(log_p, q, draws, direction, gradient="reparameterised", alpha=alpha))
    log_weights = log_p - log_q
    if direction == "reverse":
        influence = -log_weights
    elif direction == "alpha":
        influence = _relative((1 - alpha) * log_weights) / (1 - alpha)
    else:
        share = _relative(log_weights)
        influence = share * (log_weights - (share * log_weights).mean()) - share
    return Divergence(value, float(influence.std() / n_draws**0.5))


def _relative(log_weights: Tensor) -> Tensor:
    """Weights in units of their mean."""
    return log_weights.softmax(0) * len(log_weights)


def match_moments(family: Family, mean: Tensor, covariance: Tensor) -> Family:
    r"""The member of a Gaussian family with the least :math:`KL(p \| q)`: that with p's mean and (co)variances.

    Args:
        family: mean-field or full-rank; it is left as it is.
        mean: of p, (dim,).
        covariance: of p, (dim, dim).

    Returns:
        A new family of the same kind.

    Raises:
        TypeError: a family whose moments don't settle it.
        ValueError: a covariance that is not positive definite.

    References:
        Bishop (2006). Pattern recognition and machine learning, sec. 10.1.2 and eq. 10.17.

    Example:
        >>> covariance = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> match_moments(MeanField(2), torch.zeros(2), covariance)().variance.round(decimals=6).tolist()
        [2.0, 2.0]
    """
    like = next(family.parameters())
    mean, covariance = mean.to(like), covariance.to(like)
    if isinstance(family, MeanField):
        factor = covariance.diagonal().sqrt()
        proper = bool((factor > 0).all())
    elif isinstance(family, FullRank):
        factor, failed = torch.linalg.cholesky_ex(covariance)
        proper = not failed
    else:
        raise TypeError(
            "Expected a family that its moments settle, mean-field or full-rank, got "
            f"{type(family).__name__}; use fit_family with direction='forward'."
        )
    if not (proper and factor.isfinite().all()):
        raise ValueError(
            "Expected moments with a positive-definite covariance, got another; use more draws or a wider start."
        )
    return type(family)(family.dim, mean, factor, dtype=like.dtype)


@torch.no_grad()
def fit_moments(
    log_density: Callable[[Tensor], Tensor],
    family: Family,
    *,
    n_draws: int = 4000,
    n_rounds: int = 10,
    generator: torch.Generator | None = None,
) -> Family:
    r"""The least :math:`KL(p \| q)` of a Gaussian family without gradients: p's moments by importance sampling from q.

    Each round draws from the last one's result, somewhat widened. Start wide: what no draw comes near stays unseen.

    Args:
        log_density: log p of draws, (S, dim) to (S,); need not be normalised.
        family: mean-field or full-rank, where it starts.
        n_draws: of each round.
        n_rounds: the last half of them are averaged.
        generator: of the draws; seed 0 unless given.

    Returns:
        A new family of the same kind.

    Raises:
        TypeError: another family.
        ValueError: numbers below 1, weights without a finite sum, or too few draws that count.

    References:
        Cappe, Douc, Guillin, Marin, Robert (2008). Adaptive importance sampling in general mixture classes. Statistics
            and Computing 18.
    """
    if n_draws < 1 or n_rounds < 1:
        raise ValueError(f"Expected n_draws and n_rounds of 1 or more, got {n_draws} and {n_rounds}.")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    proposal, means, covariances = family, [], []
    for number in range(n_rounds):
        draws = proposal.draw(n_draws, generator)
        share = (log_density(draws) - proposal().log_prob(draws)).softmax(0)
        if not share.isfinite().all():
            raise ValueError("Expected a log-density that is finite somewhere near q, got none; start elsewhere.")
        mean = share @ draws
        centred = draws - mean
        covariance = (share[:, None] * centred).T @ centred
        if number >= n_rounds // 2:
            means.append(mean)
            covariances.append(covariance)
        # Where few draws count, their covariance is of less than full rank.
        floor = 1e-6 * covariance.diagonal().mean() * torch.eye(family.dim).to(covariance)
        proposal = match_moments(family, mean, WIDER * covariance + floor)
    rounds = torch.stack(means)
    spread = rounds - rounds.mean(0)  # of the means about theirs: nothing cancels where they are far from 0
    return match_moments(family, rounds.mean(0), torch.stack(covariances).mean(0) + spread.T @ spread / len(rounds))

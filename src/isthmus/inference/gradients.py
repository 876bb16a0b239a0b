r"""Estimators of a bound's gradient, in one place: black-box inference and the autoencoders' objectives call them.

Each function returns a bound whose *value* is the same whatever the estimator, and whose *gradient* is the estimator.
Samples are on the first axis: `z` is (K, ..., D) from a posterior q of batch shape (...), and `log_joint` (K, ...). Of
a hierarchy q and z are sequences, a posterior and its samples for each layer in the order in which they are drawn; all
estimators are of all layers together.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from .paths import Posteriors, Samples, log_prob_of, own_log_prob, path_log_prob, scale_path_gradient

__all__ = [
    "Baseline",
    "Gradient",
    "check_estimator",
    "evidence_bound",
    "importance_weighted_bound",
    "leave_one_out",
    "score_term",
]

Gradient = Literal["reparameterised", "stl", "score", "dreg"]
"""Names of the estimators."""

Baseline = Literal["leave_one_out", "none"]
"""Control variates of the score function."""


def check_estimator(gradient: str, baseline: str, n_samples: int, gradients: tuple[str, ...]) -> None:
    """That an objective's estimator is one of these gradients, and has the samples that it takes.

    Raises:
        ValueError: it is none, or has too few.
    """
    if n_samples < 1:
        raise ValueError(f"Expected n_samples >= 1, got {n_samples}.")
    for name, value, allowed in (("gradient", gradient, gradients), ("baseline", baseline, get_args(Baseline))):
        if value not in allowed:
            raise ValueError(f"Expected {name} as one of {allowed}, got {value!r}.")
    if gradient == "score" and baseline == "leave_one_out" and n_samples < 2:
        raise ValueError("Expected n_samples >= 2 with gradient 'score' and baseline 'leave_one_out', got 1.")


def leave_one_out(values: Tensor) -> Tensor:
    """For each sample the mean of the others, which does not depend on it: the score function's control variate.

    Args:
        values: (K, ...), K >= 2.

    Returns:
        (K, ...).

    Raises:
        ValueError: one sample, which has no others.

    References:
        Kool, van Hoof, Welling (2019). Buy 4 REINFORCE samples, get a baseline for free! ICLR workshop.

    Example:
        >>> leave_one_out(torch.tensor([1.0, 2.0, 6.0]))
        tensor([4.0000, 3.5000, 1.5000])
    """
    if len(values) < 2:
        raise ValueError("Expected two samples or more for a leave-one-out baseline, got 1; use n_samples=2 or more.")
    return (values.sum(0) - values) / (len(values) - 1)


def evidence_bound(
    log_joint: Tensor,
    q: Posteriors,
    z: Samples,
    *,
    gradient: Gradient = "stl",
    baseline: Baseline = "leave_one_out",
    log_q_weight: float | Tensor = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    r"""The evidence lower bound :math:`E_q[\log p(x, z) - \log q(z)]` by samples, with a gradient of one's choice.

    All estimators are unbiased. "reparameterised" differentiates through the samples; "stl" leaves out the score of q,
    whose mean is 0: use it, unless q is far from the posterior; "score" needs no derivative of log p to z,

    .. math:: \frac{1}{K} \sum_k (f_k - b_k) \nabla \log q(z_k), \qquad f_k = \log p(x, z_k) - \log q(z_k),

    where the baseline :math:`b_k` is the mean of the other samples' f. Use it where z is discrete or p is not smooth.

    Args:
        log_joint: log p(x, z) of each sample, (K, ...), nats.
        q: the posterior, of batch shape (...); of a hierarchy a sequence, one for each layer.
        z: samples from it, (K, ..., D), or those of each layer; for all but "score" with gradient to q's parameters.
        gradient: "reparameterised", "stl" or "score".
        baseline: of the score function, "leave_one_out" or "none".
        log_q_weight: of log q; 0 where the caller has the entropy, or the KL, in closed form.
        weight: of each sample, (K, ...), adding up to 1, where samples are stratified; None where they count alike.

    Returns:
        The bound, (...), nats.

    Raises:
        ValueError: another estimator; one sample where a baseline needs two.

    References:
        Kingma, Welling (2014). Auto-encoding variational Bayes. ICLR (reparameterised).
        Roeder, Wu, Duvenaud (2017). Sticking the landing. NeurIPS (stl).
        Williams (1992). Simple statistical gradient-following algorithms. Machine Learning 8 (score).

    Example:
        >>> from isthmus.distributions import normal
        >>> posterior = normal(torch.zeros(2), torch.ones(2))
        >>> q = normal(torch.zeros(2, requires_grad=True), torch.ones(2))
        >>> z = q.rsample((4,))
        >>> torch.autograd.grad(evidence_bound(posterior.log_prob(z), q, z), q.mean)[0]  # no noise: q is the posterior
        tensor([0., 0.])
    """
    if gradient in ("reparameterised", "stl"):
        log_q = log_prob_of(q, z) if gradient == "reparameterised" else path_log_prob(q, z)
        values = log_joint - log_q_weight * log_q
        return values.mean(0) if weight is None else (weight * values).sum(0)
    if gradient != "score" or weight is not None:
        raise ValueError(
            f"Expected gradient 'reparameterised', 'stl' or, without weights, 'score' of the evidence bound, got "
            f"{gradient!r}; use 'stl', or importance_weighted_bound for 'dreg'."
        )
    log_q = own_log_prob(q, z)
    values = (log_joint - log_q_weight * log_q).detach()
    advantage = values if baseline == "none" else values - leave_one_out(values)
    bound = scale_path_gradient(log_joint.mean(0), z, 0.0)
    return bound + score_term(advantage / len(log_joint), log_q) - (log_q_weight * log_q.detach()).mean(0)


def importance_weighted_bound(
    log_joint: Tensor,
    q: Posteriors,
    z: Samples,
    *,
    gradient: Gradient = "dreg",
    baseline: Baseline = "leave_one_out",
    alpha: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    r"""The importance-weighted bound :math:`\log \frac{1}{K} \sum_k w_k`, :math:`w_k = p(x, z_k) / q(z_k)`.

    It rises with K towards log p(x). What differs is the gradient to q's parameters; to all others it is
    :math:`\sum_k \tilde w_k \nabla \log w_k` with normalised weights :math:`\tilde w`. "reparameterised" is that sum
    through the samples, whose signal-to-noise ratio falls as :math:`1 / \sqrt K`; "dreg" reparameterises twice,

    .. math:: \sum_k \tilde w_k^2 \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi},

    and rises as :math:`\sqrt K`; "stl" leaves the score of q out, which is biased for K > 1; "score" is the score
    function with each sample's own share as its signal. Use "dreg".

    With alpha it is Renyi's bound, :math:`\frac{1}{1 - \alpha} \log \frac{1}{K} \sum_k w_k^{1 - \alpha}`, which falls
    from the importance-weighted bound (0) to the evidence lower bound (the limit at 1) and below (above 1, where the
    posterior fits into p). There the factor of "dreg" is :math:`\tilde w_k (1 - (1 - \alpha)(1 - \tilde w_k))`.

    Args:
        log_joint: log p(x, z) of each sample, (K, ...), nats.
        q: the posterior, of batch shape (...); of a hierarchy a sequence, one for each layer.
        z: samples from it, (K, ..., D), or those of each layer; for all but "score" with gradient to q's parameters.
        gradient: "dreg", "reparameterised", "stl" or "score".
        baseline: of the score function: "leave_one_out" puts the geometric mean of the others in a weight's place.
        alpha: order of the divergence, any number but 1.
        weight: of each sample, (K, ...), adding up to 1, where samples are stratified; with "reparameterised" only.

    Returns:
        The bound, (...), nats.

    Raises:
        ValueError: another estimator, or one that does not go with weights; alpha of 1; one sample where a baseline
            needs two.

    References:
        Burda, Grosse, Salakhutdinov (2016). Importance weighted autoencoders. ICLR, eqs. 8 and 14.
        Tucker, Lawson, Gu, Maddison (2019). Doubly reparameterized gradient estimators for Monte Carlo objectives.
            ICLR, eq. 8.
        Mnih, Rezende (2016). Variational inference for Monte Carlo objectives. ICML, eq. 10 (score).
        Rainforth et al. (2018). Tighter variational bounds are not necessarily better. ICML.
        Li, Turner (2016). Renyi divergence variational inference. NeurIPS, eq. 6 (alpha).

    Example:
        >>> from isthmus.distributions import normal
        >>> q = normal(torch.zeros(2, requires_grad=True), torch.ones(2))
        >>> z = q.rsample((4,))
        >>> importance_weighted_bound(q.log_prob(z) - 3.0, q, z).detach().round(decimals=3)
        tensor(-3.)
    """
    if alpha == 1:
        raise ValueError("Expected another alpha than 1, whose limit is the evidence lower bound; use evidence_bound.")
    order = 1.0 - alpha

    def bound_of(log_weights: Tensor, dim: int = 0) -> Tensor:
        return ((order * log_weights).logsumexp(dim) - math.log(len(log_joint))) / order

    if weight is not None:
        if gradient != "reparameterised":
            raise ValueError(f"Expected gradient 'reparameterised' with weights of samples, got {gradient!r}.")
        return (order * (log_joint - log_prob_of(q, z)) + weight.log()).logsumexp(0) / order
    if gradient == "reparameterised":
        return bound_of(log_joint - log_prob_of(q, z))
    if gradient in ("stl", "dreg"):
        log_weights = log_joint - path_log_prob(q, z)
        bound, share = bound_of(log_weights), (order * log_weights).detach().softmax(0)
        return bound if gradient == "stl" else scale_path_gradient(bound, z, 1.0 - order * (1.0 - share))
    if gradient != "score":
        raise ValueError(f"Expected gradient 'dreg', 'reparameterised', 'stl' or 'score', got {gradient!r}.")
    log_q = own_log_prob(q, z)
    bound = scale_path_gradient(bound_of(log_joint - log_q), z, 0.0)
    log_weights = (log_joint - log_q).detach()
    if baseline == "none":
        return bound + score_term(bound.detach().expand_as(log_q), log_q)
    own = torch.eye(len(log_q), dtype=torch.bool, device=log_q.device)
    own = own.view(*own.shape, *(1,) * (log_q.dim() - 1))
    without = bound_of(torch.where(own, leave_one_out(log_weights), log_weights), 1)
    return bound + score_term(bound.detach() - without, log_q)


def score_term(signal: Tensor, log_q: Tensor) -> Tensor:
    """Zero, whose gradient is that of log q (K, ...) weighted by a signal (K, ...), summed over samples."""
    return (signal.detach() * (log_q - log_q.detach())).sum(0)

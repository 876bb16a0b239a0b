"""What a posterior is for: the density of new data, and the choice between models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .importance import ImportanceSample, WeightSums

__all__ = ["Comparison", "PredictiveDensity", "compare_models", "predictive_density"]


class PredictiveDensity(NamedTuple):
    """Log-density of new data under the posterior, in nats.

    Attributes:
        log_density: of each of the data, (n,).
        standard_error: of each, from the finite number of draws, (n,); NaN for one draw.
        effective_sample_size: how many draws each rests on, (n,).
    """

    log_density: Tensor
    standard_error: Tensor
    effective_sample_size: Tensor


class Comparison(NamedTuple):
    """Which model the data speak for.

    Attributes:
        probabilities: of the models given the data, which sum to 1.
        log_odds: of each model against the most probable one, in nats.
        log_odds_error: standard errors of these.
        trusted: whether every evidence has a k-hat of at most 0.7.
    """

    probabilities: dict[str, float]
    log_odds: dict[str, float]
    log_odds_error: dict[str, float]
    trusted: bool


def predictive_density(log_likelihoods: Tensor, log_weights: Tensor | None = None) -> PredictiveDensity:
    r"""Density of new data x, averaged over the posterior of the parameters.

    .. math:: \log p(x | D) = \log \int p(x | \theta) p(\theta | D) d\theta
        \approx \log \sum_s w_s p(x | \theta_s)

    The score by which to compare predictions of models, whose parameters are not known exactly. The mean of
    log-likelihoods, instead of the log of their mean, would be too low.

    Args:
        log_likelihoods: log p(x | theta_s) of each draw and each of the data, (S, n), in nats. For the joint density of
            several data, sum their log-likelihoods first.
        log_weights: of weighted draws, up to a constant, (S,); without them draws of the posterior itself.

    Returns:
        Log-density of each of the data, its standard error by the delta method, and the draws it rests on.

    Raises:
        ValueError: other shapes, no draws, or NaN.

    Example:
        >>> theta = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> x = torch.tensor([0.0, 2.0])
        >>> found = predictive_density(torch.distributions.Normal(theta, 1.0).log_prob(x))
        >>> exact = torch.distributions.Normal(0.0, math.sqrt(2)).log_prob(x)
        >>> bool(((found.log_density - exact).abs() < 4 * found.standard_error).all())
        True
    """
    if log_likelihoods.ndim != 2 or len(log_likelihoods) == 0:
        raise ValueError(
            f"Expected log-likelihoods (S, n) of S draws and n data, got shape {tuple(log_likelihoods.shape)}."
        )
    if log_weights is not None and log_weights.shape != log_likelihoods.shape[:1]:
        raise ValueError(f"Expected one log weight a draw, ({len(log_likelihoods)},), got {tuple(log_weights.shape)}.")
    if bool(log_likelihoods.isnan().any()) or (log_weights is not None and bool(log_weights.isnan().any())):
        raise ValueError("Expected log-likelihoods and log weights without NaN.")
    if log_weights is None:
        sums = WeightSums.of(log_likelihoods)
        return PredictiveDensity(sums.log_mean, sums.standard_error, sums.effective_sample_size)
    log_weights = log_weights.double().log_softmax(0)[:, None]
    terms = log_weights + log_likelihoods.double()
    log_density = terms.logsumexp(0)
    # A ratio of two means over the same draws: what each draw adds to its error is w_s (p_s / p - 1).
    deviation = log_weights.exp() * ((log_likelihoods - log_density).exp() - 1)
    error = deviation.square().sum(0).sqrt() if len(terms) > 1 else log_density * math.nan
    return PredictiveDensity(log_density, error, WeightSums.of(terms).effective_sample_size)


def compare_models(evidences: Mapping[str, ImportanceSample], prior: Mapping[str, float] | None = None) -> Comparison:
    r"""Posterior probabilities of models from their marginal likelihoods.

    .. math:: p(m | D) \propto p(D | m) \, p(m)

    Each evidence is `importance_sampling` of the model's log joint density, log p(D, theta | m) with all its constants,
    from a fitted posterior's `approximation`. Unlike the likelihood at the best parameters, the evidence falls where a
    model could have explained many other data as well; and it depends on the priors of the parameters, which must mean
    what they say.

    Args:
        evidences: by the names of the models.
        prior: probabilities of the models before the data, up to a factor; equal without it.

    Returns:
        Probabilities, log odds against the most probable model with their errors, and whether to trust them.

    Raises:
        ValueError: no models, or a prior of other models or without any above zero.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from isthmus.inference.importance import importance_sampling
        >>> prior, data = Independent(Normal(torch.zeros(1), 1.0), 1), 0.3  # is the mean zero, or anywhere?
        >>> joint = lambda theta: prior.log_prob(theta) + Normal(theta[:, 0], 1.0).log_prob(torch.tensor(data))
        >>> known = lambda theta: prior.log_prob(theta) + Normal(0.0, 1.0).log_prob(torch.tensor(data))
        >>> generator = torch.Generator().manual_seed(0)
        >>> models = {"any": joint, "zero": known}
        >>> found = compare_models({m: importance_sampling(f, prior, 10_000, generator) for m, f in models.items()})
        >>> round(found.probabilities["zero"], 2)  # odds N(0.3; 0, 1) to N(0.3; 0, 2)
        0.58
    """
    if not evidences:
        raise ValueError("Expected the evidence of a model or more, got none.")
    if prior is not None and (set(prior) != set(evidences) or min(prior.values()) < 0 or max(prior.values()) <= 0):
        raise ValueError(f"Expected a prior probability for each of {', '.join(evidences)}, got {dict(prior)}.")
    names = list(evidences)
    log_prior = torch.tensor([1.0 if prior is None else prior[name] for name in names], dtype=torch.float64).log()
    log_joint = torch.stack([evidences[name].log_evidence.double().cpu() for name in names]) + log_prior
    errors = [float(evidences[name].standard_error) for name in names]
    best = int(log_joint.argmax())
    odds = (log_joint - log_joint[best]).tolist()
    return Comparison(
        dict(zip(names, log_joint.softmax(0).tolist(), strict=True)),
        dict(zip(names, odds, strict=True)),
        {name: 0.0 if i == best else math.hypot(errors[i], errors[best]) for i, name in enumerate(names)},
        all(float(evidence.khat) <= 0.7 for evidence in evidences.values()),
    )

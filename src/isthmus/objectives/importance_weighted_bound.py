"""The importance-weighted bound: a lower bound on the likelihood that tightens with the number of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn

from ..inference.gradients import Baseline, Gradient, check_estimator, importance_weighted_bound
from ..inference.paths import log_prob_of
from ..model import Trace
from .base import Loss, Objective
from .elbo import prior_of

__all__ = ["ImportanceWeightedBound"]


@dataclass(frozen=True)
class ImportanceWeightedBound(Objective):
    r"""Negative importance-weighted bound, :math:`-\log \frac{1}{K} \sum_k p(x, z_k) / q(z_k|x)`, in nats.

    With K = 1 it is the ELBO by one sample; in expectation it rises with K towards log p(x), whatever the posterior.
    Use it for a better likelihood; the posterior that it trains proposes samples that are to be weighted, and is wider
    than the ELBO's. The plain gradient to the encoder drowns in noise as K grows; "dreg" does not. The estimator of
    this objective is `isthmus.IWAE`.

    Args:
        n_samples: K, samples of z per example.
        gradient: estimator of the gradient to the encoder: "dreg", doubly reparameterised; "reparameterised", as
            published first; "stl", biased for K > 1; "score". See `isthmus.inference.importance_weighted_bound`.
        baseline: of the score function: "leave_one_out", which takes n_samples of 2 or more, or "none".

    Raises:
        ValueError: values out of range.
        TypeError: when called with a deterministic code, or a model without latent layer.

    References:
        Burda, Grosse, Salakhutdinov (2016). Importance weighted autoencoders. ICLR, eq. 8.
        Tucker, Lawson, Gu, Maddison (2019). Doubly reparameterized gradient estimators for Monte Carlo objectives.
            ICLR.

    Example:
        >>> import torch
        >>> from isthmus.heads import BernoulliHead, GaussianHead
        >>> from isthmus.model import Batch, Conditional, LatentVariableModel
        >>> from isthmus.priors import StandardNormal
        >>> encoder = Conditional(torch.nn.Identity(), GaussianHead(6, 2))
        >>> decoder = Conditional(torch.nn.Identity(), BernoulliHead(2, 6))
        >>> model = LatentVariableModel(encoder, decoder, StandardNormal(2))
        >>> x = torch.ones(4, 6)
        >>> loss = ImportanceWeightedBound(n_samples=8)(model, Batch(x, x))
        >>> loss.value.shape, bool((loss.value <= loss.terms["distortion"] + loss.terms["rate"]).all())
        (torch.Size([4]), True)
    """

    n_samples: int = 5
    gradient: Gradient = "dreg"
    baseline: Baseline = "leave_one_out"

    def __post_init__(self) -> None:
        check_estimator(self.gradient, self.baseline, self.n_samples, get_args(Gradient))

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The negative bound of each example; as terms, the parts of the ELBO by the same samples."""
        if not trace.layers:
            raise TypeError("Expected a model with a latent layer, got none; use NegativeLogLikelihood.")
        # A model without encoder draws codes from its prior: their weights are likelihoods.
        posteriors = [layer for layer in trace.layers if layer.q is not layer.prior]
        log_priors = [prior_of(layer).log_prob(layer.z) for layer in posteriors]
        log_likelihood = trace.log_likelihood
        log_joint = sum(log_priors, start=log_likelihood)
        distortion = -log_likelihood.mean(0)
        if not posteriors:
            bound = log_joint.logsumexp(0) - math.log(len(log_joint))
            return Loss(-bound, terms={"distortion": distortion, "rate": torch.zeros_like(distortion)})
        q, z = [layer.q for layer in posteriors], [layer.z for layer in posteriors]
        bound = importance_weighted_bound(log_joint, q, z, gradient=self.gradient, baseline=self.baseline)
        rate = (log_prob_of(q, z) - sum(log_priors)).mean(0)
        return Loss(-bound, terms={"distortion": distortion, "rate": rate})

"""The evidence lower bound, and the three ways to write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from ..distributions import Point, kl_per_dimension
from ..inference.gradients import Baseline, check_estimator, evidence_bound
from ..model import Layer, Trace
from ..processes import batch_mean
from .base import Loss, Objective

__all__ = ["ELBO", "evidence_minus_posterior_kl", "joint_plus_entropy", "reconstruction_minus_kl"]

KL = Literal["auto", "analytic", "monte_carlo"]
Gradient = Literal["reparameterised", "stl", "score"]


@dataclass(frozen=True)
class ELBO(Objective):
    r"""Negative evidence lower bound, :math:`-E_q[\log p(x|z)] + \beta\, KL(q(z|x) \| p(z))`, in nats.

    With beta = 1 a bound on -log p(x), as tight as the posterior is good; with other values beta-VAE, and no bound
    where beta < 1. Several latent layers add up. In training, batches carry their step, and with it the warm-up;
    outside of it beta is whole.

    Args:
        beta: weight of the rate.
        n_samples: samples of z per example.
        free_bits: nats (not bits) of rate that each dimension of the code has for free: a dimension whose KL, on
            average over the batch, is below it feels no pressure of the prior. The difference is no part of an
            example's `value`, which stays the bound, but of the batch.
        warm_up: steps over which the weight rises linearly from 0 to beta.
        kl: "analytic" takes the closed form, "monte_carlo" the samples, "auto" the closed form where there is one.
        gradient: estimator of the gradient to the encoder: "reparameterised"; "stl", sticking the landing, whose
            variance vanishes as the posterior becomes exact, and which takes the KL from samples; "score", the score
            function, which needs no derivative of the decoder with respect to the code, and with several latent layers
            takes the KL from samples. See `isthmus.inference.evidence_bound`.
        baseline: of the score function: "leave_one_out", which takes n_samples of 2 or more, or "none".

    Raises:
        ValueError: values out of range, or that exclude each other.
        TypeError: when called with a deterministic code, or without the closed form that the arguments need; with
            several latent layers, gradient "score", and free_bits or kl "analytic".

    References:
        Kingma and Welling (2014). Auto-encoding variational Bayes. ICLR, eq. 3.
        Higgins et al. (2017). beta-VAE. ICLR, eq. 4.
        Sonderby et al. (2016). Ladder variational autoencoders. NeurIPS, sec. 2.3 (warm-up).
        Kingma et al. (2016). Improving variational inference with inverse autoregressive flow. NeurIPS, eq. 15.
        Roeder, Wu, Duvenaud (2017). Sticking the landing. NeurIPS.

    Example:
        >>> from isthmus.heads import BernoulliHead, GaussianHead
        >>> from isthmus.model import Batch, Conditional, LatentVariableModel
        >>> from isthmus.priors import StandardNormal
        >>> encoder = Conditional(torch.nn.Identity(), GaussianHead(6, 2))
        >>> decoder = Conditional(torch.nn.Identity(), BernoulliHead(2, 6))
        >>> model = LatentVariableModel(encoder, decoder, StandardNormal(2))
        >>> x = torch.ones(4, 6)
        >>> loss = ELBO(beta=4.0)(model, Batch(x, x))
        >>> loss.value.shape, sorted(loss.terms)
        (torch.Size([4]), ['distortion', 'rate'])
    """

    beta: float = 1.0
    n_samples: int = 1
    free_bits: float = 0.0
    warm_up: int = 0
    kl: KL = "auto"
    gradient: Gradient = "reparameterised"
    baseline: Baseline = "leave_one_out"

    def __post_init__(self) -> None:
        for name in ("beta", "free_bits", "warm_up"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Expected {name} >= 0, got {getattr(self, name)}.")
        if self.kl not in get_args(KL):
            raise ValueError(f"Expected kl as one of {get_args(KL)}, got {self.kl!r}.")
        check_estimator(self.gradient, self.baseline, self.n_samples, get_args(Gradient))
        if self.free_bits and self.kl == "monte_carlo":
            raise ValueError("Expected kl 'auto' or 'analytic' with free_bits, whose KL of each dimension is exact.")
        if self.gradient == "stl" and (self.free_bits or self.kl == "analytic"):
            raise ValueError(
                "Expected neither free_bits nor kl 'analytic' with gradient 'stl', whose KL is of samples; "
                "use gradient 'reparameterised'."
            )

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The negative bound of each example, and what free bits give back."""
        layers = [layer for layer in trace.layers if layer.q is not layer.prior]  # a model without encoder has none
        distortion = self._distortion(trace, layers)
        rate, returned = torch.zeros_like(distortion), 0.0
        if layers and self._samples_rate(len(layers)):
            rate = self._sampled_rate(layers)
        elif self.free_bits:
            for layer in layers:
                kl = _over_samples(kl_per_dimension(layer.q, prior_of(layer)), 2)
                weight = trace.batch.weight
                mean = batch_mean(kl if weight is None else kl * weight[:, None])
                rate, returned = rate + kl.sum(-1), returned + (self.free_bits - mean).clamp(min=0).sum()
        else:
            for layer in layers:
                rate = rate + layer_rate(layer, self.kl, self.gradient, self.baseline)
        beta = self._beta(trace.batch.step, rate)
        terms = {"distortion": distortion, "rate": rate}
        if self.free_bits:
            terms["free_bits"] = torch.as_tensor(beta * returned, dtype=rate.dtype, device=rate.device)
        return Loss(distortion + beta * rate, beta * returned, terms)

    def _distortion(self, trace: Trace, layers: list[Layer]) -> Tensor:
        if self.gradient != "score" or not layers:
            return trace.distortion
        return -self._bound(trace.log_likelihood, layers, log_q_weight=0.0)

    def _samples_rate(self, n_layers: int) -> bool:
        """Whether the rate of all layers together is taken from samples."""
        several_scores = self.gradient == "score" and n_layers > 1
        if several_scores and (self.free_bits or self.kl == "analytic"):
            raise TypeError(
                f"Expected a model of one latent layer for gradient 'score' with free_bits or kl 'analytic', got "
                f"{n_layers}; use gradient='reparameterised'."
            )
        return several_scores or self.gradient == "stl" or self.kl == "monte_carlo"

    def _sampled_rate(self, layers: list[Layer]) -> Tensor:
        first, *others = [prior_of(layer).log_prob(layer.z) for layer in layers]
        return -self._bound(sum(others, start=first), layers)

    def _bound(self, log_joint: Tensor, layers: list[Layer], log_q_weight: float = 1.0) -> Tensor:
        return evidence_bound(
            log_joint,
            [layer.q for layer in layers],
            [layer.z for layer in layers],
            gradient=self.gradient,
            baseline=self.baseline,
            log_q_weight=log_q_weight,
        )

    def _beta(self, step: Tensor | None, like: Tensor) -> Tensor | float:
        if step is None or not self.warm_up:
            return self.beta
        return self.beta * (step.to(like.dtype) / self.warm_up).clamp(max=1)


def layer_rate(
    layer: Layer, kl: KL = "auto", gradient: Gradient = "reparameterised", baseline: Baseline = "leave_one_out"
) -> Tensor:
    """KL(q || prior) of one latent layer, (B,), nats; a closed form has its own gradient."""
    prior = prior_of(layer)
    if kl != "monte_carlo":
        try:
            return _over_samples(kl_divergence(layer.q, prior), 1)
        except NotImplementedError as error:
            if kl == "analytic":
                raise TypeError(
                    f"Expected a pair with a closed-form KL, got {type(layer.q).__name__} and {type(prior).__name__}; "
                    "use kl='monte_carlo'."
                ) from error
    return -evidence_bound(prior.log_prob(layer.z), layer.q, layer.z, gradient=gradient, baseline=baseline)


def prior_of(layer: Layer) -> Distribution:
    """The prior of a layer that has one, and a posterior with a density."""
    if isinstance(layer.q, Point):
        layer.q.log_prob(layer.z)  # says in a TypeError that a point has no density
    if layer.prior is None:
        raise TypeError("Expected a model with a prior, got None; use StandardNormal, or Reconstruction() without one.")
    return layer.prior


def _over_samples(kl: Tensor, n_dimensions: int) -> Tensor:
    """Mean over samples, where a layer's distributions differ between them: (K, B, ...) to (B, ...)."""
    return kl.mean(0) if kl.dim() > n_dimensions else kl


# --- three forms of one bound ----------------------------------------------------------------------


def reconstruction_minus_kl(trace: Trace) -> Tensor:
    r"""The bound as :math:`E_q[\log p(x|z)] - KL(q(z|x) \| p(z))`: what is kept of x, less what keeping it costs.

    Args:
        trace: a forward pass.

    Returns:
        The bound, (B,), nats: the expectation over the trace's samples, the KL in closed form.

    Raises:
        TypeError: no closed-form KL.
    """
    return -trace.distortion - sum((layer_rate(layer, "analytic") for layer in trace.layers), start=torch.zeros(()))


def joint_plus_entropy(trace: Trace) -> Tensor:
    r"""The bound as :math:`E_q[\log p(x, z)] + H[q(z|x)]`: probable codes, as spread out as they may be.

    Args:
        trace: a forward pass.

    Returns:
        The bound, (B,), nats: the expectation over the trace's samples, the entropy in closed form.

    Raises:
        NotImplementedError: no closed-form entropy.
    """
    bound = -trace.distortion
    for layer in trace.layers:
        bound = bound + prior_of(layer).log_prob(layer.z).mean(0) + _over_samples(layer.q.entropy(), 1)
    return bound


def evidence_minus_posterior_kl(trace: Trace, log_evidence: Tensor, posterior: Distribution) -> Tensor:
    r"""The bound as :math:`\log p(x) - KL(q(z|x) \| p(z|x))`: it is short by how wrong the posterior is.

    For models of one latent layer whose evidence and posterior are known, such as the linear-Gaussian one.

    Args:
        trace: a forward pass.
        log_evidence: log p(x), (B,), nats.
        posterior: p(z|x), of batch shape (B,).

    Returns:
        The bound, (B,), nats.

    Raises:
        ValueError: several latent layers.
        TypeError: no closed-form KL.
    """
    if len(trace.layers) != 1:
        raise ValueError(f"Expected a model of one latent layer, got {len(trace.layers)}.")
    return log_evidence - layer_rate(trace.layers[0]._replace(prior=posterior), "analytic")

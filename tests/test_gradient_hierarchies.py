"""Gradient estimators of several latent layers, on a linear-Gaussian hierarchy whose posterior is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from cases import TwoLayers, binary, fixed_noise
from isthmus.distributions import normal
from isthmus.inference import evidence_bound, importance_weighted_bound
from isthmus.objectives import ELBO, ImportanceWeightedBound
from test_gradient_estimators import ELBO_ESTIMATORS, assert_mean

Bound = Callable[..., Tensor]

# p(z3) = N(0, 1), p(z2|z3) = N(0.8 z3, 0.6^2), p(z1|z2) = N(-1.1 z2, 0.5^2), p(x|z1) = N(1.5 z1, 0.7^2), x = 1.3. With
# x known the z are jointly Gaussian: the precision is the sum of those of all four factors.
X, NOISE = 1.3, 0.7
FACTORS = torch.tensor(
    [[0.0, 0.0, 1.0], [0.0, 1 / 0.6, -0.8 / 0.6], [1 / 0.5, 1.1 / 0.5, 0.0], [1.5 / NOISE, 0.0, 0.0]],
    dtype=torch.float64,
)
POSTERIOR = MultivariateNormal(
    torch.linalg.solve(FACTORS.T @ FACTORS, FACTORS.T @ torch.tensor([0.0, 0.0, 0.0, X / NOISE]).double()),
    precision_matrix=FACTORS.T @ FACTORS,
)


def exact_parameters() -> Tensor:
    """Of q(z1) q(z2|z1) q(z3|z1, z2) at the posterior: means, coefficients 2 of 1, 3 of 1, 3 of 2, log-scales."""
    root = POSTERIOR.scale_tril
    scale = root.diagonal()
    coefficients = torch.eye(3).double() - torch.diag(scale) @ torch.linalg.inv(root)
    means = POSTERIOR.mean - coefficients @ POSTERIOR.mean
    return torch.cat((means, coefficients[[1, 2, 2], [0, 0, 1]], scale.log()))


ELSEWHERE = exact_parameters() + torch.tensor([0.2, -0.1, 0.3, 0.2, -0.2, 0.1, 0.2, -0.1, 0.2]).double()


def hierarchy(parameters: Tensor, k: int) -> tuple[list[Distribution], list[Tensor]]:
    """Posteriors and k samples of the three layers, of parameters (n, 9); samples are (k, n, 1)."""
    m1, m2, m3, b21, b31, b32, *logs = parameters.unsqueeze(-1).unbind(1)
    s1, s2, s3 = (log.exp() for log in logs)
    z1 = (q1 := normal(m1, s1)).rsample((k,))
    q2 = normal(m2 + b21 * z1, s2.expand_as(z1))
    z2 = q2.rsample()
    q3 = normal(m3 + b31 * z1 + b32 * z2, s3.expand_as(z1))
    return [q1, q2, q3], [z1, z2, q3.rsample()]


def gradients(bound: Bound, k: int, n: int, at: Tensor = ELSEWHERE, **options) -> Tensor:
    """The gradient to all parameters of each of n repetitions, (n, 9)."""
    torch.manual_seed(0)
    parameters = at.expand(n, 9).clone().requires_grad_()
    q, z = hierarchy(parameters, k)
    log_joint = POSTERIOR.log_prob(torch.cat(z, -1)) - 2.0  # up to the evidence
    return torch.autograd.grad(bound(log_joint, q, z, **options).sum(), parameters)[0]


def closed_form() -> Tensor:
    """The gradient of the evidence lower bound, minus that of a KL between two Gaussians of three dimensions."""
    parameters = ELSEWHERE.clone().requires_grad_()
    lower = torch.zeros(3, 3).double().index_put(
        (torch.tensor([1, 2, 2]), torch.tensor([0, 0, 1])), parameters[3:6]
    )  # fmt: skip
    out = torch.linalg.inv(torch.eye(3).double() - lower)
    q = MultivariateNormal(out @ parameters[:3], scale_tril=out @ torch.diag(parameters[6:].exp()))
    return torch.autograd.grad(-kl_divergence(q, POSTERIOR), parameters)[0]


@pytest.mark.parametrize(("gradient", "baseline"), ELBO_ESTIMATORS)
def test_estimators_of_the_elbo_s_gradient_are_unbiased(gradient: str, baseline: str) -> None:
    samples = gradients(evidence_bound, 2, 20_000, gradient=gradient, baseline=baseline)
    assert_mean(samples, closed_form())


def test_sticking_the_landing_has_no_noise_at_the_posterior() -> None:
    at = exact_parameters()
    for bound, gradient in (
        (evidence_bound, "stl"),
        (importance_weighted_bound, "stl"),
        (importance_weighted_bound, "dreg"),
    ):
        assert gradients(bound, 3, 100, at, gradient=gradient).square().max() < 1e-20
    assert gradients(evidence_bound, 3, 100, at, gradient="reparameterised").var(0).min() > 1e-3


@pytest.mark.parametrize(("gradient", "baseline"), [("dreg", "none"), ("score", "leave_one_out")])
def test_estimators_of_the_importance_weighted_gradient_have_the_same_mean(gradient: str, baseline: str) -> None:
    found, plain = (
        gradients(importance_weighted_bound, 3, 20_000, gradient=name, baseline=baseline)
        for name in (gradient, "reparameterised")
    )
    assert_mean(found - plain, torch.zeros(9).double())  # of the same noise
    if gradient == "dreg":
        assert found.var(0).sum() < plain.var(0).sum() / 2


def test_one_sample_is_the_evidence_lower_bound() -> None:
    found = gradients(importance_weighted_bound, 1, 50, gradient="dreg")
    torch.testing.assert_close(found, gradients(evidence_bound, 1, 50, gradient="stl"))


def test_layers_in_another_order_than_that_of_drawing_are_refused() -> None:
    q, z = hierarchy(ELSEWHERE.expand(4, 9).clone().requires_grad_(), 2)
    log_joint = POSTERIOR.log_prob(torch.cat(z, -1))
    with pytest.raises(ValueError, match="order in which they are drawn"):
        evidence_bound(log_joint, q[::-1], z[::-1])
    with pytest.raises(ValueError, match="2 for 3 posteriors"):
        evidence_bound(log_joint, q, z[:2])


ROWS = torch.arange(8)
ALIKE = {
    "elbo": [ELBO(n_samples=3, kl="monte_carlo", gradient=g) for g in ("reparameterised", "stl", "score")],
    "importance-weighted": [ImportanceWeightedBound(3, g) for g in ("reparameterised", "stl", "dreg", "score")],
}


@pytest.mark.parametrize("name", ALIKE)
def test_estimators_differ_in_the_posteriors_gradient_alone(name: str) -> None:
    torch.manual_seed(0)
    model, batch = TwoLayers().double(), binary(8)
    batch = batch._replace(x=batch.x.double(), target=batch.target.double())
    losses, generative, inferring = [], [], []
    for objective in ALIKE[name]:
        model.zero_grad()
        loss = objective(model, batch, fixed_noise(ROWS))
        losses.append(loss.value.detach())
        loss.total().backward()
        for found, parts in ((generative, (model.decoder, model.lower)), (inferring, (model.encoder, model.upper))):
            found.append(torch.cat([p.grad.flatten() for part in parts for p in part.parameters()]))
    for other in range(1, len(losses)):
        torch.testing.assert_close(losses[other], losses[0])
        torch.testing.assert_close(generative[other], generative[0])
        assert not torch.allclose(inferring[other], inferring[0], rtol=1e-3)


def test_the_score_function_of_several_layers_takes_the_rate_from_samples() -> None:
    for options in ({"kl": "analytic"}, {"free_bits": 0.1}):
        with pytest.raises(TypeError, match="one latent layer for gradient 'score'"):
            ELBO(n_samples=2, gradient="score", **options)(TwoLayers(), binary(8))

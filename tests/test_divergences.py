"""Divergences in both directions, against closed forms and the lectures' two examples."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from isthmus.inference import (
    FullRank,
    GaussianMixtureFamily,
    LowRank,
    MeanField,
    divergence,
    fit_family,
    fit_moments,
    match_moments,
)
from isthmus.inference.divergences import divergence_loss, inclusive_divergence

PRECISION = torch.tensor([[2.0, 1.2], [1.2, 1.5]], dtype=torch.float64)
COVARIANCE = torch.linalg.inv(PRECISION)
GAUSSIAN = MultivariateNormal(torch.tensor([1.0, -1.0], dtype=torch.float64), COVARIANCE)


def two_gaussians(weights: tuple[float, float], apart: float = 10.0) -> MixtureSameFamily:
    places = torch.tensor([-apart, apart], dtype=torch.float64)
    return MixtureSameFamily(Categorical(torch.tensor(weights).double()), Normal(places, torch.ones(2).double()))


def of_vectors(mixture: MixtureSameFamily):
    return lambda x: mixture.log_prob(x[:, 0])


def test_one_direction_takes_inverse_precisions_the_other_the_marginals() -> None:
    """Bishop, section 10.1.2."""
    reverse = fit_family(GAUSSIAN.log_prob, MeanField(2)).family()
    forward = match_moments(MeanField(2), GAUSSIAN.mean, COVARIANCE)()
    assert (1 / PRECISION.diagonal()).tolist() == pytest.approx([0.5, 0.6667], abs=1e-4)
    assert COVARIANCE.diagonal().tolist() == pytest.approx([0.9615, 1.2821], abs=1e-4)
    assert reverse.variance.tolist() == pytest.approx([0.5, 2 / 3], rel=0.02)
    assert forward.variance.tolist() == pytest.approx([0.9615, 1.2821], abs=1e-4)
    assert reverse.mean.tolist() == pytest.approx([1, -1], abs=0.02)


def test_matching_moments_is_least_in_kl_p_q() -> None:
    for family in (MeanField(2), FullRank(2)):
        best = match_moments(family, GAUSSIAN.mean, COVARIANCE)
        parameters = list(best.parameters())
        q = best()
        full = MultivariateNormal(
            q.mean, torch.diag(q.variance) if isinstance(best, MeanField) else q.covariance_matrix
        )
        loss = kl_divergence(GAUSSIAN, full)
        for gradient in torch.autograd.grad(loss, parameters, allow_unused=True):
            assert gradient is None or gradient.abs().max() < 1e-9
    with pytest.raises(TypeError, match="fit_family"):
        match_moments(LowRank(2, 1), GAUSSIAN.mean, COVARIANCE)


@pytest.mark.parametrize("kind", [MeanField, FullRank])
def test_moments_by_importance_sampling_find_the_same(kind: type) -> None:
    found = fit_moments(lambda x: GAUSSIAN.log_prob(x) + 7.0, kind(2, 0.0, 2.0), n_draws=20_000)()
    expected = match_moments(kind(2), GAUSSIAN.mean, COVARIANCE)()
    torch.testing.assert_close(found.mean, expected.mean.detach(), atol=0.02, rtol=0, check_dtype=False)
    torch.testing.assert_close(found.variance, expected.variance.detach(), atol=0, rtol=0.03)


@pytest.mark.parametrize("kind", [MeanField, FullRank])
def test_moments_in_float32_far_from_zero(kind: type) -> None:
    """Squares of 10,000 leave nothing of a variance of 1 in float32."""
    p = MultivariateNormal(torch.full((2,), 1e4), torch.tensor([[1.0, 0.5], [0.5, 4.0]]))
    found = fit_moments(p.log_prob, kind(2, 1e4, 2.0, dtype=torch.float32), n_draws=20_000)()
    assert found.mean.dtype == torch.float32
    torch.testing.assert_close(found.mean, p.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(found.variance, p.variance, atol=0, rtol=0.05)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8)])
def test_two_gaussians_by_one(weights: tuple[float, float]) -> None:
    """KL(q||p) picks a mode, and misses the log of its weight; KL(p||q) covers both."""
    p = two_gaussians(weights)
    for place, weight in zip((-10.0, 10.0), weights, strict=True):
        fit = fit_family(of_vectors(p), MeanField(1, place + 2.0))
        assert fit.family().mean.item() == pytest.approx(place, abs=0.02)
        assert fit.family().stddev.item() == pytest.approx(1, abs=0.02)
        assert -fit.bound == pytest.approx(-math.log(weight), abs=1e-3)
        assert divergence(of_vectors(p), fit.family).value == pytest.approx(-math.log(weight), abs=1e-3)
    mean = 10 * (weights[1] - weights[0])
    variance = 101 - mean**2  # of the mixture
    both = fit_moments(of_vectors(p), MeanField(1, 0.0, 10.0), n_draws=20_000)()
    assert both.mean.item() == pytest.approx(mean, abs=0.3)
    assert both.variance.item() == pytest.approx(variance, rel=0.03)
    exact = match_moments(MeanField(1), torch.tensor([mean]), torch.tensor([[variance]]))()
    assert exact.mean.item() == pytest.approx(p.mean.item())
    assert exact.variance.item() == pytest.approx(p.variance.item())


def test_two_gaussians_by_a_mixture_miss_nothing() -> None:
    p = two_gaussians((0.2, 0.8), apart=4.0)
    fit = fit_family(of_vectors(p), GaussianMixtureFamily(1, 2, scale=4.0))
    assert fit.converged
    assert fit.bound == pytest.approx(0, abs=0.01)
    assert sorted(fit.family().mixture_distribution.probs.tolist()) == pytest.approx([0.2, 0.8], abs=0.02)


def test_gradients_of_the_inclusive_direction_lead_to_the_marginals_too() -> None:
    for gradient in ("stl", "score"):
        start = MeanField(2, GAUSSIAN.mean, 2.0)
        fit = fit_family(GAUSSIAN.log_prob, start, direction="forward", gradient=gradient, n_draws=256)
        assert fit.family().variance.tolist() == pytest.approx(COVARIANCE.diagonal().tolist(), rel=0.05)


def test_renyi_lies_between() -> None:
    """With alpha = 1/2 in closed form: minus twice the log of the Bhattacharyya coefficient."""
    fit = fit_family(GAUSSIAN.log_prob, MeanField(2, GAUSSIAN.mean), direction="alpha", alpha=0.5, n_draws=64)
    variances = fit.family().variance
    assert (variances > 1.1 / PRECISION.diagonal()).all()
    assert (variances < COVARIANCE.diagonal() / 1.02).all()
    q = MeanField(2, GAUSSIAN.mean, 0.9)
    own = 0.81 * torch.eye(2).double()
    exact = ((own + COVARIANCE) / 2).logdet() - 0.5 * (own.logdet() + COVARIANCE.logdet())
    estimate = divergence(GAUSSIAN.log_prob, q, "alpha", n_draws=100_000)
    assert abs(estimate.value - exact.item()) < 4 * estimate.error


@pytest.mark.parametrize(("direction", "offset"), [("reverse", 0.0), ("forward", 5.0)])
def test_estimates_agree_with_the_closed_form(direction: str, offset: float) -> None:
    """The inclusive one for an unnormalised p, too."""
    family = FullRank(2, torch.tensor([0.7, -0.8]), torch.tensor([[1.1, 0.0], [-0.5, 1.2]]))
    exact = kl_divergence(family(), GAUSSIAN) if direction == "reverse" else kl_divergence(GAUSSIAN, family())
    estimates = [
        divergence(
            lambda x: GAUSSIAN.log_prob(x) + offset, family, direction, n_draws=4000,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in range(50)
    ]  # fmt: skip
    values = torch.tensor([value for value, _ in estimates])
    error = float(values.std())
    assert abs(float(values.mean()) - exact.item()) < 4 * error / 50**0.5 + 1e-3  # self-normalising biases by 1 / draws
    assert float(torch.tensor([e for _, e in estimates]).mean()) == pytest.approx(error, rel=0.35)


def test_the_inclusive_gradient_is_that_of_the_closed_form_with_many_draws() -> None:
    family = MeanField(2, torch.tensor([0.8, -0.7]), 1.3)
    parameters = list(family.parameters())
    covariance = torch.diag(family.scale.square())
    exact = torch.autograd.grad(kl_divergence(GAUSSIAN, MultivariateNormal(family.location, covariance)), parameters)
    torch.manual_seed(0)
    for gradient in ("stl", "score"):
        q = family()
        z = q.rsample((400_000,))
        loss = inclusive_divergence(GAUSSIAN.log_prob(z), q, z, gradient=gradient)
        for ours, theirs in zip(torch.autograd.grad(loss, parameters), exact, strict=True):
            torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_weights_of_draws_are_taken_into_account() -> None:
    """A mixture's stratified draws, unequal on purpose, give what draws from it give."""
    family = GaussianMixtureFamily(2, 3, GAUSSIAN.mean)
    with torch.no_grad():
        family.logits.copy_(torch.tensor([1.0, 0.0, -1.0]))
    torch.manual_seed(0)
    q = family()
    z, weight = family.stratified(q, 300_000)
    for direction in ("reverse", "forward", "alpha"):
        stratified = divergence_loss(GAUSSIAN.log_prob(z), q, z, direction, weight=weight)
        plain = divergence(GAUSSIAN.log_prob, family, direction, n_draws=300_000)
        assert abs(float(stratified.detach()) - plain.value) < 5 * plain.error


def test_what_can_t_be_is_refused() -> None:
    q, z = MeanField(2)(), torch.zeros(3, 2)
    weight = torch.full((3,), 1 / 3)
    with pytest.raises(ValueError, match="direction"):
        divergence_loss(z.sum(-1), q, z, "sideways")
    with pytest.raises(ValueError, match="'score' with weights"):
        inclusive_divergence(z.sum(-1), q, z, weight=weight)
    for kind in (MeanField, FullRank):
        with pytest.raises(ValueError, match="positive-definite"):
            match_moments(kind(2), torch.zeros(2), torch.zeros(2, 2))
        with pytest.raises(ValueError, match="more draws or a wider start"):  # a single draw counts
            fit_moments(lambda x: -1e6 * (x - 9.0).square().sum(-1), kind(2), n_draws=3)
    with pytest.raises(ValueError, match="n_rounds of 1 or more"):
        fit_moments(GAUSSIAN.log_prob, MeanField(2), n_rounds=0)
    with pytest.raises(ValueError, match="finite"):
        fit_moments(lambda x: x.sum(-1) * math.nan, MeanField(2))

"""Likelihoods and codes against quadrature, brute force, mpmath, scipy and torch."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, OneHotCategorical

from isthmus.distributions import (
    ContinuousBernoulli,
    DiscretisedLogistic,
    OneHotGroups,
    Point,
    at_least_float32,
    kl_per_dimension,
    normal,
    reparameterise,
)

LOGITS = [0.0, 1e-8, 1e-4, 0.01, 0.1, 0.29, 0.31, 1.0, 4.0, 16.0, 30.0, 90.0, 1000.0]
LOGITS += [-logit for logit in LOGITS[1:]]


def gradient(value: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(value.sum(), at)[0]


# --- discretised logistic --------------------------------------------------------------------------


@pytest.mark.parametrize("n_levels", [2, 3, 16, 256])
@pytest.mark.parametrize("loc", [-2.0, 0.0, 0.3, 0.5 / 255, 1.0, 40.0])
@pytest.mark.parametrize("log_scale", [-9.0, -5.0, -1.0, 4.0])
def test_discretised_logistic_sums_to_one(n_levels: int, loc: float, log_scale: float) -> None:
    p = DiscretisedLogistic(torch.tensor(loc), torch.tensor(log_scale), n_levels)
    log_probabilities = p.log_prob(torch.arange(n_levels) / (n_levels - 1))
    assert (log_probabilities <= 0).all()
    torch.testing.assert_close(log_probabilities.exp().sum(), torch.tensor(1.0), rtol=0, atol=2e-5)


def test_discretised_logistic_is_a_difference_of_distribution_functions() -> None:
    levels = np.arange(256) / 255
    loc, scale = 0.4, 0.05
    upper, lower = levels + 0.5 / 255, levels - 0.5 / 255
    upper[-1], lower[0] = np.inf, -np.inf
    expected = np.log(stats.logistic.cdf(upper, loc, scale) - stats.logistic.cdf(lower, loc, scale))
    p = DiscretisedLogistic(torch.tensor(loc, dtype=torch.double), torch.tensor(math.log(scale), dtype=torch.double))
    torch.testing.assert_close(p.log_prob(torch.from_numpy(levels)), torch.from_numpy(expected), rtol=1e-9, atol=0)


def test_discretised_logistic_is_accurate_in_the_tails_in_float32() -> None:
    """Value and gradients, where a difference of sigmoids has long been 0 and its logarithm infinite."""
    x = torch.tensor([0.0, 3.0, 128.0, 252.0, 255.0]) / 255
    results = []
    for dtype in (torch.float32, torch.float64):
        loc = torch.linspace(-5, 6, 12, dtype=dtype)[:, None].requires_grad_()
        log_scale = torch.full_like(loc, -6.0).detach().requires_grad_()
        value = DiscretisedLogistic(loc, log_scale).log_prob(x.to(dtype))
        results.append([t.detach().double() for t in (value, gradient(value, loc), gradient_again(loc, log_scale, x))])
    for single, double in zip(*results, strict=True):
        assert single.isfinite().all()
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-3)
    assert results[0][0].min() < -1000


def gradient_again(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    return gradient(DiscretisedLogistic(loc, log_scale).log_prob(x.to(loc.dtype)), log_scale)


@pytest.mark.parametrize("n_levels", [2, 5, 256])
def test_discretised_logistic_has_the_mean_of_its_probabilities(n_levels: int) -> None:
    loc = torch.tensor([-0.2, 0.1, 0.5, 0.93])
    p = DiscretisedLogistic(loc, torch.tensor(-3.0), n_levels)
    levels = torch.arange(n_levels)[:, None] / (n_levels - 1)
    torch.testing.assert_close(p.mean, (levels * p.log_prob(levels).exp()).sum(0), rtol=0, atol=1e-5)


def test_discretised_logistic_draws_levels_as_often_as_they_are_probable() -> None:
    p = DiscretisedLogistic(torch.tensor(0.8), torch.tensor(-1.5), n_levels=6)
    levels = (p.sample((50_000,)) * 5).round().long()
    expected = 50_000 * p.log_prob(torch.arange(6) / 5).exp().double()
    _, p_value = stats.chisquare(levels.bincount(minlength=6).numpy(), (expected * 50_000 / expected.sum()).numpy())
    assert p_value > 1e-3


# --- continuous Bernoulli --------------------------------------------------------------------------


@pytest.mark.parametrize("logit", [0.0, 0.2, -3.0, 25.0])
def test_continuous_bernoulli_integrates_to_one(logit: float) -> None:
    p = ContinuousBernoulli(torch.tensor(logit, dtype=torch.double))
    total, _ = integrate.quad(lambda x: float(p.log_prob(torch.tensor(x, dtype=torch.double)).exp()), 0, 1)
    assert total == pytest.approx(1, abs=1e-10)


def exact_log_normaliser(logit: float) -> mpmath.mpf:
    return mpmath.log(mpmath.expm1(logit) / logit) if logit else mpmath.mpf(0)


def exact_mean(logit: float) -> mpmath.mpf:
    return -1 / mpmath.expm1(-mpmath.mpf(logit)) - 1 / mpmath.mpf(logit) if logit else mpmath.mpf(0.5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_continuous_bernoulli_is_accurate_at_every_logit(dtype: torch.dtype, tolerance: float) -> None:
    """Value, gradient and mean against 50 digits; errors relative to the value where it exceeds one."""
    logits = torch.tensor(LOGITS, dtype=dtype, requires_grad=True)
    p = ContinuousBernoulli(logits)
    with mpmath.workdps(50):
        values = [float(exact_log_normaliser(logit)) for logit in logits.tolist()]
        means = [float(exact_mean(logit)) for logit in logits.tolist()]
    value = p.log_normaliser
    for ours, exact in ((value, values), (gradient(value, logits), means), (p.mean, means)):
        torch.testing.assert_close(
            ours.double(), torch.tensor(exact, dtype=torch.double), rtol=tolerance, atol=tolerance
        )


def test_continuous_bernoulli_agrees_with_torch_where_torch_is_right() -> None:
    logits, x = torch.tensor([-6.0, -1.0, 0.5, 3.0]).double(), torch.tensor([0.1, 0.9, 0.0, 1.0]).double()
    theirs = torch.distributions.ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(ContinuousBernoulli(logits).log_prob(x), theirs.log_prob(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("logit", [-40.0, -1.0, 0.0, 0.5, 8.0])
def test_continuous_bernoulli_draws_from_its_distribution(logit: float) -> None:
    x = ContinuousBernoulli(torch.tensor(logit, dtype=torch.double)).sample((5_000,)).numpy()
    assert x.min() >= 0
    assert x.max() <= 1

    def distribution_function(t: np.ndarray) -> np.ndarray:
        return np.expm1(logit * t) / np.expm1(logit) if logit else t

    assert stats.kstest(x, distribution_function).pvalue > 1e-3


# --- one-hot groups --------------------------------------------------------------------------------


def test_one_hot_groups_are_torch_s_categoricals_side_by_side() -> None:
    logits = torch.randn(5, 3, 4)
    ours, theirs = OneHotGroups(logits), Independent(OneHotCategorical(logits=logits), 1)
    x = theirs.sample((2,))
    torch.testing.assert_close(ours.log_prob(x.flatten(-2)), theirs.log_prob(x))
    torch.testing.assert_close(ours.mean, theirs.mean.flatten(-2))
    assert (ours.sample((7,)).unflatten(-1, (3, 4)).sum(-1) == 1).all()
    assert ours.sample((7,)).shape == (7, 5, 12)


def test_a_group_of_zeros_is_a_missing_value() -> None:
    logits = torch.randn(2, 4)
    x = torch.cat((torch.eye(4)[1], torch.zeros(4)))
    torch.testing.assert_close(OneHotGroups(logits).log_prob(x), OneHotGroups(logits[:1]).log_prob(x[:4]))


# --- codes -----------------------------------------------------------------------------------------


def test_half_precision_alone_is_raised() -> None:
    dtypes = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
    raised = [at_least_float32(torch.zeros(1, dtype=dtype)).dtype for dtype in dtypes]
    assert raised == [torch.float32, torch.float32, torch.float32, torch.float64]


def test_a_point_has_samples_and_a_mean_but_no_density() -> None:
    p = Point(torch.randn(3, 2))
    assert torch.equal(p.rsample((4,))[1], p.mean)
    with pytest.raises(TypeError, match=r"Reconstruction\(\).*Gaussian head"):
        p.log_prob(p.mean)


@pytest.mark.parametrize(
    "q",
    [
        normal(torch.randn(4, 2), torch.rand(4, 2) + 0.5),
        MultivariateNormal(torch.randn(4, 2), scale_tril=torch.tensor([[0.5, 0.0], [-0.7, 0.2]]).expand(4, 2, 2)),
    ],
    ids=["diagonal", "full"],
)
def test_reparameterised_noise_is_distributed_as_q(q) -> None:
    z = reparameterise(q, torch.randn(100_000, 4, 2)).double()
    error = 5 * q.stddev.max() / math.sqrt(len(z))
    assert ((z.mean(0) - q.mean).abs() < error).all()
    covariance = q.covariance_matrix if isinstance(q, MultivariateNormal) else torch.diag_embed(q.variance)
    sampled = torch.stack([torch.cov(rows.T) for rows in z.unbind(1)])
    torch.testing.assert_close(sampled, covariance.double(), rtol=0, atol=0.03)


def test_reparameterised_samples_have_gradients_to_the_parameters() -> None:
    loc, scale = torch.zeros(3, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    noise = torch.randn(1, 3, 2)
    z = reparameterise(normal(loc, scale), noise)
    assert torch.equal(gradient_of_sum(z, loc), torch.ones(3, 2))
    assert torch.equal(gradient_of_sum(z, scale), noise[0])


def gradient_of_sum(z: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(z.sum(), at, retain_graph=True)[0]


def test_what_is_no_function_of_gaussian_noise_says_so() -> None:
    with pytest.raises(TypeError, match="got Bernoulli"):
        reparameterise(Independent(Bernoulli(torch.full((3, 2), 0.5)), 1), torch.zeros(1, 3, 2))


def test_kl_of_dimensions_needs_diagonal_gaussians() -> None:
    diagonal = normal(torch.zeros(4, 2), torch.ones(4, 2))
    full = MultivariateNormal(torch.zeros(4, 2), torch.eye(2))
    for q, p in ((full, diagonal), (diagonal, full), (Normal(torch.zeros(4, 2), 1.0), diagonal)):
        with pytest.raises(TypeError, match="two diagonal Gaussians"):
            kl_per_dimension(q, p)

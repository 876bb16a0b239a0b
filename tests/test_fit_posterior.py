"""fit_posterior held against closed forms: what it returns, what it says of it, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Cauchy,
    Dirichlet,
    Exponential,
    MultivariateNormal,
    Normal,
    Wishart,
    constraints,
)

import isthmus
from isthmus.inference import Parameters, Posterior, fit_posterior

FLOAT = torch.float64
PRECISION = torch.tensor([[2.0, 1.2], [1.2, 1.5]], dtype=FLOAT)  # Bishop (2006), section 10.1.2


def bishop(x):
    return -0.5 * x @ PRECISION @ x


def tensor(*values):
    return torch.tensor(values, dtype=FLOAT)


def test_mean_field_has_variances_of_one_over_precision_and_linear_response_the_marginals():
    """To rounding: fixed draws have the moments of a normal distribution exactly."""
    own = fit_posterior(bishop, 2, family="mean-field").approximation_sd ** 2
    torch.testing.assert_close(own, tensor(0.5, 1 / 1.5), rtol=1e-9, atol=0)
    posterior = fit_posterior(bishop, 2)
    covariance = torch.linalg.inv(PRECISION)
    torch.testing.assert_close(posterior.covariance, covariance, rtol=1e-9, atol=0)
    torch.testing.assert_close(posterior.sd**2, tensor(1 / 1.04, 2 / 1.56), rtol=1e-9, atol=0)
    torch.testing.assert_close(posterior.mean, torch.zeros(2, dtype=FLOAT), rtol=0, atol=1e-9)
    assert posterior.family == "mean field with linear response"
    assert posterior.reliable
    assert posterior.khat == 0
    assert posterior.effective_sample_size == pytest.approx(2000)


@pytest.mark.parametrize("family", ["auto", "linear-response", "full-rank", "laplace"])
def test_the_bound_is_the_evidence_of_a_conjugate_model(family):
    """Linear regression with known noise: posterior and evidence are normal distributions."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, generator=generator, dtype=FLOAT) * tensor(1.0, 10.0, 0.1)
    y = torch.randn(20, generator=generator, dtype=FLOAT)
    noise, prior = 0.5, 2.0

    def log_density(w):
        return Normal(x @ w, noise).log_prob(y).sum() + Normal(0.0, prior).log_prob(w).sum()

    evidence = MultivariateNormal(torch.zeros(20, dtype=FLOAT), prior**2 * x @ x.T + noise**2 * torch.eye(20)).log_prob(
        y
    )
    precision = x.T @ x / noise**2 + torch.eye(3) / prior**2
    mean = torch.linalg.solve(precision, x.T @ y / noise**2)
    posterior = fit_posterior(log_density, 3, family=family)
    assert posterior.bound == pytest.approx(float(evidence), abs=1e-6)
    assert posterior.log_evidence == pytest.approx(float(evidence), abs=1e-6)
    torch.testing.assert_close(posterior.mean, mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(posterior.covariance, torch.linalg.inv(precision), rtol=2e-4, atol=1e-7)
    torch.testing.assert_close(
        posterior.log_prob(mean), -0.5 * torch.logdet(2 * math.pi * torch.linalg.inv(precision)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("family", "mean_field"), [("mean-field", True), ("auto", False)])
def test_forward_divergence_is_least_at_the_marginal_moments(family, mean_field):
    covariance = torch.linalg.inv(PRECISION)
    q = fit_posterior(bishop, 2, family=family, direction="forward").approximation()
    exact = covariance.diagonal().diag() if mean_field else covariance
    torch.testing.assert_close(q.variance, exact.diagonal(), rtol=1e-6, atol=0)
    assert q.log_prob(torch.zeros(2, dtype=FLOAT)).item() == pytest.approx(
        float(-math.log(2 * math.pi) - 0.5 * torch.logdet(exact)), rel=1e-6
    )


def test_unlike_scales_do_not_matter():
    target = Normal(tensor(1e4, -3.0), tensor(1e3, 1e-4))
    posterior = fit_posterior(lambda x: target.log_prob(x).sum(), 2)
    torch.testing.assert_close(posterior.mean, target.loc, rtol=1e-8, atol=0)
    torch.testing.assert_close(posterior.sd, target.scale, rtol=1e-6, atol=0)


def test_a_proportion_by_its_beta_posterior():
    flips = tensor(*[1.0] * 7, *[0.0] * 3)

    def log_density(theta):
        return Beta(1.0, 1.0).log_prob(theta) + Bernoulli(theta).log_prob(flips).sum()

    posterior = fit_posterior(log_density, Parameters(theta=constraints.unit_interval))
    exact, found = Beta(8.0, 4.0), posterior["theta"]
    error = 4 * float(exact.stddev) / posterior.effective_sample_size**0.5
    assert float(found.mean) == pytest.approx(float(exact.mean), abs=error)
    assert float(found.sd) == pytest.approx(float(exact.stddev), rel=0.1)
    low, median, high = found.quantiles
    assert 0 < low < median < high < 1
    # Quadrature on a grid, as the betas' quantiles.
    grid = torch.linspace(0, 1, 100001, dtype=FLOAT)[1:-1]
    below = exact.log_prob(grid).exp().cumsum(0) / 1e5
    for level, value in zip((0.05, 0.5, 0.95), found.quantiles, strict=True):
        assert float(below[(grid < value).sum() - 1]) == pytest.approx(level, abs=0.02)
    evidence = math.lgamma(8) + math.lgamma(4) - math.lgamma(12)
    assert posterior.bound < evidence
    assert posterior.log_evidence == pytest.approx(evidence, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_below_the_evidence_and_its_error_is_honest(seed):
    """Of a logistic target the bound is an integral over a grid."""
    posterior = fit_posterior(lambda x: -x.sum() - 2 * torch.nn.functional.softplus(-x).sum(), 1, random_state=seed)
    grid = torch.linspace(-500, 500, 200001, dtype=FLOAT)
    log_q = posterior.log_prob(grid[:, None])
    ratio = -grid - 2 * torch.nn.functional.softplus(-grid) - log_q
    exact = float((ratio * log_q.exp()).sum() * (grid[1] - grid[0]))
    assert exact < 0  # the evidence is 1
    assert posterior.bound == pytest.approx(exact, abs=3 * posterior.bound_error)
    assert 0 < posterior.bound_error < 0.05


PARAMETERS = Parameters(
    p=(constraints.simplex, 3), s=constraints.positive, i=constraints.interval(-1, 3), m=(constraints.real, (2, 2))
)


def constrained(p, s, i, m):
    return (
        Dirichlet(tensor(4.0, 2.0, 6.0)).log_prob(p)
        + Exponential(tensor(0.5)[0]).log_prob(s)
        + Beta(tensor(3.0)[0], tensor(5.0)[0]).log_prob((i + 1) / 4)
        + Normal(1.0, 2.0).log_prob(m).sum()
    )


def test_constrained_parameters_have_their_own_moments():
    posterior = fit_posterior(constrained, PARAMETERS, n_weighed=8000)
    assert posterior.dim == 8
    assert posterior.reliable
    exact = {
        "p": (tensor(4.0, 2.0, 6.0) / 12, Dirichlet(tensor(4.0, 2.0, 6.0)).stddev),
        "s": (tensor(2.0)[0], tensor(2.0)[0]),
        "i": (4 * tensor(3 / 8)[0] - 1, 4 * Beta(tensor(3.0), tensor(5.0)).stddev[0]),
        "m": (torch.ones(2, 2, dtype=FLOAT), 2 * torch.ones(2, 2, dtype=FLOAT)),
    }
    for name, (mean, sd) in exact.items():
        found = posterior[name]
        assert found.mean.shape == mean.shape
        assert float(((found.mean - mean) / sd).abs().max()) < 0.1
        assert float((found.sd / sd - 1).abs().max()) < 0.12
    draws = PARAMETERS.constrain(posterior.draws)
    torch.testing.assert_close(draws["p"].sum(-1), torch.ones(len(posterior.draws), dtype=FLOAT))
    torch.testing.assert_close(draws["p"].mean(0), posterior["p"].mean, rtol=0.05, atol=0)


def test_a_covariance_by_its_wishart_posterior():
    """The precision of five vectors under a Wishart prior."""
    target = Wishart(torch.tensor(9.0, dtype=FLOAT), torch.eye(2, dtype=FLOAT) / 9)
    parameters = Parameters(precision=(constraints.positive_definite, (2, 2)))
    posterior = fit_posterior(lambda precision: target.log_prob(precision), parameters)
    error = (posterior["precision"].mean - target.mean).abs() / target.variance.sqrt()
    assert float(error.max()) < 0.1
    assert posterior.log_evidence == pytest.approx(0, abs=0.05)


def test_a_batched_function_and_one_of_a_vector_give_the_same():
    one = fit_posterior(lambda x: Cauchy(1.0, 2.0).log_prob(x).sum() + Normal(0.0, 3.0).log_prob(x).sum(), 2)
    many = fit_posterior(lambda x: (Cauchy(1.0, 2.0).log_prob(x) + Normal(0.0, 3.0).log_prob(x)).sum(-1), 2)
    torch.testing.assert_close(one.mean, many.mean, rtol=1e-9, atol=1e-12)
    assert one.khat == pytest.approx(many.khat, rel=1e-6)


def test_the_same_seed_gives_the_same_and_torch_s_own_numbers_are_left_alone():
    state = torch.get_rng_state()
    first, again, other = (fit_posterior(constrained, PARAMETERS, random_state=seed) for seed in (3, 3, 4))
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.draws, again.draws)
    assert torch.equal(first.sample(5), again.sample(5))
    assert not torch.equal(first.sample(5), again.sample(6)[:5])
    assert not torch.equal(first.draws, other.draws)
    assert torch.equal(state, torch.get_rng_state())


def test_data_in_float32_are_fitted_in_float32_and_it_is_said():
    x, y = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
    posterior = fit_posterior(lambda w: -0.5 * (x @ w - y).square().sum(), 3)
    assert "float32" in posterior.message
    torch.testing.assert_close(posterior.mean, y.double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(posterior.sd, torch.ones(3, dtype=FLOAT), rtol=1e-3, atol=0)
    assert posterior.converged


def test_samples_have_the_posterior_s_moments():
    posterior = fit_posterior(bishop, 2)
    draws = posterior.sample(4000)
    assert draws.shape == (4000, 2)
    torch.testing.assert_close(draws.T.cov(), torch.linalg.inv(PRECISION), rtol=0.1, atol=0.05)


def test_everything_is_said_in_words_and_in_figures():
    posterior = isthmus.fit_posterior(constrained, PARAMETERS)
    assert isinstance(posterior, Posterior)
    names = [*(f"p[{i}]" for i in range(3)), "s", "i", "m[0,0]", "m[0,1]", "m[1,0]", "m[1,1]"]
    figures = posterior.to_dict()
    assert list(figures["parameters"]) == names
    lines = posterior.summary().splitlines()
    assert [line.split()[0] for line in lines[1:10]] == names
    assert figures["parameters"]["s"]["mean"] == float(posterior["s"].mean)
    assert posterior.n_evaluations.values >= 2000
    assert posterior.n_evaluations.gradients > 0
    with pytest.raises(KeyError, match="there are p, s, i, m"):
        posterior["q"]
    with pytest.raises(ValueError, match="positive whole number"):
        posterior.sample(0)
    with pytest.raises(ValueError, match="one a draw"):
        posterior.quantity(lambda values: values["p"].sum())


def test_a_start_is_given_by_name_too():
    start = {"p": tensor(0.3, 0.3, 0.4), "s": 1.0, "i": 0.0, "m": torch.zeros(2, 2, dtype=FLOAT)}
    posterior = fit_posterior(constrained, PARAMETERS, start=start, n_starts=0)
    np.testing.assert_allclose(posterior["p"].mean, [4 / 12, 2 / 12, 6 / 12], atol=0.02)


def test_the_rounding_of_float32_takes_no_covariances_away():
    """Newton's last steps gain less than a log-density of float32 can show, and are not needed."""
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn(60, 3, generator=generator), torch.randn(60, generator=generator)
    y = x.sum(1) + noise

    def log_density(w):
        return -2.5 * torch.log1p((y - x @ w).square() / 4).sum() - 300

    posterior = fit_posterior(log_density, 3, dtype=torch.float32, n_starts=0)
    exact = fit_posterior(lambda w: -2.5 * torch.log1p((y.double() - x.double() @ w).square() / 4).sum() - 300, 3)
    assert posterior.steps[0].family == exact.steps[0].family == "mean field with linear response"
    assert posterior.reliable
    torch.testing.assert_close(posterior.mean, exact.mean, rtol=0.02, atol=0)
    torch.testing.assert_close(posterior.sd, exact.sd, rtol=0.02, atol=0)

"""Annealed importance sampling against integrals that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from isthmus.inference.annealed import anneal, annealed_importance_sampling, bidirectional_monte_carlo, temperatures
from isthmus.inference.hamiltonian import Path, step
from isthmus.inference.importance import WeightSums, sample


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(7))


START = Independent(Normal(torch.zeros(3, dtype=torch.float64), 2.0), 1)
TARGET = MultivariateNormal(
    torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64),
    torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 0.2]], dtype=torch.float64),
)


def shifted(x):
    return TARGET.log_prob(x) + 7


@pytest.mark.parametrize("schedule", ["linear", "sigmoidal"])
def test_temperatures_rise_from_0_to_1(schedule):
    for n in (1, 2, 10):
        betas = temperatures(n, schedule)
        assert betas[0] == 0
        assert betas[-1] == 1
        assert (betas.diff() > 0).all()
        assert torch.allclose(betas + betas.flip(0), torch.ones(n + 1, dtype=torch.float64))


@pytest.mark.parametrize("schedule", ["linear", "sigmoidal", "adaptive"])
def test_a_gaussian_s_integral(schedule):
    before = torch.get_rng_state()
    found = annealed_importance_sampling(
        START, shifted, 128, n_temperatures=100, generator=generator(), schedule=schedule, n_leapfrog=5
    )
    assert abs(found.log_evidence - 7) < 4 * found.standard_error
    assert found.standard_error < 0.15
    assert 0.6 < found.acceptance < 0.95
    assert torch.equal(torch.get_rng_state(), before)


def test_chains_end_as_draws_of_the_target():
    found = annealed_importance_sampling(START, shifted, 500, n_temperatures=100, generator=generator(), n_leapfrog=5)
    weights = found.log_weights.softmax(0)[:, None]
    mean = (weights * found.draws).sum(0)
    covariance = (found.draws - mean).T @ (weights * (found.draws - mean))
    assert (mean - TARGET.mean).abs().div(TARGET.stddev).max() < 4 / math.sqrt(found.effective_sample_size)
    assert (covariance.diagonal() / TARGET.variance - 1).abs().max() < 4 * math.sqrt(2 / found.effective_sample_size)


def test_one_temperature_is_importance_sampling():
    found = annealed_importance_sampling(START, shifted, 50, n_temperatures=1, generator=generator(3))
    draws = found.draws
    assert torch.equal(draws, sample(START, 50, generator(3)))
    assert torch.allclose(found.log_weights, shifted(draws) - START.log_prob(draws))
    assert found.acceptance.isnan()


def test_perfect_transitions_have_the_variance_that_theory_says():
    """Between N(0, 1) and N(m, 1) the density at beta is N(beta m, 1), and a chain's log weight is normal."""
    m, n, noise = 3.0, 10, generator()
    betas = temperatures(n)

    def draws(t):
        return betas[t] * m + torch.randn(20_000, dtype=torch.float64, generator=noise)

    def log_ratio(x, t):
        return (betas[t] - betas[t - 1]) * (m * x - m**2 / 2)

    _, log_weights = anneal(draws(0), n, log_ratio, lambda x, t: draws(t))
    variance = m**2 * betas.diff().square().sum().item()
    assert log_weights.mean().item() == pytest.approx(-variance / 2, abs=4 * math.sqrt(variance / 20_000))
    assert log_weights.var().item() == pytest.approx(variance, rel=0.05)
    _, reverse = anneal(draws(n), n, log_ratio, lambda x, t: draws(t), reverse=True)
    assert reverse.mean().item() == pytest.approx(variance / 2, abs=4 * math.sqrt(variance / 20_000))


def test_mean_weights_are_unbiased_however_few_temperatures():
    """Few steps, tuned before: single estimates of log Z are too low, the mean of Z is not. A hundred runs at once."""
    near = Independent(Normal(torch.full((100, 2), 0.7, dtype=torch.float64), 0.7), 1)
    start = Independent(Normal(torch.zeros(100, 2, dtype=torch.float64), 1.0), 1)
    runs = annealed_importance_sampling(start, near.log_prob, 40, n_temperatures=4, generator=generator(), n_leapfrog=2)
    sums = WeightSums.of(runs.log_weights.flatten())
    assert abs(sums.log_mean) < 3 * sums.standard_error
    assert sums.standard_error < 0.02
    assert abs((runs.log_evidence / runs.standard_error).std() - 1) < 0.25
    assert runs.log_weights.mean() < -0.05  # one chain is a lower bound, and not tight


def test_a_step_leaves_the_density_as_it_is():
    """Also with steps far too large: what is accepted then makes up for it."""
    path = Path(START, shifted, 3)
    x = sample(TARGET, 20_000, generator())
    for size in (0.05, 0.15):
        moved, acceptance = step(path, path.at(x), 1.0, torch.tensor(size, dtype=torch.float64), generator(1))
        assert 0.02 < acceptance.mean() < 0.999
        assert (moved.x != x).any()
        assert (moved.x.mean(0) - TARGET.mean).abs().div(TARGET.stddev).max() < 4 / math.sqrt(20_000)
        assert (moved.x.var(0) / TARGET.variance - 1).abs().max() < 4 * math.sqrt(2 / 20_000)
        assert torch.allclose(moved.log_target, shifted(moved.x))


class PPCA:
    """x = W z + noise: rows, their log p(x) and exact draws of their codes."""

    def __init__(self, n_rows=4, n_features=20, n_components=4, noise=0.5):
        self.W, self.noise = normal(n_features, n_components), noise
        self.z = torch.randn(n_rows, n_components, dtype=torch.float64, generator=generator(1))
        eps = torch.randn(n_rows, n_features, dtype=torch.float64, generator=generator(2))
        self.x = self.z @ self.W.T + noise * eps
        self.prior = Independent(Normal(torch.zeros_like(self.z), 1.0), 1)
        marginal = self.W @ self.W.T + noise**2 * torch.eye(n_features, dtype=torch.float64)
        self.exact = MultivariateNormal(torch.zeros(n_features, dtype=torch.float64), marginal).log_prob(self.x)
        precision = torch.eye(n_components, dtype=torch.float64) + self.W.T @ self.W / noise**2
        self.posterior = MultivariateNormal(
            self.x @ self.W @ precision.inverse() / noise**2, precision_matrix=precision
        )

    def log_joint(self, z):
        return self.prior.log_prob(z) + Normal(z @ self.W.T, self.noise).log_prob(self.x).sum(-1)


def test_the_likelihood_of_a_linear_gaussian_decoder():
    """A tenth of a nat at 1,000 temperatures; as many draws of the prior alone are off by more than half a nat."""
    model = PPCA()
    found = annealed_importance_sampling(model.prior, model.log_joint, 64, generator=generator(), n_leapfrog=4)
    assert (found.log_evidence - model.exact).abs().max() < 0.1
    assert ((found.log_evidence - model.exact) / found.standard_error).abs().max() < 4
    plain = annealed_importance_sampling(
        model.prior, model.log_joint, 64 * 1000, n_temperatures=1, generator=generator()
    )
    assert (plain.log_evidence - model.exact).abs().max() > 0.5


def test_both_sides_of_it():
    model = PPCA()
    found = bidirectional_monte_carlo(
        model.prior,
        model.log_joint,
        sample(model.posterior, 32, generator(5)),
        n_temperatures=200,
        generator=generator(),
        n_leapfrog=4,
    )
    assert ((found.lower.log_evidence - model.exact) / found.lower.standard_error).abs().max() < 4
    assert ((found.upper.log_evidence - model.exact) / found.upper.standard_error).abs().max() < 4
    assert torch.equal(found.gap, found.upper.log_evidence - found.lower.log_evidence)
    # One chain's log weight is a bound, in the mean over chains.
    assert (found.lower.log_weights.mean(0) < model.exact).all()
    assert (found.upper.log_weights.mean(0) > model.exact).all()


@pytest.mark.slow
def test_adaptive_temperatures_are_better_than_others():
    """Where a path's beginning is steep, its temperatures belong there: log weights spread less."""
    model = PPCA(n_rows=3)
    spread = {
        schedule: annealed_importance_sampling(
            model.prior, model.log_joint, 32, n_temperatures=100, generator=generator(), schedule=schedule, n_leapfrog=4
        ).log_weights.var(0).mean()
        for schedule in ("adaptive", "sigmoidal", "linear")
    }  # fmt: skip
    assert spread["adaptive"] < spread["sigmoidal"] < spread["linear"]


@pytest.mark.slow
def test_few_temperatures_leave_a_gap_that_more_close():
    model = PPCA(n_rows=3)
    draws = sample(model.posterior, 8, generator(5))
    gaps = [
        bidirectional_monte_carlo(
            model.prior, model.log_joint, draws, n_temperatures=n, generator=generator(), n_leapfrog=4
        ).gap.mean()
        for n in (5, 25, 125)
    ]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0


def test_two_far_modes():
    """Importance sampling from a fit of one mode misses log 2; chains from a wide start find both."""

    def log_density(x):
        return torch.logaddexp(Normal(-8.0, 0.5).log_prob(x), Normal(8.0, 0.5).log_prob(x)).sum(-1)

    start = Independent(Normal(torch.zeros(1, dtype=torch.float64), 8.0), 1)
    found = annealed_importance_sampling(start, log_density, 200, n_temperatures=100, generator=generator())
    assert abs(found.log_evidence - math.log(2)) < 4 * found.standard_error
    assert found.standard_error < 0.2


@pytest.mark.parametrize("outside", [-math.inf, math.inf, math.nan])
def test_densities_that_are_zero_somewhere(outside):
    """A half-normal: chains that start where it is zero, or nothing at all, weigh nothing; others never go there."""

    def log_density(x):
        return torch.where(x[..., 0] > 0, -0.5 * x[..., 0].square(), outside)

    start = Independent(Normal(torch.zeros(1), 1.0), 1)
    found = annealed_importance_sampling(start, log_density, 2000, n_temperatures=5, generator=generator())
    assert abs(found.log_evidence - 0.5 * math.log(math.pi / 2)) < 4 * found.standard_error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_chains": 0}, "n_chains of at least 1"),
        ({"n_temperatures": 0}, "n_temperatures of at least 1"),
        ({"n_leapfrog": 0}, "n_leapfrog of at least 1"),
        ({"schedule": "cosine"}, "'adaptive', 'sigmoidal' or 'linear', got 'cosine'"),
        ({"start": Normal(torch.zeros(3), 1.0)}, r"events are vectors, got events of shape \(\)"),
        ({"log_density": lambda x: x}, r"log-density of shape \(16,\) for \(16, 3\), got \(16, 3\)"),
    ],
)
def test_what_can_t_be_annealed(change, message):
    arguments = {"start": START, "log_density": shifted, "n_chains": 16, "generator": generator()} | change
    with pytest.raises(ValueError, match=message):
        annealed_importance_sampling(**arguments)

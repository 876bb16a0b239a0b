"""The nine ported posteriors say what their reference draws say, independently of any fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from isthmus.inference.psis import pareto_smooth
from posteriors import NAMES, load, log_density_of, moments, quantities_of, unconstrained_draws


@pytest.fixture(scope="module")
def posterior(data_folder):
    def loaded(name):
        if not (data_folder / "posteriordb").exists():
            pytest.skip("needs posteriordb in ISTHMUS_DATA")
        return load(name, data_folder)

    return loaded


def student_t(center, covariance, n, degrees=5):
    """Draws of a multivariate Student-t, and their log-density up to a constant."""
    noise = torch.randn(n, len(center) + degrees, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    normal, chi2 = noise[:, : len(center)], noise[:, len(center) :].square().sum(1, keepdim=True)
    standard = normal / (chi2 / degrees).sqrt()
    log_density = -(degrees + len(center)) / 2 * torch.log1p(standard.square().sum(1) / degrees)
    return center + standard @ torch.linalg.cholesky(covariance).T, log_density


def errors(quantities, log_weights):
    """Standard errors of a weighted mean and sd, in sds: they take the tails of each quantity into account."""
    weights = log_weights.softmax(0)[:, None]
    mean, sd = moments(quantities, log_weights)
    standard = (quantities - mean) / sd
    of_mean = (weights * standard).square().sum(0).sqrt()
    return of_mean, (weights * (standard.square() - 1)).square().sum(0).sqrt() / 2


@pytest.mark.parametrize("name", NAMES)
def test_importance_sampling_finds_the_reference(posterior, name):
    """From a Student-t with the moments of the reference draws, all of them weighted by the ported density."""
    posterior = posterior(name)
    reference = unconstrained_draws(name, posterior)
    assert torch.allclose(quantities_of(posterior, reference), posterior.draws, atol=1e-6)
    draws, log_proposal = student_t(reference.mean(0), torch.cov(reference.T), 10_000)
    log_density = torch.cat([log_density_of(posterior)(part) for part in draws.split(500)])
    log_weights, khat = pareto_smooth(log_density - log_proposal)
    assert khat < 0.6
    quantities = quantities_of(posterior, draws)
    mean, sd = moments(quantities, log_weights)
    ours, theirs = errors(quantities, log_weights), errors(posterior.draws, torch.zeros(len(reference)))
    of_mean, of_sd = ((a.square() + b.square()).sqrt() for a, b in zip(ours, theirs, strict=True))
    assert ((mean - posterior.mean).abs() / posterior.sd / of_mean).max() < 4
    assert ((sd / posterior.sd - 1).abs() / of_sd).max() < 4
    assert max(of_mean) < 0.03


@pytest.mark.parametrize("name", NAMES)
def test_one_density_or_many(posterior, name):
    posterior = posterior(name)
    vectors = unconstrained_draws(name, posterior)[:6]
    log_density = log_density_of(posterior)
    many = log_density(vectors)
    assert torch.allclose(torch.stack([log_density(vector) for vector in vectors]), many)
    assert torch.allclose(torch.func.vmap(log_density)(vectors), many)
    assert torch.allclose(log_density(vectors.reshape(2, 3, -1)), many.reshape(2, 3))
    gradient = torch.func.vmap(torch.func.grad(log_density))(vectors)
    assert gradient.isfinite().all()


def test_garch_s_variance_one_after_the_other(posterior, data_folder):
    posterior = posterior("garch11")
    values = {"mu": 5.0, "alpha0": 1.5, "alpha1": 0.5, "share": 0.6}
    values = {key: torch.tensor(value, dtype=torch.float64) for key, value in values.items()}
    y = np.load(data_folder / "posteriordb" / "garch-garch11.npz")["data__y"]
    variance, expected = 0.25, math.log(0.5)
    for t in range(len(y)):
        if t:
            variance = 1.5 + 0.5 * (y[t - 1] - 5) ** 2 + 0.3 * variance
        expected += norm.logpdf(y[t], 5, math.sqrt(variance))
    assert posterior.log_density(values).item() == pytest.approx(expected, rel=1e-12)

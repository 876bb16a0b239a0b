"""Predictive densities and evidences of conjugate models, which are known exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from isthmus.inference import FullRank, fit_posterior
from isthmus.inference.importance import importance_sampling
from isthmus.inference.predictive import compare_models, predictive_density


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


NEW = torch.tensor([-1.0, 0.5, 3.0], dtype=torch.float64)
EXACT = Normal(0.4, math.sqrt(0.5**2 + 1)).log_prob(NEW)  # theta ~ N(0.4, 0.5^2), x ~ N(theta, 1)


def test_predictive_density_is_as_far_off_as_it_says():
    theta = 0.4 + 0.5 * torch.randn(300, 200, 1, dtype=torch.float64, generator=generator())
    runs = [predictive_density(Normal(draws, 1.0).log_prob(NEW)) for draws in theta]
    scores = torch.stack([(run.log_density - EXACT) / run.standard_error for run in runs])
    assert scores.mean(0).abs().max() < 0.3
    assert (scores.std(0) - 1).abs().max() < 0.2


def test_weighted_draws_are_as_far_off_as_they_say():
    """Draws of N(0, 1), weighted to be of N(0.4, 0.5^2)."""
    theta = torch.randn(300, 400, dtype=torch.float64, generator=generator())
    weights = Normal(0.4, 0.5).log_prob(theta) - Normal(0.0, 1.0).log_prob(theta) + 100
    runs = [
        predictive_density(Normal(draws[:, None], 1.0).log_prob(NEW), log_weights)
        for draws, log_weights in zip(theta, weights, strict=True)
    ]
    scores = torch.stack([(run.log_density - EXACT) / run.standard_error for run in runs])
    assert scores.mean(0).abs().max() < 0.3
    assert (scores.std(0) - 1).abs().max() < 0.2


def test_equal_weights_are_no_weights():
    log_likelihoods = Normal(torch.randn(50, 1, dtype=torch.float64, generator=generator()), 1.0).log_prob(NEW)
    plain, weighted = predictive_density(log_likelihoods), predictive_density(log_likelihoods, torch.full((50,), -3.0))
    assert torch.allclose(plain.log_density, weighted.log_density)
    assert torch.allclose(plain.effective_sample_size, weighted.effective_sample_size)
    assert torch.allclose(plain.standard_error, weighted.standard_error * math.sqrt(50 / 49))


def test_data_that_no_draw_can_explain():
    found = predictive_density(torch.full((5, 1), -math.inf))
    assert found.log_density.item() == -math.inf


@pytest.mark.parametrize(
    ("log_likelihoods", "log_weights", "message"),
    [
        (torch.zeros(3), None, r"\(S, n\) of S draws and n data, got shape \(3,\)"),
        (torch.zeros(0, 2), None, r"got shape \(0, 2\)"),
        (torch.zeros(3, 2), torch.zeros(2), r"one log weight a draw, \(3,\), got \(2,\)"),
        (torch.full((3, 2), math.nan), None, "without NaN"),
    ],
)
def test_what_is_no_prediction(log_likelihoods, log_weights, message):
    with pytest.raises(ValueError, match=message):
        predictive_density(log_likelihoods, log_weights)


def regression(n_columns):
    """Bayesian linear regression on the first so many of four columns, of which two count: log joint and evidence."""
    noise = torch.randn(30, 5, dtype=torch.float64, generator=generator(2))
    y = noise[:, 0] - 0.8 * noise[:, 1] + 0.5 * noise[:, 4]
    X = noise[:, :n_columns]

    def log_joint(beta):
        return Normal(0.0, 1.0).log_prob(beta).sum(-1) + Normal(beta @ X.T, 0.5).log_prob(y).sum(-1)

    exact = MultivariateNormal(torch.zeros(30, dtype=torch.float64), X @ X.T + 0.25 * torch.eye(30)).log_prob(y)
    precision = torch.eye(n_columns, dtype=torch.float64) + X.T @ X / 0.25
    posterior = MultivariateNormal(torch.linalg.solve(precision, X.T @ y / 0.25), precision_matrix=precision)
    return log_joint, exact, posterior


def test_the_evidence_chooses_the_model_that_made_the_data():
    found, exact = {}, {}
    for n_columns in (1, 2, 3, 4):
        log_joint, exact[str(n_columns)], posterior = regression(n_columns)
        wide = MultivariateNormal(posterior.mean, 1.5 * posterior.covariance_matrix)
        found[str(n_columns)] = importance_sampling(log_joint, wide, 4000, generator())
        assert (
            abs(found[str(n_columns)].log_evidence - exact[str(n_columns)]) < 4 * found[str(n_columns)].standard_error
        )
    comparison = compare_models(found)
    probabilities = torch.stack(list(exact.values())).softmax(0)
    assert max(comparison.probabilities, key=comparison.probabilities.get) == "2"
    assert list(comparison.probabilities.values()) == pytest.approx(probabilities.tolist(), abs=0.02)
    assert comparison.trusted
    assert comparison.log_odds["2"] == comparison.log_odds_error["2"] == 0
    for name in exact:
        off = comparison.log_odds[name] - (exact[name] - exact["2"]).item()
        assert abs(off) <= 4 * comparison.log_odds_error[name]


def test_a_prior_of_models_and_an_evidence_that_is_not_to_be_trusted():
    log_joint, _, posterior = regression(2)
    good = importance_sampling(log_joint, posterior, 1000, generator())
    narrow = FullRank(2, posterior.mean, 0.2 * torch.linalg.cholesky(posterior.covariance_matrix))
    poor = importance_sampling(log_joint, narrow, 1000, generator())
    assert not compare_models({"good": good, "poor": poor}).trusted
    assert compare_models({"a": good, "b": good}, {"a": 3, "b": 1}).probabilities == pytest.approx(
        {"a": 0.75, "b": 0.25}
    )
    for prior in ({"a": 1.0}, {"a": -1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}):
        with pytest.raises(ValueError, match="prior probability for each of a, b"):
            compare_models({"a": good, "b": good}, prior)
    with pytest.raises(ValueError, match="got none"):
        compare_models({})


def test_draws_of_independent_events_work_as_proposals():
    log_joint, exact, posterior = regression(1)
    found = importance_sampling(log_joint, Independent(Normal(posterior.mean, posterior.stddev), 1), 100, generator())
    assert found.log_evidence.item() == pytest.approx(exact.item(), abs=1e-9)


def test_the_evidence_from_a_fitted_posterior():
    log_joint, exact, _ = regression(3)
    fitted = fit_posterior(log_joint, 3)
    found = importance_sampling(log_joint, fitted.approximation, 1000, generator())
    assert abs(found.log_evidence - exact) < max(4 * found.standard_error, 1e-9)
    assert found.khat < 0.5

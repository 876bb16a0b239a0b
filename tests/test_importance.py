"""Monte Carlo estimates against integrals that are known, and their errors against their own spread."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, StudentT

from isthmus.inference.families import MeanField
from isthmus.inference.importance import ImportanceSample, WeightSums, importance_sampling, sample, simple_monte_carlo
from isthmus.inference.psis import effective_sample_size, pareto_smooth


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


COVARIANCE = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
MEAN = torch.tensor([0.5, -1.0], dtype=torch.float64)
TARGET = MultivariateNormal(MEAN, COVARIANCE)
WIDE = Independent(StudentT(6, torch.zeros(2, dtype=torch.float64), 1.6), 1)


def shifted(x):
    """The target times exp(3): log evidence 3."""
    return TARGET.log_prob(x) + 3


def test_weight_sums_are_the_direct_formulas():
    log_weights = torch.randn(40, 3, dtype=torch.float64, generator=generator()) - 900
    sums, weights = WeightSums.of(log_weights), (log_weights + 900).exp()
    assert torch.allclose(sums.log_mean, weights.mean(0).log() - 900)
    assert torch.allclose(sums.standard_error, weights.std(0) / math.sqrt(40) / weights.mean(0))
    assert torch.allclose(sums.effective_sample_size, effective_sample_size(log_weights))


def test_weight_sums_come_piece_by_piece():
    log_weights = 300 * torch.randn(40, 3, dtype=torch.float64, generator=generator())
    log_weights[:10, 1] = -math.inf
    whole = WeightSums.of(log_weights)
    pieces = WeightSums.of(log_weights[:10]) | WeightSums.of(log_weights[10:17]) | WeightSums.of(log_weights[17:])
    assert pieces.n_draws == 40
    assert torch.allclose(pieces.log_mean, whole.log_mean)
    assert torch.allclose(pieces.standard_error, whole.standard_error)
    empty = WeightSums.of(log_weights[:10, 1]) | WeightSums.of(log_weights[:10, 1])
    assert empty.log_mean == -math.inf


def test_simple_monte_carlo_is_as_far_off_as_it_says():
    p = MultivariateNormal(MEAN, COVARIANCE)
    exact = torch.stack((MEAN[0], (COVARIANCE.diagonal() + MEAN**2).sum()))
    found = [
        simple_monte_carlo(lambda x: torch.stack((x[:, 0], x.square().sum(1)), 1), p, 200, generator(seed))
        for seed in range(200)
    ]
    scores = torch.stack([(value - exact) / error for value, error in found])
    assert scores.mean(0).abs().max() < 0.3
    assert ((scores.std(0) - 1).abs() < 0.2).all()


def test_importance_sampling_is_as_far_off_as_it_says():
    scores, means = [], []
    for seed in range(200):
        found = importance_sampling(shifted, WIDE, 300, generator(seed))
        value, error = found.expectation(smooth=False)
        scores.append((found.log_evidence - 3) / found.standard_error)
        means.append((value - MEAN) / error)
    scores, means = torch.stack(scores), torch.stack(means)
    assert scores.mean().abs() < 0.3
    assert abs(scores.std() - 1) < 0.2
    assert means.mean(0).abs().max() < 0.3
    assert (means.std(0) - 1).abs().max() < 0.2


def test_a_proposal_that_is_the_target_has_no_error():
    found = importance_sampling(shifted, TARGET, 100, generator())
    assert found.log_evidence.item() == pytest.approx(3, abs=1e-12)
    assert found.smoothed_log_evidence.item() == pytest.approx(3, abs=1e-12)
    assert found.standard_error.item() < 1e-12
    assert found.effective_sample_size.item() == pytest.approx(100)
    assert found.khat == 0


def test_a_narrow_proposal_is_told():
    narrow = MeanField(2, location=MEAN, scale=0.25)
    found = importance_sampling(shifted, narrow, 4000, generator())
    assert found.khat > 0.7
    wide = importance_sampling(shifted, MeanField(2, location=MEAN, scale=2.0), 4000, generator())
    assert wide.khat < 0.5
    assert abs(wide.log_evidence - 3) < 4 * wide.standard_error


def test_smoothing_makes_estimates_of_heavy_tails_better():
    """A normal of sd 0.62 proposed for one of sd 1: the weights have a variance, but no more moments than 1 / 0.62."""
    target, narrow = (
        Normal(torch.zeros((), dtype=torch.float64), 1.0),
        Normal(torch.zeros((), dtype=torch.float64), 0.62),
    )
    raw, smooth = [], []
    for seed in range(300):
        found = importance_sampling(target.log_prob, narrow, 500, generator(seed))
        raw.append(found.expectation(torch.square, smooth=False).value - 1)
        smooth.append(found.expectation(torch.square).value - 1)
    assert torch.stack(smooth).square().mean() < torch.stack(raw).square().mean()


def test_smoothed_weights_are_pareto_smooth_s():
    found = importance_sampling(shifted, WIDE, 500, generator())
    smoothed, khat = pareto_smooth(found.log_weights)
    assert torch.equal(found.smoothed, smoothed)
    assert found.khat == khat
    value, _ = found.expectation(lambda x: x[:, 0].square())
    assert value.item() == pytest.approx((smoothed.exp() * found.draws[:, 0].square()).sum().item())
    # Unnormalised smoothed weights: those out of the tail are the raw ones.
    weights = smoothed + found.smoothed_log_evidence + math.log(500)
    assert torch.isclose(weights, found.log_weights).sum() >= 400


def test_some_weights_may_be_zero():
    half = importance_sampling(
        lambda x: torch.where(x[:, 0] > MEAN[0], shifted(x), -math.inf), TARGET, 5000, generator()
    )
    assert abs(half.log_evidence - 3 - math.log(0.5)) < 4 * half.standard_error
    assert half.standard_error.item() == pytest.approx(1 / math.sqrt(5000), rel=0.1)
    assert abs(half.smoothed_log_evidence - half.log_evidence) < half.standard_error


def test_the_smoothed_evidence_where_all_weights_above_zero_are_in_the_tail():
    """Ten of a hundred: the mean smoothed weight is that of the ten alone, but for the number of draws."""
    log_weights = torch.full((100,), -math.inf, dtype=torch.float64)
    log_weights[:10] = torch.randn(10, dtype=torch.float64, generator=generator())
    found = ImportanceSample.of(torch.zeros(100, 1), log_weights)
    assert found.khat < math.inf
    assert abs(found.smoothed_log_evidence - found.log_evidence) < 0.2  # the largest quantile is short of the largest
    shifted_by = ImportanceSample.of(torch.zeros(100, 1), log_weights + 50)
    assert torch.isclose(shifted_by.smoothed_log_evidence - found.smoothed_log_evidence, torch.tensor(50.0).double())


def test_draws_are_a_function_of_the_generator():
    before = torch.get_rng_state()
    for q in (WIDE, MeanField(3)):
        assert torch.equal(sample(q, 4, generator(1)), sample(q, 4, generator(1)))
        assert not torch.equal(sample(q, 4, generator(1)), sample(q, 4, generator(2)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("log_density", "n_samples", "message"),
    [
        (shifted, 0, "at least 1, got 0"),
        (lambda x: x, 10, r"log_density to return \(10,\) for 10 draws, got \(10, 2\)"),
        (lambda x: x[:, 0] * math.nan, 10, "10 of 10 that are NaN"),
        (lambda x: torch.full((len(x),), -math.inf), 10, "-inf for all draws"),
    ],
)
def test_what_can_t_be_estimated(log_density, n_samples, message):
    with pytest.raises(ValueError, match=message):
        importance_sampling(log_density, WIDE, n_samples, generator())


def test_one_draw_has_no_error():
    found = ImportanceSample.of(torch.zeros(1, 2), torch.tensor([2.0]))
    assert found.log_evidence == 2
    assert found.standard_error.isnan()
    assert simple_monte_carlo(torch.square, WIDE, 1, generator()).standard_error.isnan().all()

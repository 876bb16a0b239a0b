"""Mixtures of Gaussians a block at a time: whole passes against EM in memory, steps against their formula."""

from __future__ import annotations

import math

import pytest
import torch

from isthmus.mixtures.covariance_rule import CovarianceRule
from isthmus.mixtures.gaussian import KINDS, Gaussians, log_density, sample
from isthmus.mixtures.gaussian_fit import fit_gaussians
from isthmus.mixtures.missing import expected_moments, fit_missing
from isthmus.mixtures.moments import Moments, maximised
from isthmus.mixtures.online import fit_in_batches, fit_in_passes, online_start, online_step

every_kind_of_covariance = pytest.mark.parametrize("kind", KINDS)


def mixture(kind: str, seed: int = 0, apart: float = 4.0) -> Gaussians:
    """Some mixture of 3 over 4 features, float64."""
    generator = torch.Generator().manual_seed(seed)
    roots = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    full = roots @ roots.mT + 0.5 * torch.eye(4, dtype=torch.float64)
    diagonal = full.diagonal(dim1=1, dim2=2).clone()
    covariances = {"full": full, "tied": full[0], "diag": diagonal, "spherical": diagonal[:, 0].clone()}[kind]
    means = apart * torch.randn(3, 4, generator=generator, dtype=torch.float64)
    return Gaussians(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), means, covariances, kind)


def drawn(n: int, kind: str = "full") -> torch.Tensor:
    """Rows of that mixture, (n, 4) float64."""
    return sample(mixture(kind), n, torch.Generator().manual_seed(1))[0]


def in_blocks(rows: torch.Tensor, weight: torch.Tensor, size: int):
    return lambda: zip(rows.split(size), weight.split(size), strict=True)


@every_kind_of_covariance
def test_moments_of_parts_are_those_of_the_whole(kind):
    rows, gaussians = drawn(200) + 1e6, mixture(kind)
    gaussians = gaussians._replace(means=gaussians.means + 1e6)
    weight = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, _ = expected_moments(rows, gaussians, weight)
    blocks = in_blocks(rows, weight, 77)()
    total = Moments.total([expected_moments(*block[:1], gaussians, block[1])[0] for block in blocks])
    for one, other in zip(whole[:3], total[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    halves = whole.blended(whole, 0.3)
    for one, other in zip(whole[:3], halves[:3], strict=True):
        torch.testing.assert_close(one, other)


@every_kind_of_covariance
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_passes_over_blocks_are_em_in_memory(kind, share):
    rows, start = drawn(300), mixture(kind, seed=2)
    rows[torch.rand(rows.shape, generator=torch.Generator().manual_seed(3)) < share] = math.nan
    weight = torch.rand(300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rule = CovarianceRule(prior_rows=1.0, prior_variances=torch.ones(4, dtype=torch.float64))
    found = fit_in_passes(in_blocks(rows, weight, 64), start, rule=rule, tolerance=0, max_iter=15)
    expected = fit_missing(rows, start, weight=weight, rule=rule, tolerance=0, max_iter=15)
    assert found.bounds == pytest.approx(expected.bounds, rel=1e-10)
    assert found.largest_fall == 0
    for one, other in zip(found.parameters[:3], expected.parameters[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@every_kind_of_covariance
def test_a_step_is_the_average_of_moments_that_the_formula_says(kind):
    rows, start = drawn(150), mixture(kind, seed=2)
    state, likelihood = online_step(online_start(rows[:100], start), rows[100:], decay=0.7)
    step = (50 / 150) ** 0.7
    before, after = (expected_moments(part, start, torch.ones(len(part)))[0] for part in (rows[:100], rows[100:]))
    counts = (1 - step) * before.counts / 100 + step * after.counts / 50
    first = ((1 - step) * before.counts / 100)[:, None] * before.means
    first = first + (step * after.counts / 50)[:, None] * after.means
    torch.testing.assert_close(state.gaussians.weights, counts)
    torch.testing.assert_close(state.gaussians.means, first / counts[:, None])
    assert state.n_seen == 150
    assert likelihood == pytest.approx(float(log_density(rows[100:], start).mean()), rel=1e-10)


@every_kind_of_covariance
def test_with_a_decay_of_one_and_parameters_kept_all_rows_count_alike(kind):
    rows, start = drawn(200), mixture(kind, seed=2)
    state = online_start(rows[:50], start)
    for block in rows[50:].split(30):
        state = online_step(state._replace(gaussians=start), block, decay=1.0)[0]
    expected = maximised(expected_moments(rows, start, torch.ones(200))[0])
    for one, other in zip(state.gaussians[:3], expected[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_weights_count_as_rows():
    rows, start = drawn(60), online_start(drawn(100), mixture("full", seed=2))
    weight = torch.arange(60) % 3
    one = online_step(start, rows, weight.double())[0]
    other = online_step(start, rows.repeat_interleave(weight, dim=0))[0]
    for a, b in zip(one.gaussians[:3], other.gaussians[:3], strict=True):
        torch.testing.assert_close(a, b)


@every_kind_of_covariance
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_steps_and_a_last_pass_come_near_to_em(kind, share):
    rows = drawn(20_000, kind)
    rows[torch.rand(rows.shape, generator=torch.Generator().manual_seed(3)) < share] = math.nan
    near = mixture(kind)
    near = near._replace(means=near.means + 0.8)
    ones = torch.ones(len(rows), dtype=torch.float64)
    state = fit_in_batches(in_blocks(rows, ones, 1000), online_start(rows[:500], near), max_iter=4).parameters
    last = fit_in_passes(in_blocks(rows, ones, 5000), state.gaussians, max_iter=1)
    if share:
        best = fit_missing(rows, near, tolerance=1e-6, max_iter=100).bounds[-1]
    else:
        best = fit_gaussians(rows, near, tolerance=1e-6).found.bounds[-1]
    assert best - last.bounds[-1] < 1e-3
    assert best - last.bounds[0] < 3e-3
    # From the start itself it was far.
    assert best - fit_in_passes(in_blocks(rows, ones, 5000), near, max_iter=0).bounds[0] > 0.1


def test_a_prior_counts_as_rows_beside_those_seen():
    rows, start = drawn(150), mixture("diag", seed=2)
    rule = CovarianceRule(prior_rows=30.0, prior_variances=torch.full((4,), 100.0))
    state = online_step(online_start(rows[:100], start), rows[100:], decay=1.0, rule=rule)[0]
    counts = 150 * state.moments.counts[:, None]
    expected = (150 * state.moments.scatters + 3000) / (counts + 30)
    torch.testing.assert_close(state.gaussians.covariances, expected)


def test_what_can_not_be_a_step_is_said():
    state = online_start(drawn(50), mixture("full"))
    with pytest.raises(ValueError, match="decay"):
        online_step(state, drawn(5), decay=0.5)
    with pytest.raises(ValueError, match="with weight"):
        online_step(state, drawn(5), torch.zeros(5))
    with pytest.raises(ValueError, match="with weight, got none"):
        fit_in_batches(lambda: [], state)
    with pytest.raises(ValueError, match="with weight, got none"):
        fit_in_passes(lambda: [], mixture("full"))

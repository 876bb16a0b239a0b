"""The mixture of some columns given others, against one Gaussian's closed form and against quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from isthmus.mixtures.conditional import conditional
from isthmus.mixtures.gaussian import KINDS, Gaussians, log_density
from isthmus.mixtures.missing import impute

every_kind_of_covariance = pytest.mark.parametrize("kind", KINDS)
GRID = torch.linspace(-25, 25, 10_001, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])


def mixture(kind: str, n_components: int = 3, n_features: int = 3) -> Gaussians:
    """Some mixture, float64."""
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(n_components, n_features, n_features, generator=generator, dtype=torch.float64)
    full = roots @ roots.mT + 0.3 * torch.eye(n_features, dtype=torch.float64)
    diagonal = full.diagonal(dim1=1, dim2=2).clone()
    covariances = {"full": full, "tied": full[0], "diag": diagonal, "spherical": diagonal[:, 0].clone()}[kind]
    means = 3 * torch.randn(n_components, n_features, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)[:n_components]
    return Gaussians(weights / weights.sum(), means, covariances, kind)


def test_one_gaussian_is_the_closed_form():
    one = mixture("full", 1, 4)
    covariance, mean = one.covariances[0].numpy(), one.means[0].numpy()
    values = np.random.RandomState(0).randn(5, 2)
    found = conditional(one, [3, 1], torch.tensor(values))
    known, asked = [3, 1], [0, 2]
    slope = covariance[np.ix_(asked, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    left = covariance[np.ix_(asked, asked)] - slope @ covariance[np.ix_(known, asked)]
    assert found.asked == (0, 2)
    np.testing.assert_allclose(found.mean(), mean[asked] + (values - mean[known]) @ slope.T, rtol=1e-10)
    np.testing.assert_allclose(found.covariance(), np.tile(left, (5, 1, 1)), rtol=1e-10)


@every_kind_of_covariance
def test_density_and_moments_are_those_of_quadrature(kind):
    gaussians, given = mixture(kind), torch.tensor([[0.5, -1.0], [4.0, 2.0]], dtype=torch.float64)
    found = conditional(gaussians, [2, 0], given)
    densities = found.log_density(GRID[:, None, None].expand(-1, 2, 1)).exp()
    for i, (third, first) in enumerate(given):
        rows = torch.stack([first.expand_as(GRID), GRID, third.expand_as(GRID)], dim=1)
        joint = log_density(rows, gaussians).exp()
        density = joint / (joint.sum() * STEP)
        torch.testing.assert_close(densities[:, i], density, rtol=1e-9, atol=1e-12)
        mean = float((density * GRID).sum() * STEP)
        assert float(found.mean()[i, 0]) == pytest.approx(mean, abs=1e-9)
        variance = float((density * (GRID - mean).square()).sum() * STEP)
        assert float(found.covariance()[i, 0, 0]) == pytest.approx(variance, abs=1e-8)


@every_kind_of_covariance
def test_two_columns_given_one_are_joint_over_marginal(kind):
    gaussians = mixture(kind)
    rows = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = conditional(gaussians, [-2], rows[:, [1]])
    marginal = gaussians._replace(
        means=gaussians.means[:, [1]],
        covariances={
            "full": lambda c: c[:, [1]][:, :, [1]],
            "tied": lambda c: c[[1]][:, [1]],
            "diag": lambda c: c[:, [1]],
            "spherical": lambda c: c,
        }[kind](gaussians.covariances),
    )
    expected = log_density(rows, gaussians) - log_density(rows[:, [1]], marginal)
    torch.testing.assert_close(found.log_density(rows[:, [0, 2]]), expected, rtol=1e-10, atol=1e-10)


@every_kind_of_covariance
def test_its_mean_is_what_impute_fills_in(kind):
    gaussians = mixture(kind)
    rows = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gaps = rows.clone()
    gaps[:, 1] = math.nan
    torch.testing.assert_close(conditional(gaussians, [0, 2], rows[:, [0, 2]]).mean(), impute(gaps, gaussians)[:, [1]])


@every_kind_of_covariance
def test_draws_have_its_distribution(kind):
    gaussians, n = mixture(kind), 20_000
    found = conditional(gaussians, [2, 0], torch.tensor([[0.5, -1.0], [4.0, 2.0]], dtype=torch.float64))
    draws = found.sample(torch.Generator().manual_seed(0), n)
    assert draws.shape == (n, 2, 1)
    cumulative = (found.log_density(GRID[:, None, None].expand(-1, 2, 1)).exp() * STEP).cumsum(dim=0).numpy()
    for i in range(2):
        uniform = np.sort(np.interp(draws[:, i, 0].numpy(), GRID.numpy() + STEP / 2, cumulative[:, i]))
        distance = np.abs(uniform - (np.arange(n) + 0.5) / n).max()
        assert distance < 1.95 / math.sqrt(n)  # Kolmogorov's at 0.001
    assert torch.equal(draws, found.sample(torch.Generator().manual_seed(0), n))


def test_values_far_away_have_a_density():
    found = conditional(mixture("full"), [0], torch.tensor([[1e6]], dtype=torch.float64))
    assert bool(found.weights.isfinite().all())
    assert float(found.weights.sum()) == pytest.approx(1.0)
    assert bool(found.log_density(found.mean()).isfinite().all())


@pytest.mark.parametrize(
    ("given", "shape", "message"),
    [
        ([], (2, 0), "different columns below 3, one at least"),
        ([0, 0], (2, 2), "different columns below 3"),
        ([3], (2, 1), "different columns below 3"),
        ([0, 1, 2], (2, 3), "got all of them"),
        ([0], (2, 2), r"shape \(n, 1\), got \(2, 2\)"),
    ],
)
def test_other_columns_are_refused(given, shape, message):
    with pytest.raises(ValueError, match=message):
        conditional(mixture("full"), given, torch.zeros(shape))


def test_missing_values_are_no_values_to_be_given():
    with pytest.raises(ValueError, match="use impute"):
        conditional(mixture("full"), [0], torch.full((1, 1), math.nan))
    found = conditional(mixture("full"), [0], torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"Expected values of shape \(4, 2\)"):
        found.log_density(torch.zeros(4, 1))

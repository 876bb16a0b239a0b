"""What keeps the covariances of a mixture of Gaussians from collapsing: floors, priors, and new seeds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
import torch

from gaussian_cases import bumps, mixture
from isthmus.estimators import GaussianMixture
from isthmus.estimators.gaussian_mixture import CollapsedComponentWarning
from isthmus.mixtures import (
    CovarianceRule,
    Gaussians,
    Prepared,
    collapsed_components,
    expectations,
    fit_gaussians,
    fit_missing,
    maximised,
    regularised,
)
from isthmus.mixtures.gaussian import stacked
from isthmus.mixtures.prepared import filled, usual_variances


def objective(covariance: torch.Tensor, scatter: torch.Tensor, count: float) -> float:
    """Log-likelihood of rows with this scatter, but for a constant."""
    inverse = torch.linalg.inv(covariance)
    return float(-0.5 * (count * torch.logdet(covariance) + (inverse * scatter).sum()))


def test_covariances_above_a_floor_are_the_likeliest():
    generator = torch.Generator().manual_seed(0)
    floor = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    root = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    scatter, count = 10 * root @ torch.diag(torch.tensor([3.0, 0.1, 0.01]).double()) @ root.T, 10.0
    found = regularised(torch.tensor([count]).double(), scatter[None], "full", CovarianceRule(floor=floor))[0]
    assert torch.linalg.eigvalsh(found - torch.diag(floor)).min() > -1e-12
    assert torch.linalg.eigvalsh(scatter / count - torch.diag(floor)).min() < -0.1
    best = objective(found, scatter, count)
    for _ in range(200):
        step = 0.02 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        other = torch.eye(3).double() + step
        other = other @ (found - torch.diag(floor)) @ other.T + torch.diag(floor) + 1e-3 * step @ step.T
        assert objective(other, scatter, count) <= best + 1e-12


def test_a_prior_is_so_many_rows_more():
    rows = torch.from_numpy(bumps(n=20))
    variances = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    rule = CovarianceRule(prior_rows=7.0, prior_variances=variances)
    start = Gaussians(torch.ones(1), rows[:1], torch.eye(3)[None], "full")
    found = fit_gaussians(rows, start, rule=rule).gaussians.covariances[0]
    centred = rows - rows.mean(dim=0)
    torch.testing.assert_close(found, (centred.T @ centred + 7 * torch.diag(variances)) / 27, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_collapsed_components_are_found_and_seeded_again(missing):
    """A component begins on a single row, where it would stay for ever."""
    rows = bumps(n=400, n_features=2, apart=2.0)
    rows[1:][np.random.default_rng(1).random((399, 2)) < missing] = np.nan
    data = Prepared(torch.from_numpy(rows))
    rule = CovarianceRule(floor=1e-6 * filled(data.rows)[1])
    means = torch.cat([data.rows[:1], torch.tensor([[5.0, 5.0], [6.0, 6.0]], dtype=torch.float64)])
    widths = torch.tensor([1e-6, 1.0, 1.0], dtype=torch.float64)
    start = Gaussians(torch.full((3,), 1 / 3), means, widths[:, None, None] * torch.eye(2), "full")
    stuck = fit_gaussians(data, start, rule=rule)
    assert stuck.collapsed.tolist() == [0]
    cured = fit_gaussians(data, start, rule=rule, n_seedings=5, generator=torch.Generator().manual_seed(0))
    assert not len(cured.collapsed)
    assert cured.n_seeded >= 1
    assert (cured.gaussians.weights * len(rows)).min() >= 3
    flat = rule.floor[:1].expand(1, 2)
    twins = Gaussians(torch.tensor([0.01, 0.99]), means[:2], torch.cat([flat, flat + 1]), "diag")
    assert collapsed_components(twins, 400.0, rule._replace(floor=flat[0])).tolist() == [0]


def with_gaps(n: int = 150, apart: float = 1.0) -> np.ndarray:
    """Rows of three bumps, three tenths of whose values are missing."""
    rows = bumps(n=n, apart=apart)
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
    return rows


def test_several_starts_on_rows_with_gaps_end_in_the_likeliest():
    rows = torch.from_numpy(with_gaps())
    starts = [mixture("full", bumps(n=150), seed=seed) for seed in (1, 2, 3)]
    alone = [fit_missing(rows, start, tolerance=1e-4, max_iter=8) for start in starts]
    best = max(alone, key=lambda found: found.bounds[-1])
    assert best.bounds[-1] > min(found.bounds[-1] for found in alone)
    together = fit_gaussians(rows, stacked(starts), tolerance=1e-4, max_iter=8)
    assert together.found.bounds == best.bounds
    assert together.n_seeded == 0
    assert torch.equal(together.gaussians.means, best.parameters.means)


def test_a_component_that_collapses_is_seeded_again_where_values_are_missing():
    rows = with_gaps(300, apart=4.0)
    rows[0] = 30.0  # a component begins there, and on nothing else
    means = np.stack([rows[0], *bumps(n=300, apart=4.0)[1:3]])
    told = {"means_init": means, "precisions_init": np.tile(np.eye(3), (3, 1, 1)), "random_state": 0}
    with pytest.warns(CollapsedComponentWarning):
        stuck = GaussianMixture(3, n_seedings=0, **told).fit(rows)
    assert (stuck.collapsed_, stuck.n_seeded_) == ([0], 0)
    cured = GaussianMixture(3, n_seedings=5, **told).fit(rows)
    assert cured.collapsed_ == []
    assert cured.n_seeded_ >= 1
    assert cured.weights_.min() * len(rows) >= 4
    assert np.isfinite(cured.means_).all()


def test_a_component_without_rows_stays_a_gaussian():
    rows = torch.from_numpy(bumps(n=100))
    start = Gaussians(torch.tensor([1.0, 0.0]), rows[:2], torch.ones(2, 3), "diag")
    moments, bound = expectations(Prepared(rows), start.each(torch.Tensor.double))
    found = maximised(moments)
    assert float(moments.counts[1]) == 0
    assert np.isfinite(float(bound))
    assert all(part.isfinite().all() for part in found[:3])


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_usual_variances_are_those_of_the_quartiles(missing):
    generator = np.random.default_rng(0)
    rows = np.c_[bumps(n=200, n_features=3), np.arange(200) % 4 == 0, np.full(200, 2.0)]
    rows[generator.random(rows.shape) < missing] = np.nan
    rows[7, :2] = 1e3, 1e9
    weight = generator.integers(0, 4, 200).astype(float)
    many = np.repeat(rows, weight.astype(int), axis=0)
    variances = np.nanvar(many, axis=0)
    low, high = (
        np.array([np.quantile(column[~np.isnan(column)], share, method="inverted_cdf") for column in many.T])
        for share in (0.25, 0.75)
    )
    apart = ((high - low) / (scipy.stats.norm.ppf(0.75) - scipy.stats.norm.ppf(0.25))) ** 2
    expected = np.where(apart > 0, np.clip(apart, 1e-6 * variances, variances), variances)
    assert expected[0] == apart[0] < 1e-2 * variances[0]
    assert expected[1] == 1e-6 * variances[1]
    assert expected[4] == 0.0
    arguments = (torch.from_numpy(each) for each in (rows, variances, weight))
    np.testing.assert_allclose(usual_variances(*arguments), expected, rtol=1e-6)
    np.testing.assert_allclose(
        usual_variances(torch.from_numpy(many), torch.from_numpy(variances)), expected, rtol=1e-6
    )


@pytest.mark.parametrize("far", [-99_999.0, 1e6])
def test_a_far_row_makes_no_other_component_broader(far):
    """As a number that stands for none: its square would be the better part of each feature's variance."""
    rows = bumps(n=400, apart=4.0)
    odd = np.r_[rows, [[far, 5.0, 5.0]]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapsedComponentWarning)  # one is on the far row alone
        model = GaussianMixture(4, random_state=0).fit(odd)
    alone = GaussianMixture(3, random_state=0).fit(rows)
    assert model.score(rows) == pytest.approx(alone.score(rows) + np.log(400 / 401), abs=1e-3)


def test_values_that_are_nearly_equal_do_no_harm():
    generator = np.random.default_rng(0)
    rows = np.round(generator.normal(size=(300, 3))) + 1e-12 * generator.normal(size=(300, 3))
    rows[:, 2] *= generator.random(300) < 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of components on too few rows
        model = GaussianMixture(6, random_state=0).fit(rows)
    assert (np.diff(model.log_likelihoods_) > -1e-6).all()
    assert np.isfinite(model.score_samples(rows)).all()

"""Mixtures of Gaussians from rows with missing values, against densities, optimisers and EM written otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as Reference

from isthmus.estimators import GaussianMixture
from isthmus.mixtures.covariance_rule import CovarianceRule
from isthmus.mixtures.gaussian import Gaussians
from isthmus.mixtures.missing import (
    draw_missing,
    fit_missing,
    impute,
    missing_component_log_densities,
    missing_moments,
)
from isthmus.mixtures.patterns import blocks_by_pattern

KINDS = ("full", "tied", "diag", "spherical")
every_kind_of_covariance = pytest.mark.parametrize("kind", KINDS)


def mixture(kind: str, n_components: int = 3, n_features: int = 4, seed: int = 0) -> Gaussians:
    """Some mixture, float64."""
    generator = np.random.RandomState(seed)
    roots = generator.randn(n_components, n_features, n_features)
    full = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(n_features)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": full.diagonal(axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
    }[kind]
    weights = generator.dirichlet(np.full(n_components, 5.0))
    means = 3 * generator.randn(n_components, n_features)
    return Gaussians(torch.tensor(weights), torch.tensor(means), torch.tensor(covariances), kind)


def matrices(gaussians: Gaussians) -> np.ndarray:
    """Covariances as (K, F, F)."""
    n_components, n_features = gaussians.means.shape
    covariances = gaussians.covariances.numpy()
    if gaussians.kind == "full":
        return covariances
    if gaussians.kind == "tied":
        return np.tile(covariances, (n_components, 1, 1))
    if gaussians.kind == "diag":
        return np.stack([np.diag(row) for row in covariances])
    return np.stack([value * np.eye(n_features) for value in covariances])


def drawn(gaussians: Gaussians, n: int, share: float, seed: int = 0) -> torch.Tensor:
    """Rows of a mixture, a share of whose values is missing, (n, F)."""
    generator = np.random.RandomState(seed)
    labels = generator.choice(len(gaussians.weights), n, p=gaussians.weights.numpy())
    stack = matrices(gaussians)
    rows = np.stack([generator.multivariate_normal(gaussians.means[k].numpy(), stack[k]) for k in labels])
    rows[generator.rand(*rows.shape) < share] = np.nan
    return torch.tensor(rows)


def joint_by_row(rows: torch.Tensor, gaussians: Gaussians) -> np.ndarray:
    """log w_k + log p(x_seen | k), row by row."""
    stack, result = matrices(gaussians), []
    for row in rows.numpy():
        seen = np.flatnonzero(~np.isnan(row))
        result.append(gaussians.weights.log().numpy().copy())
        for k, covariance in enumerate(stack):
            if len(seen):
                mean = gaussians.means[k].numpy()[seen]
                result[-1][k] += multivariate_normal(mean, covariance[np.ix_(seen, seen)]).logpdf(row[seen])
    return np.array(result)


def test_every_row_is_in_one_block_with_its_pattern():
    seen = torch.rand(500, 70, generator=torch.Generator().manual_seed(0)) > 0.02
    seen[100:400] = seen[0]
    blocks = blocks_by_pattern(seen, 2)
    rows = torch.cat([block.index[block.counts] for block in blocks])
    assert rows.sort().values.tolist() == list(range(500))
    for block in blocks:
        assert bool((seen[block.index] == block.seen[:, None]).all())


@every_kind_of_covariance
def test_densities_are_those_of_each_row_by_itself(kind):
    gaussians = mixture(kind)
    rows = drawn(gaussians, 60, 0.4)
    rows[3] = math.nan
    found = missing_component_log_densities(rows, gaussians) + gaussians.weights.log()
    np.testing.assert_allclose(found.numpy(), joint_by_row(rows, gaussians), rtol=1e-11)
    assert found[3].logsumexp(dim=0).item() == pytest.approx(0.0, abs=1e-12)


@every_kind_of_covariance
def test_nothing_missing_is_plain_em(kind):
    truth, start = mixture(kind), mixture(kind, seed=1)
    rows = drawn(truth, 200, 0.0)
    precisions = {"spherical": 1 / start.covariances, "diag": 1 / start.covariances}
    reference = Reference(
        3, covariance_type=kind, max_iter=10, tol=0, reg_covar=0, weights_init=start.weights, means_init=start.means,
        precisions_init=precisions.get(kind, torch.linalg.inv(start.covariances) if kind in ("full", "tied") else None),
    )  # fmt: skip
    with pytest.warns(match="did not converge"):
        reference.fit(rows.numpy())
    found = fit_missing(rows, start, tolerance=0, max_iter=10).parameters
    np.testing.assert_allclose(found.weights, reference.weights_, rtol=1e-10)
    np.testing.assert_allclose(found.means, reference.means_, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.covariances, reference.covariances_, rtol=1e-9, atol=1e-10)


@every_kind_of_covariance
def test_the_likelihood_of_what_is_seen_never_falls(kind):
    rows = drawn(mixture(kind), 150, 0.35)
    rows[7] = math.nan
    weight = torch.rand(150, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = fit_missing(rows, mixture(kind, seed=1), weight=weight, tolerance=0, max_iter=40)
    assert found.largest_fall == 0
    assert found.bounds[-1] > found.bounds[0] + 0.1
    weighted = weight.numpy() @ logsumexp(joint_by_row(rows, found.parameters), axis=1) / weight.sum().item()
    assert found.bounds[-1] == pytest.approx(weighted, rel=1e-10)


@every_kind_of_covariance
def test_em_ends_where_the_likelihood_has_no_slope(kind):
    rows = drawn(mixture(kind, 2, 3), 80, 0.2)
    found = fit_missing(rows, mixture(kind, 2, 3), tolerance=1e-14, max_iter=20_000)
    assert found.converged
    means, covariances = (getattr(found.parameters, name).clone().requires_grad_() for name in ("means", "covariances"))
    likelihood = torch.zeros((), dtype=torch.float64)
    for row in rows:
        seen = torch.nonzero(~row.isnan())[:, 0]
        logs = found.parameters.weights.log()
        stack = {
            "full": lambda c: c,
            "tied": lambda c: c.expand(2, 3, 3),
            "diag": torch.diag_embed,
            "spherical": lambda c: c[:, None, None] * torch.eye(3, dtype=torch.float64),
        }[kind](covariances)
        parts = [stack[k][seen][:, seen] for k in range(2)]
        if len(seen):
            logs = logs + torch.stack(
                [torch.distributions.MultivariateNormal(means[k, seen], parts[k]).log_prob(row[seen]) for k in range(2)]
            )
        likelihood = likelihood + logs.logsumexp(dim=0) / len(rows)
    slopes = torch.autograd.grad(likelihood, (means, covariances))
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-6


def test_one_gaussian_is_what_an_optimiser_finds():
    rows = drawn(mixture("full", 1, 2), 40, 0.3)

    def unpacked(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        root = np.array([[math.exp(x[2]), 0.0], [x[3], math.exp(x[4])]])
        return x[:2], root @ root.T

    def loss(x: np.ndarray) -> float:
        mean, covariance = unpacked(x)
        one = Gaussians(torch.ones(1).double(), torch.tensor(mean[None]), torch.tensor(covariance[None]), "full")
        return -float(joint_by_row(rows, one).mean())

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    start = Gaussians(*(part.double() for part in (torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])), "full")
    found = fit_missing(rows, start, tolerance=1e-14, max_iter=2000)
    mean, covariance = unpacked(best.x)
    assert found.bounds[-1] == pytest.approx(-best.fun, abs=1e-11)
    np.testing.assert_allclose(found.parameters.means[0], mean, atol=1e-5)
    np.testing.assert_allclose(found.parameters.covariances[0], covariance, atol=1e-4)


@every_kind_of_covariance
def test_imputed_values_are_conditional_means(kind):
    gaussians = mixture(kind)
    rows = drawn(gaussians, 30, 0.4)
    rows[0] = math.nan
    joint, stack = joint_by_row(rows, gaussians), matrices(gaussians)
    filled = impute(rows, gaussians)
    for row, after, logs in zip(rows.numpy(), filled.numpy(), joint, strict=True):
        gone = np.isnan(row)
        np.testing.assert_array_equal(after[~gone], row[~gone])
        share, expected = np.exp(logs - logsumexp(logs)), 0.0
        for k, covariance in enumerate(stack):
            mean = gaussians.means[k].numpy()
            slope = covariance[np.ix_(gone, ~gone)] @ np.linalg.inv(covariance[np.ix_(~gone, ~gone)])
            expected = expected + share[k] * (mean[gone] + slope @ (row[~gone] - mean[~gone]))
        np.testing.assert_allclose(after[gone], expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(filled[0], gaussians.weights @ gaussians.means, rtol=1e-12)


@every_kind_of_covariance
def test_draws_have_the_mean_and_the_density_of_what_is_missing(kind):
    gaussians = mixture(kind, 2, 2)
    row = torch.tensor([[0.5, math.nan]], dtype=torch.float64)
    draws = draw_missing(row.expand(20_000, 2), gaussians, torch.Generator().manual_seed(0))[0]
    assert bool((draws[:, 0] == 0.5).all())
    # Given one column, the other's cumulative distribution by quadrature: a draw's is uniform.
    grid = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    pairs = torch.stack([torch.full_like(grid, 0.5), grid], dim=1).numpy()
    density = sum(
        float(gaussians.weights[k]) * multivariate_normal(gaussians.means[k].numpy(), covariance).pdf(pairs)
        for k, covariance in enumerate(matrices(gaussians))
    )
    cumulative = np.cumsum(density) / density.sum()
    uniform = np.sort(np.interp(draws[:, 1].numpy(), grid.numpy(), cumulative))
    distance = np.abs(uniform - (np.arange(20_000) + 0.5) / 20_000).max()
    assert distance < 1.95 / math.sqrt(20_000)  # Kolmogorov's at 0.001
    assert float(impute(row, gaussians)[0, 1]) == pytest.approx(float(grid.numpy() @ density / density.sum()), abs=1e-6)


def test_draws_are_a_function_of_the_seed_and_differ_among_themselves():
    gaussians = mixture("full")
    rows = drawn(gaussians, 20, 0.4)
    first, again = (draw_missing(rows, gaussians, torch.Generator().manual_seed(3), n_draws=2) for _ in range(2))
    assert first.shape == (2, 20, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first[0][~rows.isnan()], rows[~rows.isnan()])


@every_kind_of_covariance
def test_a_row_without_values_changes_nothing_but_the_mean_of_the_bound(kind):
    gaussians = mixture(kind, 2)
    rows = drawn(gaussians, 150, 0.2)
    rows = rows[(~rows.isnan()).any(dim=1)]
    more = torch.cat([rows, torch.full((1, 4), math.nan, dtype=torch.float64)])
    ones = torch.ones(len(more), dtype=torch.float64)
    _, one = missing_moments(rows, gaussians, ones[:-1])
    _, other = missing_moments(more, gaussians, ones)
    assert float(one) * len(rows) == pytest.approx(float(other) * len(more), rel=1e-12)
    ends = [fit_missing(x, gaussians, tolerance=1e-13, max_iter=20_000).parameters for x in (rows, more)]
    np.testing.assert_allclose(ends[0].means, ends[1].means, atol=1e-4)


def test_offsets_of_the_data_cost_no_digits():
    gaussians = mixture("full")
    rows = drawn(gaussians, 100, 0.3)
    far = gaussians._replace(means=gaussians.means + 2.0**20)
    near_fit = fit_missing(rows, gaussians, tolerance=0, max_iter=20)
    far_fit = fit_missing(rows + 2.0**20, far, tolerance=0, max_iter=20)
    np.testing.assert_allclose(far_fit.bounds, near_fit.bounds, rtol=1e-7)
    np.testing.assert_allclose(far_fit.parameters.covariances, near_fit.parameters.covariances, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_identical_rows_and_more_components_than_rows(kind):
    rows = torch.ones(2, 4, dtype=torch.float64)
    rows[0, 1] = math.nan
    found = fit_missing(rows, mixture(kind, 5), rule=CovarianceRule(added=1e-6), tolerance=0, max_iter=2000)
    assert all(bool(part.isfinite().all()) for part in found.parameters[:3])
    np.testing.assert_allclose(impute(rows, found.parameters), np.ones((2, 4)), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:, :3], r"Expected rows \(n, 4\), got \(10, 3\)"),
        (lambda rows: rows.index_fill(1, torch.tensor([2]), math.nan), "none in column 2"),
        (lambda rows: rows.index_fill(0, torch.tensor([2]), math.inf), "got infinity"),
    ],
)
def test_what_can_not_be_fitted_is_said(change, message):
    gaussians = mixture("full")
    with pytest.raises(ValueError, match=message):
        fit_missing(change(drawn(gaussians, 10, 0.0)), gaussians)


def test_weights_that_are_none_are_refused():
    gaussians = mixture("full")
    with pytest.raises(ValueError, match="positive sum"):
        fit_missing(drawn(gaussians, 5, 0.0), gaussians, weight=torch.zeros(5))


def test_a_start_from_rows_with_gaps_is_the_likeliest_of_several():
    rows = drawn(mixture("full", 4, 6, seed=5), 800, 0.3).numpy()
    fitted = GaussianMixture(4, random_state=0, tol=1e-6).fit(rows)
    truth = fit_missing(torch.from_numpy(rows), mixture("full", 4, 6, seed=5), tolerance=1e-6).bounds[-1]
    assert fitted.lower_bound_ > truth - 1e-3
    told = GaussianMixture(4, means_init=mixture("full", 4, 6, seed=5).means.numpy(), tol=1e-6).fit(rows)
    assert told.lower_bound_ > truth - 1e-3

"""GaussianMixture from blocks of rows, and from rows with gaps: against fits to all rows, and against its functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import isthmus.estimators.gaussian_blocks as gaussian_blocks
from isthmus.data import Shards
from isthmus.estimators import GaussianMixture, KMeans
from isthmus.mixtures.conditional import conditional
from isthmus.mixtures.missing import impute

every_kind_of_covariance = pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])


def two_groups(n: int = 1200) -> np.ndarray:
    """Rows of two groups, in no order, (n, 3) float64."""
    generator = np.random.RandomState(0)
    rows = generator.randn(n, 3) @ generator.randn(3, 3)
    rows[generator.rand(n) < 0.4] += [6, 0, 3]
    return rows


def with_gaps(n: int = 1200, share: float = 0.2) -> np.ndarray:
    rows = two_groups(n)
    rows[np.random.RandomState(1).rand(n, 3) < share] = np.nan
    return rows


def shards(rows: np.ndarray) -> Shards:
    """Rows that are read a few at a time."""
    found = Shards(rows, buffer_bytes=rows.nbytes // 4)
    assert not found.fits_buffer
    return found


@pytest.fixture(autouse=True)
def few_rows_to_start_from(monkeypatch):
    """As data larger than memory have more rows than a start is found on."""
    monkeypatch.setattr(gaussian_blocks, "START_ROWS", 200)
    monkeypatch.setattr(gaussian_blocks, "ROWS_A_COMPONENT", 100)
    monkeypatch.setattr(gaussian_blocks, "BLOCK_NUMBERS", 900)


@every_kind_of_covariance
def test_shards_are_learnt_from_as_rows_in_memory_are(kind):
    rows, settings = two_groups(), {"covariance_type": kind, "tol": 1e-8, "random_state": 0}
    whole = GaussianMixture(2, **settings).fit(rows)
    parts = GaussianMixture(2, **settings).fit(shards(rows))
    assert parts.converged_
    assert parts.n_iter_ > 0
    assert (np.diff(parts.log_likelihoods_) >= -1e-9).all()
    assert parts.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-6)
    np.testing.assert_allclose(np.sort(parts.weights_), np.sort(whole.weights_), atol=1e-3)
    np.testing.assert_allclose(parts.score_samples(shards(rows)), whole.score_samples(rows), atol=0.02)


@pytest.mark.parametrize(
    ("kind", "lay_out"),
    [("full", np.asarray), ("tied", np.asarray), ("diag", shards), ("spherical", np.asarray), ("full", shards)],
)
def test_mini_batches_come_near_to_em(kind, lay_out):
    rows, settings = two_groups(), {"covariance_type": kind, "tol": 1e-3, "random_state": 0}
    whole = GaussianMixture(2, **settings).fit(rows)
    fitted = GaussianMixture(2, batch_size=200, **settings).fit(lay_out(rows))
    assert fitted.score(rows) == pytest.approx(whole.score(rows), abs=2e-3)
    assert fitted.n_iter_ > 2


def test_mini_batches_are_a_function_of_the_seed():
    fits = [GaussianMixture(2, batch_size=300, tol=1e-2, random_state=0).fit(shards(two_groups())) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)


def test_weights_count_as_rows_in_blocks_as_well():
    rows, weight = two_groups(), np.random.RandomState(2).randint(0, 3, 1200)
    settings = {"tol": 1e-9, "max_iter": 1000, "random_state": 0}
    weighted = GaussianMixture(2, **settings).fit(shards(rows), sample_weight=weight)
    repeated = GaussianMixture(2, **settings).fit(rows.repeat(weight, axis=0))
    assert weighted.n_seen_ == weight.sum()
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-6)


def test_shards_may_begin_with_a_gap():
    rows = with_gaps()
    rows[0], rows[1, 0] = np.nan, np.nan
    settings = {"tol": 1e-6, "random_state": 0}
    whole, parts = (GaussianMixture(2, **settings).fit(lay_out(rows)) for lay_out in (np.asarray, shards))
    assert parts.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-4)
    np.testing.assert_array_equal(parts.impute(shards(rows)), parts.impute(rows))
    with pytest.raises(ValueError, match="got nan in row 0, column 0"):
        KMeans(2).fit(shards(rows))


def test_mini_batches_with_gaps():
    rows = with_gaps()
    whole = GaussianMixture(2, random_state=0).fit(rows)
    fitted = GaussianMixture(2, batch_size=300, tol=1e-3, random_state=0).fit(rows)
    assert fitted.score(rows) == pytest.approx(whole.score(rows), abs=2e-3)


@every_kind_of_covariance
def test_partial_fits_come_near_to_em(kind):
    rows = two_groups(4000)
    model = GaussianMixture(2, covariance_type=kind, random_state=0)
    for part in np.split(rows, 20):
        model.partial_fit(part)
    assert model.n_seen_ == 4000
    whole = GaussianMixture(2, covariance_type=kind, random_state=0).fit(rows)
    assert model.score(rows) == pytest.approx(whole.score(rows), abs=0.02)
    model.partial_fit(with_gaps(100))
    assert model.n_seen_ == 4100


@every_kind_of_covariance
def test_batches_of_one_component_each_leave_the_floor_where_it_is(kind):
    """It is a part of the variance of all rows, not of a batch's."""
    noise = 0.01 * np.random.default_rng(0).normal(size=(1000, 2))
    rows = noise + 10 * (np.arange(1000) >= 500)[:, None]
    model = GaussianMixture(2, covariance_type=kind, covariance_floor=0.01, random_state=0).partial_fit(rows[::5])
    for i in range(10):  # of one and the other in turn
        model.partial_fit(rows[i % 2 * 500 + 50 * i :][:50])
        found = model.covariances_
        least = np.linalg.eigvalsh(found).min() if kind in ("full", "tied") else found.min()
        assert least > 0.7 * 0.01 * rows.var(0).min()


@every_kind_of_covariance
def test_what_is_added_to_variances_does_not_add_up(kind):
    rows = np.zeros((50, 2)) if kind in ("tied", "spherical") else np.c_[np.arange(50.0), np.zeros(50)]
    model = GaussianMixture(1, covariance_type=kind, reg_covar=0.01, covariance_floor=0.0, random_state=0)
    for _ in range(30):
        model.partial_fit(rows)
    least = {"full": lambda c: c[0, 1, 1], "tied": lambda c: c[1, 1], "diag": lambda c: c[0, 1]}
    assert least.get(kind, lambda c: c[0])(model.covariances_) == pytest.approx(0.01)


@every_kind_of_covariance
def test_gaps_are_filled_and_scored_as_the_functions_say(kind):
    rows = with_gaps(300)
    rows[5] = np.nan
    model = GaussianMixture(2, covariance_type=kind, random_state=0).fit(rows)
    assert (np.diff(model.log_likelihoods_) >= -1e-9).all()
    gaussians = model._gaussians()
    np.testing.assert_allclose(model.impute(rows), impute(torch.from_numpy(rows), gaussians).numpy(), rtol=1e-9)
    np.testing.assert_allclose(model.impute(rows)[5], model.weights_ @ model.means_)
    assert model.score_samples(rows)[5] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(model.predict_proba(rows)[5], model.weights_, rtol=1e-9)
    draws = model.impute(rows, n_draws=3, random_state=1)
    assert draws.shape == (3, 300, 3)
    assert np.isfinite(draws).all()
    np.testing.assert_array_equal(draws[:, ~np.isnan(rows)], np.tile(rows[~np.isnan(rows)], (3, 1)))
    np.testing.assert_array_equal(draws, model.impute(rows, n_draws=3, random_state=1))


def test_other_columns_from_some():
    rows = two_groups(300)
    model = GaussianMixture(2, random_state=0).fit(rows)
    found = model.conditional(rows[:, [2]], given=[2])
    expected = conditional(model._gaussians(), [2], torch.from_numpy(rows[:, [2]]))
    torch.testing.assert_close(found.mean(), expected.mean())
    joint, marginal = model.score_samples(rows), np.c_[np.full((300, 2), np.nan), rows[:, 2]]
    conditional_density = found.log_density(torch.from_numpy(rows[:, :2])).numpy()
    np.testing.assert_allclose(conditional_density, joint - model.score_samples(marginal), atol=1e-9)


@pytest.mark.parametrize(
    ("make", "rows", "message"),
    [
        (lambda: GaussianMixture(2, batch_size=0), two_groups(50), "batch_size >= 1"),
        (lambda: GaussianMixture(2), np.c_[two_groups(50), np.full(50, np.nan)], "none in column 3"),
        (lambda: GaussianMixture(2), np.full((10, 2), np.nan), "none in column 0, 1"),
        (lambda: GaussianMixture(20), with_gaps(10), "n_samples = 10"),
        (lambda: GaussianMixture(2), np.where(with_gaps(50) > 3, np.inf, 0.0), "infinity"),
    ],
)
def test_what_can_not_be_fitted_is_said(make, rows, message):
    with pytest.raises(ValueError, match=message):
        make().fit(rows)


def test_infinity_in_a_block_is_found():
    rows = two_groups()
    rows[1100, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture(2).fit(shards(rows))


def test_columns_are_given_by_name_after_a_fit_to_a_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.RandomState(0).randn(100, 3), columns=list("abc"))
    model = GaussianMixture(2, random_state=0).fit(frame)
    named = model.conditional(frame[["c", "a"]], given=["c", "a"])
    numbered = model.conditional(frame[["c", "a"]].to_numpy(), given=[2, 0])
    torch.testing.assert_close(named.mean(), numbered.mean())
    torch.testing.assert_close(model.conditional(frame["a"], given="a").mean(), model.conditional(frame["a"], 0).mean())
    assert named.log_density(frame[["b"]].to_numpy()).shape == (100,)
    torch.testing.assert_close(named.sample(1), named.sample(1))
    with pytest.raises(ValueError, match="one of a, b, c"):
        model.conditional(frame["a"], given="d")

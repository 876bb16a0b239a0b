"""GaussianMixture: scikit-learn's interface, bad data, files, and what it adds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Reference
from sklearn.utils.estimator_checks import check_estimator

import isthmus
from gaussian_cases import bumps, every_kind
from isthmus import GaussianMixture
from isthmus.estimators import CollapsedComponentWarning

QUICK = {"n_candidates": 2, "random_state": 0}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the checks warn of what they skip
def test_scikit_learn_s_own_checks():
    results = check_estimator(GaussianMixture(1, **QUICK), on_fail=None, on_skip=None)
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []
    assert len([result for result in results if result["status"] == "passed"]) > 40


@every_kind
def test_from_the_same_start_it_is_scikit_learn_s(kind):
    X = bumps(n=300, apart=4.0)
    start = Reference(3, covariance_type=kind, max_iter=2, tol=1e9, random_state=0).fit(X)
    given = {"weights_init": start.weights_, "means_init": start.means_, "precisions_init": start.precisions_}
    settings = {"covariance_type": kind, "tol": 0.0, "max_iter": 15, "reg_covar": 1e-6}
    with pytest.warns(ConvergenceWarning):
        reference = Reference(3, **settings, **given).fit(X)
    with pytest.warns(ConvergenceWarning):
        model = GaussianMixture(3, covariance_floor=0.0, **settings, **given).fit(X)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        expected = getattr(reference, name)
        np.testing.assert_allclose(getattr(model, name), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.score_samples(X), reference.score_samples(X), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-6)
    assert (model.predict(X) == reference.predict(X)).all()
    assert model.bic(X) == pytest.approx(reference.bic(X), rel=1e-9)
    assert model.aic(X) == pytest.approx(reference.aic(X), rel=1e-9)
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-9)


@every_kind
def test_a_file_brings_back_all_of_it(kind, tmp_path):
    X = bumps(n=120)
    model = GaussianMixture(3, covariance_type=kind, means_init=X[:3], **QUICK).fit(X)
    model.save(tmp_path / "run")
    again = isthmus.load(tmp_path / "run")
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    assert again.log_likelihoods_ == model.log_likelihoods_
    assert (again.collapsed_, again.n_seeded_, again.n_seen_) == (model.collapsed_, model.n_seeded_, 120.0)
    np.testing.assert_array_equal(again.sample(3, random_state=1)[0], model.sample(3, random_state=1)[0])


def test_other_units_change_nothing_but_the_numbers():
    """Where scikit-learn's start depends on them, and its floor of 1e-6 is in them."""
    X, unit = bumps(n=200), np.array([1e-6, 1.0, 1e7])
    model, other = (GaussianMixture(3, **QUICK).fit(rows) for rows in (X, X * unit))
    means = [fitted.means_[fitted.means_[:, 0].argsort()] for fitted in (model, other)]
    np.testing.assert_allclose(means[1], means[0] * unit, rtol=1e-6)
    assert other.score(X * unit) == pytest.approx(model.score(X) - np.log(unit).sum(), rel=1e-9)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_start_ends_in_a_density_that_never_got_less_likely(init_params):
    X = bumps(n=200)
    model = GaussianMixture(3, init_params=init_params, n_init=2, max_iter=500, **QUICK).fit(X)
    assert (np.diff(model.log_likelihoods_) > -1e-9).all()
    assert model.score(X) > GaussianMixture(1).fit(X).score(X) + 0.1
    again = GaussianMixture(3, init_params=init_params, n_init=2, max_iter=500, **QUICK).fit(X)
    np.testing.assert_array_equal(again.means_, model.means_)


def test_flat_and_equal_data_have_a_density():
    generator = np.random.default_rng(0)
    constant = np.column_stack([generator.normal(size=60), np.full(60, 7.0)])
    line = generator.normal(size=(60, 1)) @ np.ones((1, 3))  # rank 1
    some_equal = np.repeat(generator.normal(size=(5, 2)), 12, axis=0)
    for X in (constant, line, some_equal, np.full((20, 2), 3.0), constant.astype("float32")):
        for kind in ("full", "tied", "diag", "spherical"):
            model = GaussianMixture(2, covariance_type=kind, tol=1e-3, **QUICK).fit(X)
            assert np.isfinite(model.score_samples(X)).all()
            assert np.isfinite(model.covariances_).all()


def test_what_has_collapsed_is_said():
    X = np.concatenate([bumps(n=60, n_features=2, n_bumps=1), [[1e3, 0.0]]])
    with pytest.warns(CollapsedComponentWarning, match="1 of 2 on too few"):
        model = GaussianMixture(2, **QUICK).fit(X)
    (lonely,) = model.collapsed_
    assert model.weights_[lonely] * len(X) == pytest.approx(1.0, abs=1e-3)
    assert GaussianMixture(2, covariance_prior=3.0, **QUICK).fit(X).collapsed_ == []


def test_bad_input_is_refused():
    X = bumps(n=30)
    with pytest.raises(ValueError, match="n_samples = 2"):
        GaussianMixture(3).fit(X[:2])
    for wrong, message in (
        ({"means_init": X[:2]}, "means_init of shape"),
        ({"weights_init": [0.5, 0.5, 0.5]}, "sum to 1"),
        ({"precisions_init": np.tile(-np.eye(3), (3, 1, 1))}, "positive definite"),
        ({"covariance_floor": -1.0}, "covariance_floor"),
        ({"reg_covar": -1.0}, "reg_covar"),
        ({"n_candidates": 0}, "n_candidates"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianMixture(3, **wrong).fit(X)
    with pytest.raises(ValueError, match="covariance_type"):
        GaussianMixture(3, covariance_type="round").fit(X)
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture(3).fit(np.where(X > X.max() - 1e-9, np.inf, X))


def test_a_warm_start_goes_on():
    X = bumps(n=300, apart=1.0)
    cold = GaussianMixture(3, tol=1e-9, max_iter=1000, **QUICK).fit(X)
    model = GaussianMixture(3, tol=1e-4, warm_start=True, **QUICK).fit(X)
    before = model.lower_bound_
    model.set_params(tol=1e-9, max_iter=1000).fit(X)
    assert model.log_likelihoods_[0] == pytest.approx(before, rel=1e-12)
    assert model.lower_bound_ >= before
    assert model.lower_bound_ == pytest.approx(cold.lower_bound_, abs=1e-5)


def test_pixels_are_counted_in_0_to_1():
    X = (np.clip(bumps(n=80, apart=1.0) / 10, 0, 1) * 255).astype("uint8")
    model = GaussianMixture(2, **QUICK).fit(X)
    assert model.means_.max() <= 1
    np.testing.assert_allclose(model.score_samples(X), model.score_samples(X / 255.0), atol=1e-9)
    assert model.sample(5, random_state=0)[0].max() > 20


def test_a_warm_start_is_from_a_mixture_of_the_same_kind_alone():
    """With as many components as features, "tied" and "diag" covariances have one shape."""
    X = np.random.RandomState(0).randn(200, 2) + 4 * (np.arange(200) % 2)[:, None]
    model = GaussianMixture(2, covariance_type="tied", random_state=0, warm_start=True).fit(X)
    for kind in ("diag", "full", "spherical"):
        changed = model.set_params(covariance_type=kind).fit(X)
        anew = GaussianMixture(2, covariance_type=kind, random_state=0).fit(X)
        np.testing.assert_array_equal(changed.covariances_, anew.covariances_)

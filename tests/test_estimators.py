"""Estimators as scikit-learn and its users see them: interface, kinds of input, images, seeds."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from estimator_cases import LINEAR, MAKE, QUICK, every_estimator, every_kind, every_network, pixel_images, real_table
from isthmus import VAE, Autoencoder
from isthmus.training import Interrupted


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return real_table()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return pixel_images()


# --- scikit-learn's own view -----------------------------------------------------------------------

STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": "repeated rows fall into other batches and meet other noise"
}


@every_estimator
@pytest.mark.filterwarnings("ignore")  # the checks warn of what they skip
def test_scikit_learn_s_own_checks(make):
    expected = {} if make in LINEAR.values() else STOCHASTIC
    results = check_estimator(make(1), expected_failed_checks=expected, on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert failed == set()
    # What is declared to fail does: the list is no longer than it must be.
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(expected)
    assert len([result for result in results if result["status"] == "passed"]) > 40


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_whole_numbers_of_weight_are_repeated_rows_where_nothing_is_random(likelihood, table):
    """One batch and no noise: what the check above asks of scikit-learn's estimators, to rounding."""
    X = table if likelihood == "gaussian" else 1 / (1 + np.exp(-table))
    weight = np.arange(len(X)) % 3
    settings = {"max_epochs": 5, "batch_size": 1000, "hidden": (), "likelihood": likelihood, "random_state": 0}
    weighted = Autoencoder(2, **settings).fit(X, sample_weight=weight)
    repeated = Autoencoder(2, **settings).fit(np.repeat(X, weight, axis=0))
    if likelihood == "gaussian":
        np.testing.assert_allclose(weighted.scaling_.shift, repeated.scaling_.shift, rtol=1e-12)
    assert weighted.scaling_.scale == pytest.approx(repeated.scaling_.scale, rel=1e-12)
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), atol=2e-4)
    losses = [model.history_[-1]["loss"] for model in (weighted, repeated, Autoencoder(2, **settings).fit(X))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


@every_kind
def test_in_a_pipeline_and_chosen_by_score(make, table):
    pipeline = make_pipeline(StandardScaler(), make(max_epochs=40, batch_size=30, learning_rate=0.03))
    name = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{name}__n_components": [1, 3]}, cv=2).fit(table)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {f"{name}__n_components": 3}  # the data have three directions
    assert search.transform(table).shape == (120, 3)


@every_estimator
def test_clone_is_unfitted_and_independent(make, table):
    fitted = make().fit(table)
    again = clone(fitted)
    assert not hasattr(again, "n_features_in_")
    assert again.get_params() == fitted.get_params()
    np.testing.assert_array_equal(again.fit(table).transform(table), fitted.transform(table))


@every_estimator
def test_frames_out_as_asked_and_names_of_features(make, table):
    model = make().fit(table)
    codes, kind = model.transform(table), type(model).__name__.lower()
    assert list(model.get_feature_names_out()) == [f"{kind}0", f"{kind}1"]
    for container, frame in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        framed = model.set_output(transform=container).transform(table)
        assert isinstance(framed, frame)
        assert list(framed.columns) == [f"{kind}0", f"{kind}1"]
        np.testing.assert_array_equal(framed.to_numpy(), codes)
        back = model.inverse_transform(framed)  # takes codes back in whatever form it gave them
        np.testing.assert_array_equal(back, model.inverse_transform(codes))
    if kind == "autoencoder":
        assert model.fit_prior(table).sample(2).shape == (2, 6)


@every_kind
def test_every_container_is_the_same_data(make, table):
    names = [f"column {i}" for i in range(6)]
    frame = pd.DataFrame(table, columns=names)
    arrays = (np.asfortranarray(table), table[::-1].copy()[::-1], table.astype(">f8"), table.tolist())
    containers = (frame, pl.DataFrame(frame.to_dict("list")), torch.tensor(table, requires_grad=True), *arrays)
    reference = make().fit(table)
    for X in containers:
        model = make().fit(X)
        np.testing.assert_array_equal(model.transform(X), reference.transform(table))
        np.testing.assert_array_equal(model.score_samples(X), reference.score_samples(table))
    model = make().fit(frame)
    assert list(model.feature_names_in_) == names
    for other in (frame, pl.DataFrame(frame.to_dict("list"))):
        model.transform(other)
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame.rename(columns={"column 0": "another"}))
    with pytest.raises(ValueError, match="feature names should match|same order"):
        model.transform(frame[names[::-1]])


# --- images ----------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (2, 4, 8)])
def test_images_keep_their_shape(make, images, shape):
    X = images.reshape(-1, *shape)
    model = make().fit(X)
    assert model.n_features_in_ == 64
    assert model.feature_shape_ == shape
    codes = model.transform(X)
    assert codes.shape == (100, 2)
    if isinstance(model, Autoencoder):
        model.fit_prior(X)
    for rows in (model.inverse_transform(codes), model.reconstruct(X), model.sample(100)):
        assert rows.shape == X.shape
        assert rows.dtype.kind == "f"
    assert model.score_samples(X).shape == (100,)
    np.testing.assert_array_equal(model.transform(X.reshape(100, -1)), codes)
    np.testing.assert_array_equal(model.transform(torch.from_numpy(X)), codes)


@every_estimator
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "fixed_gaussian", "gaussian"])
def test_uint8_pixels_are_scaled_here_and_come_back_as_0_to_255(make, likelihood, images):
    """The model of uint8 is the model of the same pixels as floats in [0, 1], but for the units of what comes back."""
    floats = (images / 255).astype(np.float32)
    model, other = (make(likelihood=likelihood).fit(X) for X in (images, floats))
    exact = "bernoulli" in likelihood and make not in LINEAR.values()
    for X in (floats, images):  # both are taken by the model of uint8
        np.testing.assert_allclose(model.transform(X), other.transform(floats), atol=0 if exact else 1e-4)
        np.testing.assert_allclose(model.reconstruct(X), 255 * other.reconstruct(floats), rtol=1e-6, atol=0.01)
        np.testing.assert_allclose(model.squared_error(X), other.squared_error(floats), rtol=1e-4)
    sampled = make in (MAKE["IWAE"], MAKE["VAE"])
    if exact or not sampled:  # else each row's noise is another: see test_scores
        scores = model.score_samples(images), other.score_samples(floats)
        np.testing.assert_allclose(*scores, rtol=0 if exact and sampled else 1e-4)
    assert model.reconstruct(images).max() > 50
    with pytest.raises(ValueError, match=r"Expected uint8 pixels, as at fit, or floats in \[0, 1\].*use X.astype"):
        model.transform(images.astype(np.float32))


@every_estimator
@pytest.mark.parametrize(("factor", "offset"), [(1000.0, 5.0), (1e-3, -1.0), (1.0, 1e6)])
def test_floats_stay_in_their_units(make, factor, offset, table):
    model, other = (make(likelihood="gaussian").fit(X) for X in (table, factor * table + offset))
    expected = factor * model.reconstruct(table) + offset
    np.testing.assert_allclose(other.reconstruct(factor * table + offset), expected, rtol=1e-3, atol=1e-3 * factor)
    errors = model.squared_error(table), other.squared_error(factor * table + offset)
    np.testing.assert_allclose(errors[1], factor**2 * errors[0], rtol=1e-2)
    np.testing.assert_allclose(errors[0], np.square(table - model.reconstruct(table)).sum(axis=1), rtol=1e-12)


# --- seeds -----------------------------------------------------------------------------------------


def state_of(model) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in model.model_.state_dict().values()]


@every_network
def test_a_seed_gives_the_same_model_bit_for_bit(make, table):
    def same(a, b) -> bool:
        return all(np.array_equal(x, y) for x, y in zip(state_of(a), state_of(b), strict=True))

    model = make().fit(table)
    first = [array.copy() for array in state_of(model)]
    assert same(model, make().fit(table))
    model.fit(table)  # again, the same object
    assert all(np.array_equal(x, y) for x, y in zip(first, state_of(model), strict=True))
    assert not same(model, make(random_state=1).fit(table))
    assert not same(make(random_state=None).fit(table), make(random_state=None).fit(table))
    states = [np.random.RandomState(3) for _ in range(2)]
    assert same(make(random_state=states[0]).fit(table), make(random_state=states[1]).fit(table))
    assert not same(make(random_state=states[0]).fit(table), make(random_state=np.random.RandomState(3)).fit(table))


@every_estimator
@pytest.mark.parametrize("seed", [0, None])
def test_the_caller_s_generators_are_untouched(make, seed, table):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    model = make(random_state=seed).fit(table)
    model.transform(table), model.score_samples(table)
    if isinstance(model, Autoencoder):
        model.fit_prior(table)
    model.sample(3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


@every_estimator
def test_samples_are_functions_of_their_seed(make, table):
    model = make().fit(table)
    if isinstance(model, Autoencoder):
        model.fit_prior(table, "mixture", n_mixture=2)
    assert model.sample().shape == (1, 6)
    np.testing.assert_array_equal(
        model.sample(5, random_state=3), model.sample(5, random_state=np.random.RandomState(3))
    )
    assert not np.array_equal(model.sample(5, random_state=3), model.sample(5, random_state=4))
    if make not in LINEAR.values():  # which have no seed of their own
        np.testing.assert_array_equal(model.sample(5), model.sample(5, random_state=0))


@every_estimator
def test_a_fit_that_is_refused_leaves_the_estimator_as_it_was(make, table, images, monkeypatch):
    """Refused at the rows, or interrupted in the middle: fitted or not, it stays what it was."""
    fitted, fresh = make(3).fit(table), make(3)
    codes, facts = fitted.transform(table), fitted._facts()

    def interrupted(*_, **__):
        raise Interrupted

    monkeypatch.setattr("isthmus.estimators.training_parameters.fit", interrupted)
    monkeypatch.setattr("isthmus.estimators.linear_gaussian.covariance_of", interrupted)
    for X, error in ((images * np.nan, ValueError), (images, Interrupted)):
        for model in (fitted, fresh):
            with pytest.raises(error):
                model.fit(X)
        with pytest.raises(NotFittedError):
            fresh.transform(table)
        np.testing.assert_array_equal(fitted.transform(table), codes)
        assert fitted._facts() == facts


@every_network
def test_no_dropout_in_a_model_that_somebody_set_to_train(make, table):
    encoder, decoder = (torch.nn.Sequential(torch.nn.Linear(n, 8), torch.nn.Dropout(0.5)) for n in (6, 2))
    model = make(encoder=encoder, decoder=decoder).fit(table)
    methods = [model.transform, model.reconstruct, getattr(model, "posterior", model.transform)]
    before = [method(table) for method in methods]
    model.model_.train()
    for method, expected in zip(methods, before, strict=True):
        np.testing.assert_array_equal(method(table), expected)
    assert model.model_.training  # as it was


def test_fitted_estimators_go_to_other_processes(table):
    model = VAE(2, **QUICK).fit(table)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(table), model.transform(table))

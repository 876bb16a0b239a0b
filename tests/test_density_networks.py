"""Density networks and Bayesian neural networks as estimators: densities in units of y, intervals, files, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

import isthmus
from isthmus import (
    BayesianNeuralNetwork,
    BayesianNeuralNetworkClassifier,
    DensityNetwork,
    DensityNetworkClassifier,
)
from isthmus.estimators.components import Components
from isthmus.evaluation.regression import evaluate_regressor
from isthmus.heads import MixtureHead

QUICK = {"random_state": 0}
POSTERIORS = ("laplace", "last-layer", "mean-field", "ensemble", "dropout")


def bayesian(posterior: str = "laplace", **more):
    return BayesianNeuralNetwork((6,), **{"posterior": posterior, "n_steps": 40, "n_rounds": 2} | QUICK | more)


def bayesian_classifier(posterior: str = "laplace", **more):
    settings = {"posterior": posterior, "n_steps": 60, "n_rounds": 2} | QUICK | more
    return BayesianNeuralNetworkClassifier((6,), **settings)


def density(**more):
    return DensityNetwork((8,), **{"max_epochs": 5, "batch_size": 32} | QUICK | more)


def classifier(**more):
    settings = {"max_epochs": 30, "learning_rate": 0.02, "batch_size": 32} | QUICK | more
    return DensityNetworkClassifier((8,), **settings)


REGRESSORS = {"density": density, "mixture": lambda **more: density(n_components=3, **more)} | {
    posterior: lambda posterior=posterior, **more: bayesian(posterior, **more) for posterior in POSTERIORS
}
CLASSIFIERS = {"density": classifier} | {
    posterior: lambda posterior=posterior, **more: bayesian_classifier(posterior, **more) for posterior in POSTERIORS
}
every_regressor = pytest.mark.parametrize("make", REGRESSORS.values(), ids=REGRESSORS)
every_classifier = pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.RandomState(0)
    X = generator.randn(80, 3) * (1, 100, 0.01) + (0, 5, 3)
    return X, 40 + 7 * np.sin(X[:, 0]) + generator.randn(80)


WITH_TARGETS = {
    "check_methods_sample_order_invariance": "score_samples is of targets too",
    "check_methods_subset_invariance": "score_samples is of targets too",
}
WEIGHTED = {"check_sample_weight_equivalence_on_dense_data": "repeated rows fall into other batches, or are held out"}
ROUNDED = {"check_sample_weight_equivalence_on_dense_data": "equal but for float32's rounding, 1e-7"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (density(max_epochs=3), WITH_TARGETS | WEIGHTED),
        (classifier(), WITH_TARGETS | WEIGHTED),
        (bayesian(n_steps=20), WITH_TARGETS | ROUNDED),
        (bayesian_classifier(), WITH_TARGETS | ROUNDED),
    ],
    ids=["density", "classifier", "bayesian", "bayesian classifier"],
)
@pytest.mark.filterwarnings("ignore")  # the checks warn of what they skip
def test_scikit_learn_s_own_checks(model, expected):
    results = check_estimator(model, expected_failed_checks=expected, on_fail=None, on_skip=None)
    assert {result["check_name"] for result in results if result["status"] == "failed"} == set()
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(expected)


@every_regressor
def test_densities_are_in_units_of_y(make, table):
    """The same model of y in other units: densities shift by the logarithm of the unit, all else scales."""
    X, y = table
    model, other = make().fit(X, y), make().fit(X, 1000 * y - 3)
    np.testing.assert_allclose(other.predict(X), 1000 * model.predict(X) - 3, rtol=1e-3)
    scores = model.score_samples(X, y), other.score_samples(X, 1000 * y - 3)
    np.testing.assert_allclose(scores[1], scores[0] - math.log(1000), atol=2e-2)
    assert model.score(X, y) == pytest.approx(scores[0].mean())
    means, deviations = model.predict(X, return_std=True)
    p = model.predict_distribution(X)
    np.testing.assert_allclose(p.mean, means)
    np.testing.assert_allclose(p.stddev, deviations)
    np.testing.assert_allclose(p.log_prob(torch.tensor(y)), scores[0])
    grid = torch.linspace(float(y.min()) - 300, float(y.max()) + 300, 20_001, dtype=torch.float64)
    mass = torch.trapezoid(model.predict_distribution(X[:1]).log_prob(grid).exp(), grid)
    assert float(mass) == pytest.approx(1.0, abs=1e-3)


@every_regressor
def test_intervals_are_quantiles_and_coverage_counts_them(make, table):
    X, y = table
    model = make().fit(X, y)
    low, high = model.predict_interval(X, 0.8)
    found = model.predict_components(X)
    np.testing.assert_allclose(found.cdf(torch.tensor(low)[:, None])[:, 0], 0.1, atol=1e-9)
    np.testing.assert_allclose(found.cdf(torch.tensor(high)[:, None])[:, 0], 0.9, atol=1e-9)
    coverage = model.calibration(X, y, levels=(0.8,)).coverage
    assert coverage[0] == ((low <= y) & (y <= high)).mean()
    assert evaluate_regressor(model, X, y)["log_likelihood"].value == pytest.approx(model.score(X, y))


@every_regressor
def test_several_targets(make, table):
    X, y = table
    Y = np.stack([y, -2 * y], axis=1)
    model = make().fit(X, Y)
    assert model.predict(X).shape == (80, 2)
    assert model.predict_interval(X)[0].shape == (80, 2)
    assert model.calibration(X, Y).coverage.shape == (10, 2)
    p = model.predict_distribution(X)
    assert p.event_shape == (2,)
    np.testing.assert_allclose(p.log_prob(torch.tensor(Y)), model.score_samples(X, Y))
    with pytest.raises(ValueError, match="Expected y with 2 columns, as at fit, got 1"):
        model.score(X, y)


def test_a_full_covariance_knows_that_targets_move_together(table):
    X, y = table
    generator = np.random.RandomState(1)
    shared = generator.randn(80)
    Y = np.stack([y + 5 * shared, y - 5 * shared + 0.1 * generator.randn(80)], axis=1)
    settings = {"max_epochs": 60, "learning_rate": 0.03, "patience": None}
    for n_components in (1, 2):
        scores = {
            kind: density(covariance=kind, n_components=n_components, **settings).fit(X, Y).score(X, Y)
            for kind in ("diag", "full")
        }
        assert scores["full"] > scores["diag"] + 0.5


def test_a_mixture_finds_two_answers():
    """An inverse problem: y is the square root of x, with either sign."""
    generator = np.random.RandomState(0)
    y = np.sign(generator.randn(200)) * generator.uniform(0.5, 1.5, 200)
    X = np.square(y)[:, None]
    settings = {"max_epochs": 50, "learning_rate": 0.03}
    one, two = (density(n_components=n, **settings).fit(X, y) for n in (1, 2))
    assert two.score(X, y) > one.score(X, y) + 0.8
    assert abs(one.predict([[1.0]])[0]) < 0.3
    p = two.predict_distribution([[1.0]])
    assert float(p.log_prob(torch.tensor([1.0]))) > float(p.log_prob(torch.tensor([0.0]))) + 2


def test_an_ensemble_is_the_mean_of_its_members_densities(table):
    X, y = table
    model = bayesian("ensemble", n_networks=3, prior_precision=1.0).fit(X, y)
    found = model.predict_components(X)
    parts = torch.distributions.Normal(found.means[..., 0], found.factor[..., 0]).log_prob(torch.tensor(y)[:, None])
    np.testing.assert_allclose(model.score_samples(X, y), parts.logsumexp(1) - math.log(3))
    assert found.means.shape == (80, 3, 1)


def test_laplace_is_less_sure_between_two_clusters_than_at_them():
    generator = np.random.RandomState(0)
    X = np.concatenate([generator.uniform(-2, -1, 40), generator.uniform(1, 2, 40)])[:, None]
    y = np.sin(2 * X[:, 0]) + 0.05 * generator.randn(80)
    model = BayesianNeuralNetwork((20,), activation="tanh", n_steps=800, n_rounds=10, random_state=0).fit(X, y)
    at, between = (model.predict(places, return_std=True)[1] for places in (X, [[0.0]]))
    assert between[0] > 3 * at.mean()


def test_a_linear_model_finds_line_and_noise():
    generator = np.random.RandomState(0)
    X = generator.randn(400, 2)
    y = 3 * X[:, 0] + 10 + 0.5 * generator.randn(400)
    model = BayesianNeuralNetwork((), n_steps=600, learning_rate=0.05, random_state=0).fit(X, y)
    means, deviations = model.predict([[0.0, 0.0], [1.0, 0.0]], return_std=True)
    np.testing.assert_allclose(means, [10, 13], atol=0.15)
    np.testing.assert_allclose(deviations, 0.5, atol=0.06)


@every_regressor
def test_a_saved_regressor_predicts_the_same(make, table, tmp_path):
    X, y = table
    model = make().fit(X, y)
    again = isthmus.load(model.save(tmp_path))
    np.testing.assert_array_equal(again.score_samples(X, y), model.score_samples(X, y))
    assert again.get_params() == model.get_params()
    assert "posterior" in model._facts() or "epochs" in model._facts()


@every_classifier
def test_a_classifier_knows_how_sure_it_is(make, table, tmp_path):
    X, y = table
    labels = np.where(y > 40, "high", "low")
    model = make().fit(X, labels)
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    numbers = (labels == "low").astype(int)
    np.testing.assert_allclose(model.score_samples(X, labels), np.log(probabilities)[np.arange(80), numbers])
    np.testing.assert_allclose(model.predict_distribution(X).probs, probabilities, atol=1e-7)
    found = model.calibration(X, labels)
    assert found.count.sum() == 80
    error = (found.count * np.abs(found.confidence - found.accuracy)).sum() / 80
    assert found.expected_calibration_error == pytest.approx(error)
    assert (found.count * found.accuracy).sum() / 80 == pytest.approx(model.score(X, labels))
    again = isthmus.load(model.save(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(X), probabilities)
    with pytest.raises(ValueError, match="Expected labels among"):
        model.score_samples(X, np.full(80, "middle"))


@pytest.mark.parametrize("make", [bayesian, density])
def test_a_seed_gives_the_same_model_and_a_row_its_own_answer(make, table):
    X, y = table
    model = make().fit(X, y)
    before = torch.get_rng_state()
    again = clone(model).fit(X, y)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_allclose(model.predict(X[7:8]), model.predict(X)[7:8], rtol=1e-6)
    assert not np.array_equal(make(random_state=1).fit(X, y).predict(X), model.predict(X))


def test_constant_columns_and_targets_are_no_harm(table):
    X, y = table
    X = np.column_stack([X, np.full(80, 7.0)])
    for model in (density(), bayesian()):
        assert np.isfinite(model.fit(X, y).score(X, y))
        assert np.isfinite(model.fit(X, np.full(80, 3.0)).score(X, np.full(80, 3.0)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden": (0,)}, "widths >= 1"),
        ({"prior_precision": 0.0}, "prior_precision > 0"),
        ({"dropout": 1.0}, r"dropout in \(0, 1\)"),
        ({"n_steps": 3}, r"n_steps >= 2 \* n_rounds"),
        ({"n_networks": 0}, "n_networks >= 1"),
        ({"posterior": "exact"}, "posterior as one of"),
    ],
)
def test_bad_parameters_are_refused(parameters, message, table):
    with pytest.raises(ValueError, match=message):
        bayesian().set_params(**parameters).fit(*table)


@pytest.mark.parametrize("make", [density, bayesian])
def test_bad_targets_are_refused_and_leave_no_trace(make, table):
    X, y = table
    for bad in (None, y[:5], np.where(y > 40, np.nan, y), np.full(80, "text")):
        model = make()
        with pytest.raises(ValueError, match="Expected numbers to predict|inconsistent|NaN|numeric|convert"):
            model.fit(X, bad)
        assert not hasattr(model, "n_features_in_")
    with pytest.raises(ValueError, match="Expected a level in"):
        make().fit(X, y).predict_interval(X, 1.0)


def test_a_posterior_that_does_not_fit_in_memory_is_refused_before_it_is_made(table):
    X, y = table
    model = BayesianNeuralNetwork((3000, 3000), random_state=0)
    with pytest.raises(ValueError, match="Expected the covariance of 9,018,001 weights to fit in memory.*last-layer"):
        model.fit(X, y)


def test_quantiles_of_mixtures_are_inverses_of_their_distribution_functions():
    generator = torch.Generator().manual_seed(0)
    weights, means = (torch.randn(5, 3, generator=generator).double() for _ in range(2))
    factor = torch.rand(5, 3, 1, generator=generator).double() + 0.1
    mixture = Components(weights, means.unsqueeze(-1), factor)
    for probability in (0.01, 0.5, 0.95):
        torch.testing.assert_close(
            mixture.cdf(mixture.quantile(probability)), torch.full((5, 1), probability, dtype=torch.float64)
        )


def test_bad_mixture_heads_are_refused():
    with pytest.raises(ValueError, match="n_components >= 1"):
        MixtureHead(2, 1, n_components=0)
    with pytest.raises(ValueError, match="covariance as 'diag' or 'full'"):
        MixtureHead(2, 1, n_components=2, covariance="tied")


@pytest.mark.parametrize("kind", [DensityNetwork, DensityNetworkClassifier])
def test_one_row_is_too_few(kind):
    with pytest.raises(ValueError, match="at least (2 rows|two classes)"):
        kind(hidden=()).fit(np.zeros((1, 2)), np.zeros(1))

"""IWAE: more samples in training make a better model, and it is scored by the bound that it is trained on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from estimator_cases import QUICK
from isthmus import IWAE, VAE, evaluate, load
from isthmus.objectives import ImportanceWeightedBound

SETTINGS = {"hidden": (32,), "max_epochs": 15, "learning_rate": 5e-3, "batch_size": 50, "random_state": 0}


@pytest.fixture(scope="module")
def trained(digits) -> dict[int, IWAE]:
    return {k: IWAE(4, n_samples=k, **SETTINGS).fit(digits[:1000]) for k in (1, 10)}


def test_more_samples_in_training_make_a_better_likelihood(trained, digits):
    found = {k: model.score_samples(digits[1000:], 300) for k, model in trained.items()}
    gain = found[10] - found[1]
    assert gain.mean() > 4 * gain.std() / math.sqrt(len(gain))


def test_it_is_scored_by_the_bound_that_it_is_trained_on(trained, digits, tmp_path):
    X, model = digits[1000:1200], trained[10]
    scores = model.score_samples(X)
    np.testing.assert_array_equal(scores, model.score_samples(X, 10))
    measures = evaluate(model, X)
    assert measures["log_likelihood"].value == pytest.approx(scores.mean(), abs=1e-3)
    assert "10 importance samples" in measures["log_likelihood"].description
    assert measures["bound"].value < measures["log_likelihood"].value  # of one sample
    more = evaluate(model, X[:5], n_importance_samples=100, n_temperatures=2)
    assert "100 importance samples" in more["log_likelihood"].description
    assert "1000 importance samples" in evaluate(model, X[:5], n_temperatures=2)["annealed_gain"].description
    model.save(tmp_path)
    again = load(tmp_path)
    np.testing.assert_array_equal(again.score_samples(X), scores)
    again.set_params(n_samples=2)  # for a fit to come
    np.testing.assert_array_equal(again.score_samples(X), scores)


def test_its_loss_is_the_bound_and_one_sample_is_the_vae_s_with_the_landing_stuck(digits):
    one = IWAE(2, n_samples=1, **QUICK).fit(digits[:200])
    other = VAE(2, gradient="stl", **QUICK).fit(digits[:200])
    np.testing.assert_allclose(one.transform(digits), other.transform(digits), rtol=1e-3, atol=1e-4)
    for epoch, same in zip(one.history_, other.history_, strict=True):
        assert epoch["loss"] == pytest.approx(same["loss"], rel=1e-4)
    several = IWAE(2, n_samples=8, **QUICK).fit(digits[:200]).history_[-1]
    assert several["loss"] < several["distortion"] + several["rate"]


def test_gradients_are_those_of_the_objective():
    assert IWAE(2, n_samples=7)._objective() == ImportanceWeightedBound(7, "dreg")
    assert IWAE(2, gradient="score")._objective() == ImportanceWeightedBound(5, "score")
    with pytest.raises(ValueError, match="n_samples >= 1"):
        IWAE(2, n_samples=0).fit(np.eye(4))
    with pytest.raises(ValueError, match="gradient"):
        IWAE(2, gradient="doubly").fit(np.eye(4))

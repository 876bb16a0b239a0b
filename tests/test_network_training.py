"""Bayesian neural networks in the training loop: stopped and resumed, weights as repeated rows, draws of y."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import (
    BayesianNeuralNetwork,
    BayesianNeuralNetworkClassifier,
    DensityNetwork,
    DensityNetworkClassifier,
    GaussianMixture,
)
from isthmus.estimators import network_training
from isthmus.estimators.laplace_networks import fit_laplace
from isthmus.estimators.network_training import NetworkTraining
from isthmus.inference.weights import Classes, ConstantNoise, InputNoise, Network
from isthmus.inference.weights.laplace import curvatures
from isthmus.training import Interrupted, NonFiniteError, Rows

POSTERIORS = ("laplace", "last-layer", "mean-field", "ensemble", "dropout")


def bayesian(posterior: str = "laplace", **more):
    settings = {"posterior": posterior, "n_steps": 30, "n_rounds": 2, "random_state": 0} | more
    return BayesianNeuralNetwork((4,), **settings)


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.RandomState(0)
    X = generator.randn(60, 2)
    return X, 40 + 7 * np.sin(X[:, 0]) + generator.randn(60)


def stop_after(monkeypatch, n_calls: int, where: int = 5) -> None:
    """Let the user press Ctrl-C after some steps of the stage after `n_calls` others."""
    real, calls = network_training.fit, []

    def fit(model, objective, *arguments, **keywords):
        calls.append(0)
        if len(calls) <= n_calls:
            return real(model, objective, *arguments, **keywords)
        from isthmus.training import run

        class Stopped(run.Run):
            def _flags(self, interrupted):
                return self.state.step >= where, False

        monkeypatch.setattr("isthmus.training.loop.Run", Stopped)
        return real(model, objective, *arguments, **keywords)

    monkeypatch.setattr(network_training, "fit", fit)


@pytest.mark.parametrize(("posterior", "stage"), [("laplace", 1), ("mean-field", 0), ("ensemble", 3), ("dropout", 0)])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(posterior, stage, table, tmp_path, monkeypatch):
    """To the last digit, and without a seed: the run's own is found again."""
    X, y = table
    whole = bayesian(posterior).fit(X, y)
    with monkeypatch.context() as patch:
        stop_after(patch, stage)
        model = bayesian(posterior)
        with pytest.raises(Interrupted, match=rf"Stopped after step 5 of .*folder='{tmp_path}', resume=True"):
            model.fit(X, y, folder=tmp_path)
        assert not hasattr(model, "posterior_")
    again = bayesian(posterior, random_state=None).fit(X, y, folder=tmp_path, resume=True)
    assert again.seed_ == whole.seed_
    np.testing.assert_array_equal(again.predict(X), whole.predict(X))
    assert again.log_evidence_ == whole.log_evidence_
    # Finished parts are read: to fit once more trains nothing.
    done = bayesian(posterior).fit(X, y, folder=tmp_path, resume=True)
    np.testing.assert_array_equal(done.score_samples(X, y), whole.score_samples(X, y))


def test_without_resume_nothing_of_an_earlier_run_is_left(table, tmp_path):
    X, y = table
    bayesian(n_rounds=4).fit(X, y, folder=tmp_path)
    bayesian(n_rounds=2).fit(X, y, folder=tmp_path)
    kept = {path.name for path in tmp_path.glob("part-*") if list(path.glob("checkpoints/*"))}
    assert kept == {"part-01", "part-02", "part-03"}


@pytest.mark.filterwarnings("ignore:The cosine schedule")
@pytest.mark.parametrize("changed", [{"prior_precision": 2.0}, {"each_input": False}, {"n_steps": 40}])
def test_another_prior_or_length_does_not_go_on_with_a_run(changed, table, tmp_path):
    X, y = table
    bayesian().fit(X, y, folder=tmp_path)
    with pytest.raises(ValueError, match="Expected the (model|objective) that .* was trained with"):
        bayesian(**changed).fit(X, y, folder=tmp_path, resume=True)


@pytest.mark.parametrize("likelihood", [ConstantNoise(1), InputNoise(1), Classes(2)])
def test_a_weight_is_so_many_rows_in_the_curvature(likelihood):
    generator = torch.Generator().manual_seed(0)
    network = Network((2, 3, likelihood.n_outputs), "tanh")
    vector = network.initial(1, generator)[0].double()
    x = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    weight, noise = torch.tensor([2, 1, 0, 3, 1]), torch.zeros(likelihood.n_noise, dtype=torch.float64)
    repeated = curvatures(network, likelihood, vector, noise, x.repeat_interleave(weight, 0))
    torch.testing.assert_close(curvatures(network, likelihood, vector, noise, x, weight=weight), repeated)


@pytest.mark.parametrize("last_layer", [False, True])
def test_a_weight_is_so_many_rows_in_laplace_s_evidence_and_posterior(last_layer):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    y = x[:, :1] + 0.3 * torch.randn(20, 1, generator=generator, dtype=torch.float64)
    weight = torch.randint(1, 4, (20,), generator=generator)
    network, training = Network((2, 3, 1), "tanh"), NetworkTraining(n_steps=60)
    rows = (
        Rows(x, weight=weight.double(), target=y),
        Rows(x.repeat_interleave(weight, 0), target=y.repeat_interleave(weight, 0)),
    )
    ours, theirs = (
        fit_laplace(network, ConstantNoise(1), each, training, n_rounds=3, last_layer=last_layer) for each in rows
    )
    for found, expected in zip(ours[:5], theirs[:5], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_a_row_of_no_weight_is_as_if_it_were_not_there(posterior, table):
    X, y = table
    weight = np.ones(60)
    weight[50:] = 0
    model = bayesian(posterior).fit(X, np.where(weight > 0, y, 1e6), sample_weight=weight)
    np.testing.assert_allclose(model.predict(X), bayesian(posterior).fit(X[:50], y[:50]).predict(X), rtol=1e-5)


def test_classes_are_weighed_and_draws_have_their_shares(table):
    X, y = table
    labels = np.where(y > 40, "high", "low")
    settings = {"n_steps": 40, "n_rounds": 2, "random_state": 0}
    plain = BayesianNeuralNetworkClassifier((4,), **settings).fit(X, labels)
    leaning = BayesianNeuralNetworkClassifier((4,), **settings).fit(
        X, labels, sample_weight=np.where(labels == "low", 20.0, 1.0)
    )
    assert (leaning.predict_proba(X)[:, 1] > plain.predict_proba(X)[:, 1]).mean() > 0.9
    for model in (plain, DensityNetworkClassifier((), max_epochs=2, random_state=0).fit(X, labels)):
        draws = model.sample(X, 4000)
        assert draws.shape == (4000, 60)
        shares, p = (draws == "low").mean(0), model.predict_proba(X)[:, 1]
        assert (np.abs(shares - p) < 5 * np.sqrt(p * (1 - p) / 4000) + 1e-3).all()


@pytest.mark.parametrize("make", [bayesian, lambda: bayesian("ensemble", noise="input"), lambda: DensityNetwork(
    (4,), n_components=2, max_epochs=3, random_state=0)], ids=["laplace", "ensemble", "mixture"])  # fmt: skip
@pytest.mark.parametrize("n_targets", [1, 2])
def test_draws_of_y_have_the_moments_of_the_predicted_distribution(make, n_targets, table):
    X, y = table
    Y = y if n_targets == 1 else np.stack([y, -y + X[:, 1]], axis=1)
    model, n = make().fit(X, Y), 4000
    before = torch.get_rng_state()
    draws = model.sample(X[:7], n, random_state=3)
    assert torch.equal(before, torch.get_rng_state())
    assert draws.shape == (n, *Y[:7].shape)
    p = model.predict_distribution(X[:7])
    means, variances = p.mean.numpy(), p.variance.numpy()
    assert (np.abs(draws.mean(0) - means) < 5 * np.sqrt(variances / n)).all()
    fourth = np.square(np.square(draws - means)).mean(0)
    assert (np.abs(np.square(draws - means).mean(0) - variances) < 5 * np.sqrt(fourth / n)).all()
    np.testing.assert_array_equal(model.sample(X[:7], n, random_state=3), draws)
    assert not np.array_equal(model.sample(X[:7], n, random_state=4), draws)
    np.testing.assert_array_equal(model.sample(X[:7], 2), model.sample(X[:7], 2))  # by the estimator's own seed
    for bad in (0, 1.5):
        with pytest.raises(ValueError, match="Expected n_samples >= 1"):
            model.sample(X, bad)


def test_validation_rows_are_measured_and_progress_is_shown(table, capsys):
    X, y = table
    model = bayesian(verbose=True).fit(X[:40], y[:40], validation=(X[40:], y[40:]))
    assert all(np.isfinite(record["validation"]) for record in model.history_)
    shown = capsys.readouterr().err
    assert "BayesianNeuralNetwork, round 1 of 3: step 12 of 12" in shown
    with pytest.raises(ValueError, match=r"Expected validation as a pair \(X, y\)"):
        bayesian().fit(X, y, validation=X)


@pytest.mark.parametrize("model", [bayesian(), DensityNetwork((4,), max_epochs=1), GaussianMixture()], ids=repr)
def test_targets_and_weights_that_cannot_be_written_to_are_no_cause_to_warn(model, table):
    """As columns of frames can't; torch warns once a process, and here each time."""
    X, y = table
    for column in (weight := np.ones(len(y)), y := y.copy()):
        column.flags.writeable = False
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        model.fit(X, y, sample_weight=weight)
        if not isinstance(model, GaussianMixture):
            assert np.isfinite(model.score_samples(X, y)).all()
            assert len(model.calibration(X, y).coverage) > 0
            model.fit(X, y, validation=(X, y))
    finally:
        torch.set_warn_always(always)


def test_rounds_count_their_epochs_and_steps_from_the_first(table):
    """Reports have losses over epochs."""
    history = bayesian(n_steps=50, n_rounds=4).fit(*table).history_
    assert [record["step"] for record in history] == [10, 20, 30, 40, 50]
    assert [record["epoch"] for record in history] == [9, 19, 29, 39, 49]


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_training_that_diverges_says_so_and_leaves_the_estimator_as_it_was(posterior, table):
    X, y = table
    model = bayesian(posterior).fit(X, y)
    before = model.predict(X)
    model.set_params(learning_rate=1e30)
    with pytest.raises(NonFiniteError, match="smaller learning_rate"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict(X), before)

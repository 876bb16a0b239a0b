"""The pre-trained classifier: what each kind of pre-training changes and what not, labels of every kind, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from estimator_cases import pixel_images, real_table
from isthmus import Conditional, DenoisingAutoencoder, PretrainedClassifier, Settings, StackedAutoencoder, evaluate, fit
from isthmus.estimators.training_parameters import fit as fit_network
from isthmus.heads import CategoricalHead, FixedGaussianHead
from isthmus.model import Batch
from isthmus.nets import MLP
from isthmus.objectives import Denoising, NegativeLogLikelihood
from isthmus.training import Interrupted, Rows

GREY = (pixel_images() / 255).reshape(-1, 64)
DIGIT = load_digits().target[:100]
SMALL = {"hidden": (12, 8), "layer_epochs": 2, "max_epochs": 2, "random_state": 0}


def state(model: PretrainedClassifier) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.model_.state_dict().items()}


# --- scikit-learn's own view ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # the checks warn of what they skip
@pytest.mark.parametrize("pretraining", ["supervised", pytest.param("unsupervised", marks=pytest.mark.slow)])
def test_scikit_learn_s_own_checks(pretraining):
    expected = {"check_sample_weight_equivalence_on_dense_data": "repeated rows fall into other batches"}
    model = PretrainedClassifier((32,), pretraining=pretraining, layer_epochs=2, learning_rate=0.01)
    results = check_estimator(model, expected_failed_checks=expected, on_fail=None, on_skip=None)
    assert {result["check_name"] for result in results if result["status"] == "failed"} == set()
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(expected)
    assert len([result for result in results if result["status"] == "passed"]) > 50


def test_whole_numbers_of_weight_are_repeated_rows_where_nothing_is_random():
    weight = np.arange(100) % 3
    model = PretrainedClassifier(**SMALL | {"batch_size": 1000}, pretraining="supervised")
    weighted = clone(model).fit(GREY, DIGIT, sample_weight=weight).predict_proba(GREY)
    repeated = clone(model).fit(np.repeat(GREY, weight, axis=0), np.repeat(DIGIT, weight)).predict_proba(GREY)
    np.testing.assert_allclose(weighted, repeated, atol=1e-5)
    assert np.abs(weighted - clone(model).fit(GREY, DIGIT).predict_proba(GREY)).max() > 1e-3


def test_in_a_pipeline_and_a_search():
    pipeline = make_pipeline(StandardScaler(), PretrainedClassifier(**SMALL, layer=DenoisingAutoencoder()))
    strengths = {"pretrainedclassifier__layer__strength": [0.1, 0.5]}
    search = GridSearchCV(pipeline, strengths, cv=2).fit(GREY, DIGIT > 4)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# --- what pre-training does -------------------------------------------------------------------------


def test_none_is_a_plain_network_trained_by_fit():
    model = PretrainedClassifier(**SMALL, pretraining="none").fit(GREY, DIGIT)
    seed = model._seed(None)
    torch.manual_seed(seed)
    plain = Conditional(MLP(64, (12, 8), "sigmoid"), CategoricalHead(8, 1, n_classes=10))
    rows = Rows(torch.from_numpy(GREY), target=torch.eye(10)[DIGIT])
    history = fit(plain, NegativeLogLikelihood(), rows, Settings(max_epochs=2, seed=seed))
    expected = {name: tensor.numpy().tobytes() for name, tensor in plain.state_dict().items()}
    assert state(model) == expected
    assert [record["loss"] for record in model.history_] == [record["loss"] for record in history]
    assert model.layers_ == []


@pytest.mark.parametrize("pretraining", ["supervised", "unsupervised"])
def test_fine_tuning_begins_with_the_layers_as_they_were_trained(pretraining, monkeypatch):
    """And each layer leaves those below as they are, bit for bit."""
    trained, before = [], []

    class Stop(Exception):
        pass

    def watched(model, *arguments, title="", **keywords):
        if title == "PretrainedClassifier":
            begun.update({name: tensor.clone() for name, tensor in model.net.state_dict().items()})
            raise Stop
        before.append([part.tobytes() for below in trained for part in below])
        history = fit_network(model, *arguments, title=title, **keywords)
        net = model.encoder if hasattr(model, "encoder") else model.net
        trained.append([tensor.numpy() for tensor in net.state_dict().values()])
        return history

    begun: dict[str, torch.Tensor] = {}
    monkeypatch.setattr("isthmus.estimators.training_parameters.fit", watched)
    model = PretrainedClassifier(**SMALL, pretraining=pretraining)
    with pytest.raises(Stop):
        model.fit(GREY, DIGIT)
    with pytest.raises(NotFittedError):
        model.predict(GREY)
    assert len(trained) == 2
    assert before[1] == [part.tobytes() for part in trained[0]]
    parts = [part.tobytes() for below in trained for part in below]
    assert [tensor.numpy().tobytes() for tensor in begun.values()] == parts


def test_layers_without_labels_are_those_of_a_stacked_autoencoder():
    stack = StackedAutoencoder(8, **SMALL | {"hidden": (12,)}, layer="denoising", code_activation="sigmoid").fit(GREY)
    model = PretrainedClassifier(**SMALL).fit(GREY, DIGIT)
    assert [layer["kind"] for layer in model.layers_] == ["DenoisingAutoencoder"] * 2
    losses = [[[epoch["loss"] for epoch in layer["history"]] for layer in m.layers_] for m in (stack, model)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("pretraining", ["none", "supervised", "unsupervised"])
def test_rows_without_labels_take_part_in_pre_training_without_labels_alone(pretraining):
    y = np.where(np.arange(100) < 60, DIGIT, -1)
    model = PretrainedClassifier(**SMALL, pretraining=pretraining)
    few, all_rows = clone(model).fit(GREY[:60], DIGIT[:60]), clone(model).fit(GREY, y)
    assert all_rows.classes_.tolist() == few.classes_.tolist()  # -1 is none
    assert (state(few) == state(all_rows)) == (pretraining != "unsupervised")
    # What is learned of labels sees the labelled rows alone: with the same hidden layers, the loss is the same.
    if pretraining == "unsupervised":
        assert few.layers_[0]["history"] != all_rows.layers_[0]["history"]
        x, target = torch.from_numpy(GREY[:60]).float(), torch.eye(10)[DIGIT[:60]]
        objective = NegativeLogLikelihood()
        with torch.no_grad():
            alone = objective(all_rows.model_, Batch(x, target)).value.mean()
            zeros = objective(all_rows.model_, Batch(x, torch.zeros(60, 10))).value
        assert not zeros.any()  # no label, no loss
        rows = -all_rows.predict_log_proba(GREY[:60])[np.arange(60), DIGIT[:60]]
        assert float(alone) == pytest.approx(rows.mean(), rel=1e-5)
        assert all_rows.history_[0]["step"] == 1  # 60 rows are one batch; all 100 as well, so:
        batches = clone(all_rows).set_params(batch_size=30).fit(GREY, y)
        assert (batches.history_[0]["step"], batches.layers_[0]["history"][0]["step"]) == (2, 4)


# --- probabilities, objective, measures -------------------------------------------------------------


def test_probabilities_and_measures_are_scikit_learn_s(tmp_path):
    model = PretrainedClassifier(**SMALL | {"max_epochs": 30, "learning_rate": 0.02}).fit(GREY[:80], DIGIT[:80])
    X, y = GREY[80:], DIGIT[80:]
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[probabilities.argmax(axis=1)])
    for rows in ([0], [3, 4, 5], [*range(20)][::-1]):
        np.testing.assert_allclose(model.predict_proba(X[rows]), probabilities[rows], atol=1e-7)
    measures = evaluate(model, X, y)
    assert measures["accuracy"].value == model.score(X, y)
    assert measures["error"].value == pytest.approx(1 - model.score(X, y))
    assert measures["log_loss"].value == pytest.approx(log_loss(y, probabilities, labels=model.classes_), rel=1e-9)
    rows = -np.log(probabilities[np.arange(20), y])
    assert measures["log_loss"].standard_error == pytest.approx(rows.std(ddof=1) / np.sqrt(20))
    some = evaluate(model, X, np.where(np.arange(20) < 15, y, -1))
    assert some["accuracy"].value == model.score(X[:15], y[:15])
    assert some.notes == ("5 rows without a label were left out.",)
    for wrong, words in (
        (None, "Expected labels to measure"),
        (y + 20, "Expected labels among"),
        (y[:3], "one label a row"),
        (y[:, None], r"one label a row, got labels \(20, 1\) for 20 rows"),
    ):
        with pytest.raises(ValueError, match=words):
            evaluate(model, X, wrong)


def test_the_objective_of_conditionals():
    """Of classes and of real numbers; combinators around it work; a model with a latent variable is refused."""
    torch.manual_seed(0)
    x, y = torch.randn(6, 4), torch.randn(6, 2)
    regression = Conditional(MLP(4, (5,)), FixedGaussianHead(5, 2, scale=0.5))
    value = NegativeLogLikelihood()(regression, Batch(x, y)).value
    expected = torch.distributions.Normal(regression(x).mean, 0.5).log_prob(y).sum(1)
    torch.testing.assert_close(value, -expected)
    noisy = Denoising(NegativeLogLikelihood(), torch.zeros_like)(regression, Batch(x, y)).value
    torch.testing.assert_close(noisy, NegativeLogLikelihood()(regression, Batch(torch.zeros_like(x), y)).value)
    linear = Conditional(torch.nn.Identity(), FixedGaussianHead(4, 1))
    target = (x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])).repeat(20, 1)
    rows = Rows(x.repeat(20, 1), target=target)
    history = fit(linear, NegativeLogLikelihood(), rows, Settings(max_epochs=150, learning_rate=0.1))
    assert history[-1]["loss"] == pytest.approx(0.5 * np.log(2 * np.pi), abs=1e-3)  # only the constant is left
    autoencoder = StackedAutoencoder(2, hidden=(), layer_epochs=1, max_epochs=1).fit(GREY).model_
    with pytest.raises(TypeError, match="Expected a Conditional"):
        NegativeLogLikelihood()(autoencoder, Batch(torch.rand(2, 64), torch.rand(2, 64)))


def test_images_units_and_frames():
    images = pixel_images()
    model = PretrainedClassifier(**SMALL).fit(images, DIGIT)
    assert model.feature_shape_ == (8, 8)
    np.testing.assert_allclose(
        model.predict_proba(images), PretrainedClassifier(**SMALL).fit(GREY, DIGIT).predict_proba(GREY), atol=1e-5
    )
    assert list(model.get_feature_names_out()) == [f"pretrainedclassifier{i}" for i in range(8)]
    assert model.set_output(transform="pandas").transform(images).shape == (100, 8)
    assert "10" in model._facts()["classes"]
    assert "epochs" in model._repr_html_()
    assert not hasattr(model, "sample")
    assert not hasattr(model, "inverse_transform")


# --- runs and files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pretraining", ["supervised", "unsupervised"])
def test_runs_resume_by_layer(pretraining, tmp_path, monkeypatch):
    model = PretrainedClassifier(**SMALL, pretraining=pretraining)
    whole = clone(model).fit(GREY, DIGIT)

    def stopped(model, *arguments, title="", folder=None, **keywords):
        if title == "PretrainedClassifier" or "layer 2" in title:
            raise Interrupted(f"isthmus train --resume --out {folder}")
        return fit_network(model, *arguments, title=title, folder=folder, **keywords)

    with monkeypatch.context() as interrupted:
        interrupted.setattr("isthmus.estimators.training_parameters.fit", stopped)
        with pytest.raises(Interrupted, match=f"--out {tmp_path}$"):
            model.fit(GREY, DIGIT, folder=tmp_path)
    first = (tmp_path / "layer-1" / "metrics.jsonl").read_text()
    assert state(model.fit(GREY, DIGIT, folder=tmp_path, resume=True)) == state(whole)
    assert (tmp_path / "layer-1" / "metrics.jsonl").read_text() == first
    assert [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        record["loss"] for record in whole.history_
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": (0,)}, "Expected widths >= 1"),
        ({"pretraining": "some"}, "Expected pretraining as one of"),
        ({"layer": ("rbm",)}, "Expected a kind for each of 2 layers"),
        ({"layer": "rbm", "activation": "relu"}, "Expected activation 'sigmoid'"),
        ({"layer_epochs": 0}, "Expected layer_epochs >= 1"),
        ({"sharded": True}, "Expected layers in one piece"),
        ({"hidden": (10**12,)}, "Expected .*memory|weights"),
    ],
)
def test_parameters_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        PretrainedClassifier(**SMALL | options).fit(real_table(), np.arange(120) % 2)

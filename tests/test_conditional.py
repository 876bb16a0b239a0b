"""ConditionalVAE: what it is told counts, exactly as the model says; what it is not told is an error."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from estimator_cases import QUICK, real_table
from isthmus import VAE, ConditionalVAE
from isthmus.estimators.conditions import Conditions
from isthmus.evaluation import bound

TABLE = real_table()
LABELS = np.array(["cat", "dog", "emu"])[np.arange(len(TABLE)) % 3]
VECTORS = np.column_stack((np.arange(len(TABLE)) % 3, np.sin(np.arange(len(TABLE)))))
NUMBERS = np.arange(len(TABLE)) % 3


def make(n: int = 2, **more) -> ConditionalVAE:
    return ConditionalVAE(n, **QUICK | more)


# --- against models that are known -----------------------------------------------------------------


def linear_gaussian(X: np.ndarray, y: np.ndarray, noise: float = 0.5) -> tuple[ConditionalVAE, Tensor, Tensor]:
    """p(x|z, y) = N(W z + V y, noise^2 I) in the model's units, with its exact posterior; the columns of W don't meet.

    Then the posterior has independent dimensions, N(W' (x - V y) / (w^2 + noise^2), noise^2 / (w^2 + noise^2)) with w
    a column's length: the encoder is linear in x and y.
    """
    model = make(2, hidden=(), likelihood="gaussian", max_epochs=1).fit(X, y)
    generator = torch.Generator().manual_seed(0)
    W = torch.linalg.qr(torch.randn(6, 2, generator=generator))[0] * torch.tensor([1.5, 0.7])
    V = torch.randn(6, 3, generator=generator)
    squared = W.square().sum(0)
    gain = W.T / (squared + noise**2)[:, None]
    scale = noise / (squared + noise**2).sqrt()

    def before_floor(scale: Tensor) -> Tensor:  # the inverse of `bounded_log_scale`
        return torch.log(torch.expm1(scale.double().log() + 7.0)).float() - 7.0

    encoder, decoder = model.model_.encoder.head.project, model.model_.decoder.head
    with torch.no_grad():
        encoder.weight.copy_(torch.cat((torch.cat((gain, -gain @ V), dim=1), torch.zeros(2, 9))))
        encoder.bias.copy_(torch.cat((torch.zeros(2), before_floor(scale))))
        decoder.project.weight.copy_(torch.cat((W, V), dim=1))
        decoder.project.bias.zero_()
        decoder.log_scale.copy_(before_floor(torch.full((6,), noise)))
    covariance = (W @ W.T + noise**2 * torch.eye(6)).double()
    return model, V.double(), covariance


def log_p(model: ConditionalVAE, X: np.ndarray, y: np.ndarray, V: Tensor, covariance: Tensor) -> np.ndarray:
    """log p(x|y) in units of the data."""
    means = model.to_condition(y, len(X)).double() @ V.T
    density = torch.distributions.MultivariateNormal(means, covariance)
    return density.log_prob(model.to_tensor(X).double()).numpy() - X.shape[1] * model.log_scale_


def test_with_the_exact_posterior_the_bound_is_log_p_of_x_given_y():
    model, V, covariance = linear_gaussian(TABLE, LABELS)
    for y in (LABELS, LABELS[::-1], "emu"):
        exact = log_p(model, TABLE, y, V, covariance)
        # Every importance weight is p(x|y): one is as good as many.
        for k in (1, 7):
            np.testing.assert_allclose(model.score_samples(TABLE, k, conditions=y), exact, atol=1e-3)
    draws = [model_bound(model, TABLE, LABELS, seed) for seed in range(40)]
    error = np.std(draws, axis=0) / math.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - log_p(model, TABLE, LABELS, V, covariance)) < 5 * error + 1e-3).all()


def model_bound(model: ConditionalVAE, X: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    found = bound(model.model_, model.to_tensor(X), 50, condition=model.to_condition(y, len(X)), seed=seed)
    return found.bound.numpy() - X.shape[1] * model.log_scale_


def test_with_another_posterior_the_bound_is_short_by_its_divergence():
    model, V, covariance = linear_gaussian(TABLE, LABELS)
    exact = log_p(model, TABLE, LABELS, V, covariance)
    encoder = model.model_.encoder.head.project
    with torch.no_grad():
        encoder.bias[0] += 0.5  # the mean of one dimension moves
    scale = model.posterior(TABLE, LABELS)[1][:, 0]
    draws = [model_bound(model, TABLE, LABELS, seed) for seed in range(40)]
    error = np.std(draws, axis=0) / math.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - (exact - 0.5 * (0.5 / scale) ** 2)) < 5 * error + 1e-3).all()
    assert (np.mean(draws, axis=0) < exact).all()


def test_with_one_condition_for_all_it_is_the_vae_of_the_same_weights():
    model = make().fit(TABLE, np.zeros(len(TABLE)))
    vae = VAE(2, **QUICK).fit(TABLE)
    weights = dict(model.model_.state_dict())
    for part in ("encoder", "decoder"):  # what the condition adds is part of the bias
        weight = weights[f"{part}.net.0.0.weight"]
        weights[f"{part}.net.0.0.bias"] = weights[f"{part}.net.0.0.bias"] + weight[:, -1]
        weights[f"{part}.net.0.0.weight"] = weight[:, :-1]
    vae.model_.load_state_dict(weights)
    close = {"rtol": 1e-5, "atol": 1e-5}
    codes = vae.transform(TABLE)
    np.testing.assert_allclose(model.transform(TABLE, 0), codes, **close)
    np.testing.assert_allclose(model.posterior(TABLE, 0), vae.posterior(TABLE), **close)
    np.testing.assert_allclose(model.inverse_transform(codes, 0), vae.inverse_transform(codes), **close)
    np.testing.assert_allclose(model.reconstruct(TABLE, 0), vae.reconstruct(TABLE), **close)
    np.testing.assert_allclose(model.squared_error(TABLE, 0), vae.squared_error(TABLE), rtol=1e-4)
    np.testing.assert_allclose(model.sample(9, conditions=0), vae.sample(9), **close)
    for k in (0, 3):
        np.testing.assert_allclose(
            model.score_samples(TABLE, k, conditions=0), vae.score_samples(TABLE, k), rtol=1e-4, atol=1e-4
        )


# --- the condition is used -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="module")
def trained(digits) -> ConditionalVAE:
    X, y = digits
    settings = {"hidden": (128,), "max_epochs": 30, "batch_size": 64, "learning_rate": 3e-3, "random_state": 0}
    return ConditionalVAE(4, **settings).fit(X[:1400], y[:1400])


def test_other_labels_than_its_own_make_a_row_less_likely(trained, digits):
    X, y = digits[0][1400:], digits[1][1400:]
    gain = trained.score_samples(X, conditions=y) - trained.score_samples(X, conditions=(y + 1) % 10)
    assert gain.mean() > 10 * gain.std() / math.sqrt(len(gain))
    assert (trained.squared_error(X, y) < trained.squared_error(X, (y + 1) % 10)).mean() > 0.8


def test_a_classifier_of_real_digits_recognises_the_class_that_was_asked_for(trained, digits):
    X, y = digits
    classifier = LogisticRegression(max_iter=300).fit(X[:1400], y[:1400])
    assert classifier.score(X[1400:], y[1400:]) > 0.9  # it knows real ones
    wanted = np.repeat(np.arange(10), 50)
    drawn = trained.sample(500, random_state=1, conditions=wanted)
    assert (classifier.predict(drawn) == wanted).mean() > 0.9
    for digit in (0, 7):  # one for all is each one's
        again = trained.sample(500, random_state=1, conditions=digit)
        np.testing.assert_array_equal(again[wanted == digit], drawn[wanted == digit])
    # Real rows keep their style and become another digit.
    changed = trained.inverse_transform(trained.transform(X[1400:], y[1400:]), conditions=4)
    assert (classifier.predict(changed) == 4).mean() > 0.9


@pytest.mark.slow
def test_mnist_samples_are_recognised(mnist):
    """The settings of docs/models/conditional-vae.md."""
    X, y, X_test, y_test = (mnist[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    classifier = MLPClassifier((128,), max_iter=5, early_stopping=True, validation_fraction=0.1, random_state=0)
    with pytest.warns(ConvergenceWarning):  # it has not converged, and need not
        classifier.fit(X.reshape(-1, 784) / 255, y)
    assert classifier.score(X_test.reshape(-1, 784) / 255, y_test) > 0.96
    model = ConditionalVAE(4, hidden=(256,), max_epochs=8, learning_rate=3e-3, random_state=0).fit(X, y)
    wanted = np.repeat(np.arange(10), 200)
    drawn = model.sample(2000, random_state=0, conditions=wanted).reshape(-1, 784) / 255
    assert (classifier.predict(drawn) == wanted).mean() > 0.9


# --- conditions in every form, and errors ----------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [list, tuple, pd.Series, pl.Series, pd.Categorical, lambda y: y.astype(object), lambda y: pd.array(y.tolist()),
     lambda y: np.char.encode(y) if y.dtype.kind == "U" else torch.tensor(y)],
)  # fmt: skip
@pytest.mark.parametrize("labels", [LABELS, np.arange(120) % 3, np.arange(120) % 3 - 5.0, np.arange(120) % 2 == 0])
def test_labels_in_any_container_are_the_same_labels(labels, form):
    expected = Conditions.of(labels)
    assert expected.width == len(np.unique(labels))
    found = Conditions.of(form(labels))
    assert found.classes.tolist() == expected.classes.tolist() == np.unique(labels).tolist()
    one_hot = found.as_tensor(form(labels), len(labels))
    assert torch.equal(one_hot, torch.from_numpy(labels[:, None] == found.classes).float())
    label = form(labels[:1])[0] if form is not pl.Series else labels[0]
    assert torch.equal(found.as_tensor(label, 3), one_hot[:1].expand(3, -1))


def test_vectors_are_told_as_they_are():
    kind = Conditions.of(pd.DataFrame(VECTORS))
    assert kind.classes is None
    assert kind.width == 2
    np.testing.assert_array_equal(kind.as_tensor(VECTORS, 120), VECTORS.astype(np.float32))
    np.testing.assert_array_equal(kind.as_tensor([1, 2], 3), [[1, 2]] * 3)


@pytest.mark.parametrize(
    ("y", "error"),
    [
        (["a", None, "b"], "missing one in row 1"),
        ([1.0, math.nan], "in row 1"),
        (pd.Series([1, None, 2], dtype="Int64"), "in row 1"),
        (["a", math.nan], "missing one in row 1"),
        ([[1.0], [2.0, 3.0]], "numbers or text, got list"),
        ([[1.0, 2.0], [3.0, math.inf]], "in row 1"),
        (np.sin(np.arange(9)), r"real numbers; use y\[:, None\]"),
        (["a", 1], "numbers or text, got int, str"),
        (np.array(["2020-01-01"], "datetime64[D]"), "numbers or text"),
        (np.ones((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        (np.ones((3, 0)), r"got shape \(3, 0\)"),
        ([["a"], ["b"]], "numbers in two dimensions, got text"),
        ([[1e300]], "float32 can hold"),
        (3, r"got shape \(\)"),
        ([], r"got shape \(0,\)"),
    ],
)
def test_what_is_no_condition_is_refused(y, error):
    with pytest.raises((ValueError, TypeError), match=error):
        Conditions.of(y)


@pytest.mark.parametrize(
    ("y", "unknown"), [(LABELS, "cow"), (NUMBERS, 7), (NUMBERS, "cat"), (VECTORS, np.ones((120, 3)))]
)
def test_a_missing_or_unknown_condition_is_an_error_wherever_one_is_needed(y, unknown):
    model = make().fit(TABLE, y)
    codes = model.transform(TABLE, y)
    with pytest.raises(ValueError, match=r"Expected y, a label or a vector for each row, got None.*use VAE"):
        make().fit(TABLE)
    with pytest.raises(ValueError, match="one label or vector a row in y, got 119 for 120 rows"):
        make().fit(TABLE, y[1:])
    methods = ("transform", "reconstruct", "squared_error", "posterior", "score_samples", "fit_prior")
    arguments = {name: TABLE for name in methods} | {"inverse_transform": codes, "sample": 120}
    for name, argument in arguments.items():
        method = getattr(model, name)
        with pytest.raises(ValueError, match=r"Expected a (label|vector of 2 numbers) as conditions, got None"):
            method(argument)
        with pytest.raises(
            ValueError, match=r"Expected (labels known from fit, .*got|labels as numbers|a vector of 2)"
        ):
            method(argument, conditions=unknown)
        with pytest.raises(ValueError, match="for each of 120 rows, or one for all, got"):
            method(argument, conditions=y[:7])
    with pytest.raises(ValueError, match="as conditions, got None"):
        model.score(TABLE)
    assert model.score(TABLE, y) == np.mean(model.score_samples(TABLE, conditions=y))

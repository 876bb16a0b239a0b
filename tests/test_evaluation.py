"""Measures: against published figures, closed forms and scikit-learn, and as every estimator reports them."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import decomposition
from sklearn.datasets import load_digits

from isthmus.distributions import normal
from isthmus.estimators import PCA, VAE, Autoencoder
from isthmus.evaluation import (
    Evaluation,
    Mean,
    Measure,
    active_units,
    evaluate,
    probe_accuracy,
    reconstruction_error,
)
from isthmus.model import LatentVariableModel
from isthmus.priors import StandardNormal

QUICK = {"hidden": (16,), "max_epochs": 2, "random_state": 0, "compile": False, "device": "cpu"}
LABELS = load_digits().target
TRAIN, TEST = slice(0, 600), slice(600, 1000)


@pytest.fixture(scope="module")
def fitted(digits: np.ndarray) -> dict:
    X = digits[TRAIN]
    return {
        "pca": PCA(n_components=5).fit(X),
        "autoencoder": Autoencoder(n_components=5, **QUICK).fit(X),
        "vae": VAE(n_components=5, **QUICK).fit(X),
        "gaussian vae": VAE(n_components=5, likelihood="gaussian", **QUICK).fit(X),
    }


# --- reconstruction ------------------------------------------------------------------------


def test_squared_errors_are_summed_over_features_of_any_shape():
    x = np.random.default_rng(0).random((6, 2, 3, 4))
    error = reconstruction_error(x, x + 0.5)
    assert error.squared_error == pytest.approx(np.full(6, 24 / 4))
    assert error.n_features == 24
    assert error.mean == pytest.approx((6.0, 0.0))
    assert error.per_feature.value == pytest.approx(0.25)


def test_units_and_shapes_that_do_not_fit_are_refused():
    pixels = np.array([[200, 10]], dtype=np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        reconstruction_error(pixels, np.zeros((1, 2)))
    with pytest.raises(ValueError, match="shape"):
        reconstruction_error(np.zeros((3, 1)), np.zeros((3, 4)))


# --- representation ------------------------------------------------------------------------


def test_active_units_are_those_whose_mean_varies():
    rows = np.random.default_rng(0).standard_normal((2000, 3))
    assert active_units(rows * [1.0, 0.2, 0.05] + 7).tolist() == [True, True, False]
    assert active_units(rows * [1.0, 0.2, 0.05], threshold=0.5).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="n_components"):
        active_units(np.zeros(4))


@pytest.mark.parametrize("kind", ["logistic", "neighbours"])
def test_probes_see_classes_whatever_the_scale(kind):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    codes = random.standard_normal((400, 2)) + np.c_[8.0 * labels, np.zeros(400)]
    codes *= [1e-3, 1e3]  # the class is in the small dimension
    accuracy = probe_accuracy(codes[:200], labels[:200], codes[200:], labels[200:], kind)
    assert accuracy.value > 0.99
    chance = probe_accuracy(codes[:200], random.permutation(labels[:200]), codes[200:], labels[200:], kind)
    assert abs(chance.value - 0.5) < 0.2
    assert chance.standard_error == pytest.approx(math.sqrt(chance.value * (1 - chance.value) / 199))


def test_a_ring_is_seen_by_neighbours_only():
    random = np.random.default_rng(0)
    codes = random.standard_normal((600, 2))
    labels = (codes**2).sum(1) > 1.4
    split = (codes[:300], labels[:300], codes[300:], labels[300:])
    assert probe_accuracy(*split, "neighbours").value > 0.9
    assert probe_accuracy(*split, "logistic").value < 0.7
    with pytest.raises(ValueError, match="logistic"):
        probe_accuracy(*split, "forest")  # type: ignore[arg-type]


# --- evaluate ------------------------------------------------------------------------------

ALL = ["squared_error", "squared_error_per_feature"]
PROBES = ["logistic_accuracy", "neighbours_accuracy"]
BOUNDS = ["bound", "distortion", "rate"]
SAMPLED = ["log_likelihood", "effective_sample_size"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pca", [*ALL, "log_likelihood", *PROBES]),
        ("autoencoder", [*ALL, *PROBES]),
        ("vae", [*ALL, *BOUNDS, *SAMPLED, "active_units", *PROBES]),
    ],
)
def test_each_estimator_has_the_measures_it_can_have(fitted, digits, name, expected):
    data = {"X_train": digits[TRAIN], "y_train": LABELS[TRAIN]}
    evaluation = evaluate(fitted[name], digits[TEST], LABELS[TEST], **data, n_importance_samples=50)
    assert [measure.name for measure in evaluation] == expected
    for measure in evaluation:
        assert math.isfinite(measure.value)
        assert measure.description
        assert "\n" not in measure.description
        assert (measure.standard_error is None) == (measure.name == "active_units")
    assert {measure.unit for measure in evaluation if measure.name in PROBES} == {"accuracy"}
    assert evaluation["logistic_accuracy"].value > 0.3  # ten classes
    none = "log_likelihood: none. A deterministic code has no density, so there is no bound on log p(x); a VAE has one."
    assert evaluation.notes == ((none,) if name == "autoencoder" else ())


def test_errors_are_those_of_scikit_learn(fitted, digits):
    evaluation = evaluate(fitted["pca"], digits[TEST])
    reference = decomposition.PCA(5, svd_solver="full").fit(digits[TRAIN].astype(float))
    X = digits[TEST].astype(float)
    errors = ((X - reference.inverse_transform(reference.transform(X))) ** 2).sum(1)
    assert evaluation["squared_error"].value == pytest.approx(errors.mean(), rel=1e-5)
    assert evaluation["squared_error"].standard_error == pytest.approx(errors.std(ddof=1) / 20, rel=1e-5)
    assert evaluation["squared_error_per_feature"].value == pytest.approx(errors.mean() / 64, rel=1e-5)
    assert evaluation["log_likelihood"].value == pytest.approx(reference.score(X), rel=1e-4)


def test_bounds_are_ordered_and_add_up(fitted, digits):
    evaluation = evaluate(fitted["vae"], digits[TEST], n_importance_samples=500)
    value = {measure.name: measure.value for measure in evaluation}
    assert value["bound"] == pytest.approx(-value["distortion"] - value["rate"])
    assert value["bound"] < value["log_likelihood"]
    assert 1 <= value["effective_sample_size"] <= 500
    assert value["bound"] == pytest.approx(fitted["vae"].score(digits[TEST]))


def test_densities_are_in_units_of_the_data(digits):
    """Data ten times as large have densities of 10^-F: the bound falls by F log 10."""
    small, large = (
        evaluate(VAE(n_components=2, likelihood="gaussian", **QUICK).fit(scale * digits[TRAIN]), scale * digits[TEST],
                 n_importance_samples=20)
        for scale in (1.0, 10.0)
    )  # fmt: skip
    for name, sign in (("bound", -1), ("log_likelihood", -1), ("distortion", 1), ("rate", 0)):
        difference = large[name].value - small[name].value
        assert difference == pytest.approx(sign * 64 * math.log(10), abs=0.01)
    assert large["squared_error"].value == pytest.approx(100 * small["squared_error"].value, rel=1e-3)


class LatentPCA:
    """Probabilistic PCA as a latent-variable model in units a tenth of the data's: its exact posterior is diagonal."""

    likelihood_, log_scale_ = "gaussian", math.log(0.1)

    def __init__(self, pca: PCA) -> None:
        self.pca, self.n_features_in_ = pca, pca.n_features_in_
        noise, kept = pca.noise_variance_, torch.from_numpy(pca.explained_variance_)
        gain, components = (kept - noise).sqrt(), torch.from_numpy(pca.components_)

        def encoder(x: torch.Tensor):
            return normal(x @ components.T * 0.1 * gain / kept, (noise / kept).sqrt().expand(len(x), -1))

        def decoder(z: torch.Tensor, condition: None):
            loc = 10 * (z * gain) @ components
            return normal(loc, torch.full_like(loc, 10 * noise**0.5))

        with_hidden = SimpleNamespace(with_hidden=lambda x, condition: (encoder(x), ()))
        self.model_ = LatentVariableModel(with_hidden, decoder, StandardNormal(len(gain)))  # type: ignore[arg-type]

    def to_tensor(self, X: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((X - self.pca.mean_) * 10)

    def __getattr__(self, name: str):
        return getattr(self.pca, name)


def test_bound_at_the_exact_posterior_is_the_exact_density(fitted, digits):
    X = digits[TEST].astype(float)
    exact = evaluate(fitted["pca"], X)["log_likelihood"]
    latent = evaluate(LatentPCA(fitted["pca"]), X, n_importance_samples=10)
    assert latent["log_likelihood"].value == pytest.approx(exact.value, rel=1e-9)
    assert latent["log_likelihood"].standard_error == pytest.approx(exact.standard_error, rel=1e-9)
    # one sample of the distortion: its error is far below that over examples
    assert abs(latent["bound"].value - exact.value) < exact.standard_error
    assert latent["effective_sample_size"].value == pytest.approx(10)


def test_grey_pixels_under_a_bernoulli_are_no_likelihood(fitted, digits):
    grey = evaluate(fitted["vae"], digits[TEST], n_importance_samples=2)
    binary = evaluate(fitted["vae"], digits[TEST].round(), n_importance_samples=2)
    for name in ("bound", "log_likelihood"):
        assert "not a normalised likelihood of grey pixels" in grey[name].description
        assert "binary" in binary[name].description
    assert "density" in evaluate(fitted["gaussian vae"], digits[TEST])["bound"].description


def test_eight_bit_pixels_have_bits_per_dimension():
    pixels = (load_digits().data[:300] * 15).astype(np.uint8)
    vae = VAE(n_components=2, likelihood="discretised_logistic", **QUICK).fit(pixels)
    evaluation = evaluate(vae, pixels, n_importance_samples=5)
    expected = -evaluation["log_likelihood"].value / 64 / math.log(2)
    assert evaluation["bits_per_dimension"].value == pytest.approx(expected)
    assert evaluation["bits_per_dimension"].unit == "bits"


def test_collapsed_units_are_counted(fitted, digits):
    """An encoder whose means are zero for two units of five has three active ones."""
    vae = VAE(n_components=5, **QUICK).fit(digits[TRAIN])
    transform = vae.transform
    vae.transform = lambda X: transform(X) * [0, 50, 50, 0, 50]  # type: ignore[method-assign]
    measure = evaluate(vae, digits[TEST])["active_units"]
    assert (measure.value, measure.standard_error) == (3, None)
    assert "of 5" in measure.description


def test_labels_alone_are_split_and_odd_labels_are_noted(fitted, digits):
    halves = evaluate(fitted["pca"], digits[TEST], LABELS[TEST])
    assert "half" in halves["logistic_accuracy"].description
    assert halves["logistic_accuracy"].value > 0.5
    regression = evaluate(fitted["pca"], digits[TEST], np.linspace(0, 1, 400))
    assert "logistic_accuracy" not in regression
    assert "continuous" in regression.notes[0]
    for n, labels, why in ((400, np.zeros(400), "class"), (8, LABELS[:8], "n_neighbors"), (1, LABELS[:1], "")):
        unfit = evaluate(fitted["pca"], digits[:n], labels)
        assert ("logistic_accuracy" in unfit, "squared_error" in unfit) == (False, True)
        assert why in unfit.notes[0].removeprefix("probe accuracies: none. ")
    with pytest.raises(ValueError, match="Expected one label a row, got 9 labels and 400 rows"):
        evaluate(fitted["pca"], digits[TEST], LABELS[:9])
    with pytest.raises(ValueError, match="together"):
        evaluate(fitted["pca"], digits[TEST], LABELS[TEST], X_train=digits[TRAIN])


def test_a_density_that_is_infinite_is_noted(digits):
    evaluation = evaluate(PCA(n_components=64).fit(digits[:200]), digits[TEST])
    assert "log_likelihood" not in evaluation
    assert "no" in evaluation.notes[0]


def test_the_same_whatever_the_order(fitted, digits):
    """A measure of one seed is a function of the set of examples."""
    forward = evaluate(fitted["vae"], digits[TEST], n_importance_samples=10)
    backward = evaluate(fitted["vae"], digits[TEST][::-1].copy(), n_importance_samples=10)
    for one, other in zip(forward, backward, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
    assert evaluate(fitted["vae"], digits[TEST], seed=1)["bound"].value != forward["bound"].value


def test_plain_json_and_a_table(fitted, digits):
    evaluation = evaluate(fitted["vae"], digits[TEST][:1])
    plain = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert plain["measures"]["rate"]["unit"] == "nats"
    assert plain["measures"]["rate"]["standard_error"] is None  # of one example
    assert len(plain["measures"]) == len(evaluation)
    for width in (70, 90, 140):
        lines = evaluation.table(width).splitlines()
        assert max(map(len, lines)) <= width
        assert [line.split()[0] for line in lines if line[0] != " "] == ["measure", *(m.name for m in evaluation)]
        words = " ".join(lines).split()
        assert all(set(measure.description.split()) <= set(words) for measure in evaluation)
    with pytest.raises(KeyError, match="bound"):
        evaluation["elbo"]


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (-104.2178, 0.0521, ("-104.218", "0.052")),
        (1234.5678, 25.3, ("1235", "25")),
        (0.1234567, None, ("0.12346", "")),
        (0.5, math.nan, ("0.5", "")),
        (12, None, ("12", "")),
        (1.0, 0.0, ("1", "")),
    ],
)
def test_numbers_show_the_digits_they_have(value, error, expected):
    assert Measure("x", value, error, "nats", "").formatted() == expected


def test_infinite_values_are_plain_json():
    evaluation = Evaluation((Measure("bound", -math.inf, math.nan, "nats", ""),), ("a note",))
    assert json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))["measures"]["bound"]["value"] is None
    assert "a note" in str(evaluation)


def test_means_know_their_error():
    assert Mean.of(torch.tensor([1.0, 2.0, 3.0])) == pytest.approx((2.0, 1 / math.sqrt(3)))
    assert math.isnan(Mean.of(np.ones(1)).standard_error)

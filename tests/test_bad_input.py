"""Mistakes: each is a ValueError or TypeError that says what was expected and what came, never a raw failure inside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from estimator_cases import QUICK, every_estimator, every_kind, every_network, pixel_images, real_table
from isthmus import PCA, VAE, Autoencoder

TABLE = real_table(40)
IMAGES = pixel_images()[:40]


def with_value(value: float) -> np.ndarray:
    X = TABLE.copy()
    X[3, 2] = value
    return X


# scikit-learn's words where it checks, and users know them; ours elsewhere.
ROWS = {
    "empty": (np.empty((0, 6)), ValueError, r"Found array with 0 sample\(s\)"),
    "empty images": (np.empty((0, 8, 8)), ValueError, r"Found array with 0 sample\(s\)"),
    "no features": (np.empty((5, 0)), ValueError, r"0 feature\(s\).*a minimum of 1 is required"),
    "NaN": (with_value(np.nan), ValueError, "Input X contains NaN"),
    "infinity": (with_value(np.inf), ValueError, "Input X contains infinity"),
    "NaN in images": (np.full((4, 8, 8), np.nan), ValueError, "Input X contains NaN"),
    "one dimension": (TABLE[0], ValueError, "Expected 2D array, got 1D array.*Reshape your data"),
    "a number": (3.0, ValueError, "Expected 2D array, got scalar array"),
    "complex": (TABLE + 1j, ValueError, "Complex data not supported"),
    "strings": (np.array([["a", "b"], ["c", "d"]]), ValueError, "could not convert string to float"),
    "object": (np.array([[object()] * 2] * 3), TypeError, "float"),
    "a frame with text": (pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), ValueError, "could not convert string"),
    "sparse": (scipy.sparse.csr_matrix(TABLE), TypeError, "Sparse data was passed.*Use '.toarray\\(\\)'"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "inhomogeneous"),
    "nothing": (None, ValueError, "Expected 2D array, got scalar array"),
    "nested infinity": (torch.full((3, 2), torch.inf), ValueError, "Input X contains infinity"),
}


@every_kind
@pytest.mark.parametrize(("X", "error", "message"), ROWS.values(), ids=ROWS)
def test_rows_that_cannot_be_learned_from(make, X, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        make().fit(X)


NOT_AS_WIDE = ("no features", "strings", "object", "a frame with text", "nested infinity")  # another comes first


@every_kind
@pytest.mark.parametrize("name", [name for name in ROWS if name not in NOT_AS_WIDE])
def test_rows_that_cannot_be_scored(make, name):
    X, error, message = ROWS[name]
    model = make().fit(IMAGES if "image" in name else TABLE)
    for method in (model.transform, model.score_samples, model.reconstruct, model.squared_error, model.to_tensor):
        with pytest.raises(error, match=f"(?s){message}"):
            method(X)


@every_kind
def test_rows_of_another_shape(make):
    model = make().fit(TABLE)
    with pytest.raises(ValueError, match="X has 5 features, but .* is expecting 6 features"):
        model.transform(TABLE[:, :5])
    with pytest.raises(ValueError, match=r"Expected rows of shape \(6,\), as at fit, got \(2, 3\); use X.reshape"):
        model.transform(TABLE.reshape(-1, 2, 3))
    images = make().fit(IMAGES)
    with pytest.raises(ValueError, match=r"Expected rows of shape \(8, 8\), as at fit, got \(4, 16\)"):
        images.score_samples(IMAGES.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match=r"Expected rows of shape \(8, 8\), as at fit, got \(8,\)|63 features"):
        images.score_samples(IMAGES.reshape(-1, 64)[:, :63])


@every_network
def test_one_row_and_a_last_batch_of_one(make):
    one = make().fit(TABLE[:1])
    assert np.isfinite(one.score_samples(TABLE)).all()
    model = make(batch_size=39).fit(TABLE)  # 39 rows, then 1
    assert model.history_[-1]["step"] == 4
    assert np.isfinite(model.score_samples(TABLE[:1])).all()
    with pytest.raises(ValueError, match="Expected more rows to hold some out for patience, got 1; use validation="):
        make(patience=1).fit(TABLE[:1])
    with pytest.raises(ValueError, match="at least 2 rows, got n_mixture=1 and 1 rows"):
        one.fit_prior(TABLE[:1])


def test_one_row_has_no_principal_components():
    with pytest.raises(ValueError, match="Expected at least 2 rows.*got n_samples = 1"):
        PCA(1).fit(TABLE[:1])
    with pytest.raises(ValueError, match=r"Expected n_components <= min\(n_samples=40, n_features=6\), got 7"):
        PCA(7).fit(TABLE)
    with pytest.raises(ValueError, match=r"Expected n_components <= min\(n_samples=3, n_features=6\), got 4"):
        PCA(4).fit(TABLE[:3])


# --- parameters -------------------------------------------------------------------------------------

PARAMETERS = [
    ({"n_components": 0}, ValueError, "Expected n_components >= 1, got 0"),
    ({"n_components": -2}, ValueError, "Expected n_components >= 1, got -2"),
    ({"n_components": 2.5}, TypeError, "Expected n_components as an integer, got 2.5"),
    ({"n_components": "2"}, TypeError, "Expected n_components as an integer, got '2'"),
    ({"n_components": True}, TypeError, "Expected n_components as an integer, got True"),
    ({"n_components": None}, TypeError, "Expected n_components as an integer, got None"),
    ({"architecture": "transformer"}, ValueError, "Expected architecture as one of 'mlp'"),
    ({"hidden": (8, 0)}, ValueError, r"Expected widths >= 1 in hidden, got \(8, 0\)"),
    ({"hidden": 64}, TypeError, "Expected hidden as a tuple, each an integer or None, got 64"),
    ({"hidden": (8.0,)}, TypeError, r"Expected hidden as a tuple, each an integer or None, got \(8.0,\)"),
    ({"activation": "softmax"}, ValueError, "Expected activation as one of 'relu', .*, got 'softmax'"),
    ({"likelihood": "poisson"}, ValueError, "Expected likelihood as one of 'auto', 'bernoulli', .*, got 'poisson'"),
    ({"likelihood": ["gaussian"]}, TypeError, r"Expected likelihood as one of .*, got \['gaussian'\]"),
    ({"encoder": "conv"}, TypeError, "Expected encoder as a torch.nn.Module or None, got 'conv'"),
    ({"decoder": nn.Linear}, TypeError, "Expected decoder as a torch.nn.Module or None"),
    ({"max_epochs": 0}, ValueError, "Expected max_epochs >= 1, got 0"),
    ({"max_epochs": 1.5}, TypeError, "Expected max_epochs as an integer, got 1.5"),
    ({"batch_size": 0}, ValueError, "Expected batch_size >= 1, got 0"),
    ({"learning_rate": 0.0}, ValueError, "Expected .*learning_rate > 0, got 0.0"),
    ({"learning_rate": float("nan")}, TypeError, "Expected learning_rate as a finite number, got nan"),
    ({"schedule": "linear"}, ValueError, "Expected schedule as one of 'constant', .* or Schedule, got 'linear'"),
    ({"warm_up": -1}, ValueError, "Expected warm_up >= 0 steps, got -1"),
    ({"clip_norm": 0.0}, ValueError, "Expected .*clip_norm > 0, got 0.0"),
    ({"weight_average": 1.0}, ValueError, r"Expected (weight_)?average, a decay, in \(0, 1\), got 1.0"),
    ({"patience": 0}, ValueError, "Expected patience >= 1, got 0"),
    ({"validation_fraction": 1.0}, ValueError, r"Expected validation_fraction in \(0, 1\), got 1.0"),
    ({"precision": "fp8"}, ValueError, "Expected precision as one of 'auto', 'fp32', 'bf16', got 'fp8'"),
    ({"device": "tpu9"}, ValueError, "Expected device 'auto', 'cpu', 'cuda' or 'mps', got 'tpu9'"),
    ({"device": 3}, TypeError, "Expected device as text, got 3"),
    ({"compile": "yes"}, ValueError, "Expected compile as one of 'auto' or True or False, got 'yes'"),
    ({"random_state": "seed"}, TypeError, "Expected random_state as an integer or RandomState or None, got 'seed'"),
    ({"random_state": -1}, ValueError, "Seed must be between 0"),
]


@every_network
@pytest.mark.parametrize(("parameters", "error", "message"), PARAMETERS)
def test_parameters_out_of_range_or_of_another_type(make, parameters, error, message):
    model = make(parameters.get("n_components", 2), **{k: v for k, v in parameters.items() if k != "n_components"})
    with pytest.raises(error, match=message):
        model.fit(TABLE)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "Expected n_samples >= 1, got 0"),
        ({"free_bits": -0.1}, ValueError, "Expected free_bits >= 0, got -0.1"),
        ({"kl_warm_up": -1}, ValueError, "Expected warm_up >= 0, got -1"),
        ({"kl_warm_up": "long"}, TypeError, "Expected kl_warm_up as an integer, got 'long'"),
    ],
)
def test_parameters_of_the_vae(parameters, error, message):
    with pytest.raises(error, match=message):
        VAE(2, **QUICK | parameters).fit(TABLE)


@pytest.mark.parametrize("n_components", [0, "two", 1.0])
def test_parameters_of_pca(n_components):
    with pytest.raises((ValueError, TypeError), match="Expected n_components"):
        PCA(n_components).fit(TABLE)


@every_network
def test_numpy_s_numbers_are_numbers(make):
    make(n := np.int64(2), hidden=[np.int32(4)], learning_rate=np.float32(0.01), verbose=np.bool_(False)).fit(TABLE)
    assert make(n, likelihood=np.str_("gaussian")).fit(TABLE).transform(TABLE).shape == (40, 2)


# --- own modules ------------------------------------------------------------------------------------


@every_network
def test_own_modules_that_do_not_fit(make):
    with pytest.raises(ValueError, match=r"Expected the encoder to take inputs \(n, 6\), got .*shapes cannot"):
        make(encoder=nn.Linear(5, 4)).fit(TABLE)
    with pytest.raises(ValueError, match=r"Expected the encoder to take inputs \(n, 64\).*use nn.Unflatten"):
        make(encoder=nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())).fit(IMAGES)
    with pytest.raises(ValueError, match=r"Expected the decoder to take inputs \(n, 2\)"):
        make(decoder=nn.Linear(3, 4)).fit(TABLE)
    with pytest.raises(ValueError, match=r"Expected the encoder to give features \(n, width\), got \(2, 3, 2\); use"):
        make(encoder=nn.Unflatten(1, (3, 2))).fit(TABLE)


# --- range ------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "discretised_logistic"])
def test_data_that_a_likelihood_has_no_probability_for(make, likelihood):
    message = rf"Expected data in \[0, 1\] for the likelihood '{likelihood}', got .*; use sklearn.preprocessing.MinMax"
    with pytest.raises(ValueError, match=message):
        make(likelihood=likelihood).fit(TABLE)
    grey = np.rint(np.random.RandomState(0).rand(30, 4) * 255) / 255
    model = make(likelihood=likelihood).fit(grey)
    for method in (model.transform, model.score_samples, model.reconstruct):
        with pytest.raises(ValueError, match=message):
            method(grey - 0.5)
    with pytest.raises(ValueError, match=message):
        make(likelihood=likelihood).fit(grey, validation=2 * grey)
    model.transform(grey + 5e-7)  # rounding is no mistake


@every_network
def test_discretised_logistic_wants_8_bit_levels(make):
    with pytest.raises(ValueError, match="Expected 8-bit pixels .* got floats between their levels; use X as uint8"):
        make(likelihood="discretised_logistic").fit(np.random.RandomState(0).rand(30, 4))
    model = make(likelihood="discretised_logistic").fit(IMAGES)
    with pytest.raises(ValueError, match="Expected 8-bit pixels"):
        model.score_samples(IMAGES / 256)


@every_network
def test_rows_too_large_for_float32(make):
    model = make().fit(TABLE)
    with pytest.raises(
        ValueError, match="Expected rows of the size of those at fit, got numbers too large for float32"
    ):
        model.transform(with_value(1e300))
    with pytest.raises(ValueError, match="Expected data whose squares float64 can hold, got larger ones"):
        make().fit(with_value(1e300))


# --- use --------------------------------------------------------------------------------------------


@every_estimator
def test_not_fitted(make):
    model = make()
    for method, argument in (
        (model.transform, TABLE), (model.inverse_transform, np.ones((3, 2))), (model.reconstruct, IMAGES),
        (model.sample, 3),
        (model.score_samples, TABLE), (model.score, TABLE), (model.squared_error, TABLE), (model.to_tensor, IMAGES),
        (model.save, "nowhere"), (getattr(model, "posterior", model.transform), TABLE),
        (getattr(model, "fit_prior", model.transform), TABLE), (model.get_feature_names_out, None),
    ):  # fmt: skip
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            method(argument)


@every_estimator
def test_codes_that_cannot_be_decoded(make):
    model = make().fit(TABLE)
    for Z, error, message in (
        (np.ones((4, 3)), ValueError, r"Expected codes of shape \(n, 2\), got \(4, 3\)"),
        (np.ones(2), ValueError, r"Expected codes of shape \(n, 2\), got \(2,\)"),
        (np.empty((0, 2)), ValueError, "Expected at least one code, got none"),
        ([[np.nan, 1.0]], ValueError, "Expected finite codes, got NaN or infinity"),
        ([["a", "b"]], TypeError, "Expected codes as real numbers, got <U1"),
        (np.ones((1, 2), dtype=object), TypeError, "Expected codes as real numbers, got object"),
        (np.ones((1, 2)) * 1j, TypeError, "Expected codes as real numbers, got complex128"),
    ):
        with pytest.raises(error, match=message):
            model.inverse_transform(Z)
    model.set_params(n_components=3)  # of the next fit; this one has codes of two
    assert model.inverse_transform(np.ones((4, 2))).shape == (4, 6)
    assert len(model.get_feature_names_out()) == 2


@every_estimator
@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "many"])
def test_numbers_of_samples(make, n_samples):
    with pytest.raises(ValueError, match=f"Expected n_samples >= 1, got {n_samples!r}"):
        make().fit(TABLE).sample(n_samples)


@every_network
def test_weights_and_priors(make):
    for weight, message in (
        (-np.ones(40), "Expected weights >= 0 with a positive sum"),
        (np.zeros(40), "Expected weights >= 0 with a positive sum|must contain at least one non-zero"),
        (np.ones(39), r"sample_weight.shape == \(39,\), expected \(40,\)"),
        (np.full(40, np.nan), "contains NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            make().fit(TABLE, sample_weight=weight)
    model = make().fit(TABLE)
    with pytest.raises(ValueError, match="Expected kind 'gaussian' or 'mixture', got 'flow'"):
        model.fit_prior(TABLE, "flow")
    with pytest.raises(ValueError, match="Expected 1 <= n_mixture <= rows .* got n_mixture=41 and 40 rows"):
        model.fit_prior(TABLE, "mixture", n_mixture=41)
    with pytest.raises(ValueError, match="Expected the folder of the run to resume, got None; pass folder="):
        make().fit(TABLE, resume=True)


def test_a_deterministic_code_has_no_importance_samples():
    with pytest.raises(TypeError, match="Expected codes with a density and a prior, got deterministic ones"):
        Autoencoder(2, **QUICK).fit(TABLE).score_samples(TABLE, n_importance_samples=5)

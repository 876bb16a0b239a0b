"""Estimators take rows that lie in files as they take rows in memory."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from estimator_cases import MAKE, QUICK, every_estimator, every_kind
from isthmus import PCA, VAE, evaluate
from isthmus.data import Shards
from isthmus.data.statistics import find_statistics
from isthmus.training import fit
from training_cases import assert_same, timeless, weights

RANDOM = np.random.RandomState(0)
evaluate_module = sys.modules[evaluate.__module__]  # the package has a function of its name
TABLE = RANDOM.randn(1500, 3) @ RANDOM.randn(3, 8) + 0.1 * RANDOM.randn(1500, 8) + 3
PIXELS = np.random.RandomState(2).randint(0, 256, (700, 4, 4)).astype(np.uint8)
BYTES = 2**14


@every_estimator
@pytest.mark.parametrize("rows", [TABLE, PIXELS, TABLE.astype(np.float32)], ids=["table", "pixels", "float32"])
def test_results_of_a_row_do_not_depend_on_where_it_lies(make, rows, monkeypatch):
    monkeypatch.setattr("isthmus.estimators.blocks.BLOCK_BYTES", 4096)  # 256 rows at a time
    shards = Shards(rows, buffer_bytes=BYTES)
    model = make(4).fit(shards)
    for method in ("transform", "score_samples", "reconstruct", "squared_error"):
        found, expected = getattr(model, method)(shards), getattr(model, method)(rows)
        np.testing.assert_array_equal(found, expected)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert model.feature_shape_ == rows.shape[1:]
    assert model.pixels_ == (rows.dtype == np.uint8)
    if hasattr(model, "posterior"):
        np.testing.assert_array_equal(model.posterior(shards), model.posterior(rows))
    assert model.score(shards) == model.score(rows)


@every_kind
def test_rows_that_fit_in_a_buffer_are_those_in_memory(make, tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    codes = make(2).fit(TABLE).transform(TABLE)
    for rows in (Shards(tmp_path / "x.npy"), np.load(tmp_path / "x.npy", mmap_mode="r")):  # as joblib's workers get
        np.testing.assert_array_equal(make(2).fit(rows).transform(TABLE), codes)


@pytest.mark.parametrize("make", [MAKE["Autoencoder"], MAKE["VAE"]], ids=["Autoencoder", "VAE"])
@pytest.mark.parametrize("likelihood", ["auto", "gaussian", "bernoulli", "discretised_logistic"])
@pytest.mark.parametrize("kind", ["pixels", "table", "unit", "levels"])
def test_likelihood_and_units_are_chosen_as_for_rows_in_memory(make, likelihood, kind):
    rows = {"pixels": PIXELS, "table": TABLE, "unit": np.abs(np.sin(TABLE)), "levels": PIXELS / 255}[kind]
    models = []
    for data in (rows, Shards(rows, buffer_bytes=BYTES)):
        try:
            models.append(make(2, likelihood=likelihood, max_epochs=1).fit(data))
        except ValueError as error:
            models.append(str(error))
    one, other = models
    if isinstance(one, str):
        assert one == other
        return
    assert one.likelihood_ == other.likelihood_
    np.testing.assert_allclose(one.scaling_.scale, other.scaling_.scale, rtol=1e-12)
    if one.scaling_.shift is not None:
        np.testing.assert_allclose(one.scaling_.shift, other.scaling_.shift, rtol=1e-12)


def test_streamed_rows_count_by_their_weight():
    weight = 1.0 + np.arange(len(TABLE)) % 3
    one, other = (VAE(2, **QUICK).fit(x, sample_weight=weight) for x in (TABLE, Shards(TABLE, buffer_bytes=BYTES)))
    np.testing.assert_allclose(one.scaling_.shift, other.scaling_.shift, rtol=1e-12)
    assert abs(one.history_[-1]["loss"] - other.history_[-1]["loss"]) < 0.5
    with pytest.raises(ValueError, match="sample_weight"):
        VAE(2, **QUICK).fit(Shards(TABLE, buffer_bytes=BYTES), sample_weight=weight[:-1])


def test_patience_holds_out_whole_blocks(monkeypatch):
    seen = []

    def watch(model, objective, data, settings, *, validation, **others):
        seen.append((data, validation))
        return fit(model, objective, data, settings, validation=validation, **others)

    monkeypatch.setattr("isthmus.estimators.training_parameters.fit", watch)
    passes = []
    monkeypatch.setattr(
        "isthmus.data.shards.find_statistics", lambda *known: passes.append(known) or find_statistics(*known)
    )
    weight = np.arange(len(TABLE)) + 1.0
    VAE(2, patience=2, **QUICK).fit(Shards(TABLE, buffer_bytes=2**15), sample_weight=weight)
    (train, held_out), = seen  # fmt: skip
    assert len(held_out.x) == 150
    rows = np.concatenate([np.asarray(train.shards), held_out.x.numpy()])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, TABLE))
    where = {row.tobytes(): weight[i] for i, row in enumerate(TABLE)}
    for x, counted in ((np.asarray(train.shards), train.weight), (held_out.x.numpy(), held_out.weight)):
        np.testing.assert_array_equal(counted, [where[row.tobytes()] for row in x])
    assert len(passes) == 2  # all rows, for their range, and by their weight: not the training rows once more


def test_components_of_blocks_are_those_of_all_rows():
    for rows in (TABLE, TABLE + 1e6, PIXELS):
        one, other = PCA(3).fit(rows), PCA(3).fit(Shards(rows, buffer_bytes=BYTES))
        np.testing.assert_allclose(other.mean_, one.mean_, rtol=1e-12)
        np.testing.assert_allclose(other.components_, one.components_, atol=1e-7)
        np.testing.assert_allclose(other.explained_variance_, one.explained_variance_, rtol=1e-8)
        np.testing.assert_allclose(other.noise_variance_, one.noise_variance_, rtol=1e-6, atol=1e-12)


def test_a_streamed_fit_resumes_and_is_told_what_it_was(tmp_path):
    make = MAKE["VAE"]
    whole = make(2, max_epochs=3).fit(Shards(PIXELS, buffer_bytes=4000))
    make(2, max_epochs=2).fit(Shards(PIXELS, buffer_bytes=4000), folder=tmp_path)
    longer = make(2, max_epochs=3).fit(Shards(PIXELS, buffer_bytes=4000), folder=tmp_path, resume=True)
    assert timeless(longer.history_) == timeless(whole.history_)
    assert_same(weights(longer.model_), weights(whole.model_))


@every_kind
@pytest.mark.parametrize("rows", [TABLE, PIXELS, (PIXELS > 99) * 1.0], ids=["table", "pixels", "binary"])
def test_measures_are_those_of_rows_in_memory(make, rows, monkeypatch):
    monkeypatch.setattr(evaluate_module, "BLOCK_ROWS", 256)
    model, labels = make(4).fit(rows), np.arange(len(rows)) % 2
    expected = evaluate(model, rows, labels, n_importance_samples=3)
    found = evaluate(model, Shards(rows, buffer_bytes=BYTES), labels, n_importance_samples=3)
    assert found.to_dict() == expected.to_dict()

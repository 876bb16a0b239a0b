"""ConditionalVAE as an estimator: scikit-learn, images, files, rows with their conditions on every path."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

import isthmus
from estimator_cases import QUICK, pixel_images, real_table
from isthmus import ConditionalVAE, evaluate
from isthmus.data import Shards
from isthmus.estimators.blocks import hold_out, training_data
from isthmus.files import UnreadableFile, read_tensors, write_tensors
from isthmus.report import write_report
from training_cases import timeless

TABLE, IMAGES = real_table(), pixel_images()
LABELS = np.array(["cat", "dog", "emu"])[np.arange(len(TABLE)) % 3]
VECTORS = np.column_stack((np.arange(len(TABLE)) % 3, np.sin(np.arange(len(TABLE)))))
TOLD = {
    "text": LABELS,
    "integers": np.arange(120) % 3 - 1,
    "truth values": np.arange(120) % 2 == 0,
    "floats": np.arange(120) % 3 + 0.0,
    "vectors": VECTORS,
}
every_condition = pytest.mark.parametrize("y", TOLD.values(), ids=TOLD)


def make(n: int = 2, **more) -> ConditionalVAE:
    return ConditionalVAE(n, **QUICK | more)


def same_weights(one: ConditionalVAE, other: ConditionalVAE) -> bool:
    pairs = zip(one.model_.state_dict().values(), other.model_.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# --- scikit-learn ----------------------------------------------------------------------------------

STOCHASTIC = "check_sample_weight_equivalence_on_dense_data"  # repeated rows fall into other batches
UNTOLD = {  # they call transform without conditions, which is the error that is meant to be; see `Told` for the rest
    "check_dict_unchanged",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
}


@dataclass(eq=False, repr=False)
class Told(ConditionalVAE):
    """Reads its condition off each row: so that what is asked of all transformers can be asked of this one."""

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> ConditionalVAE:
        return super().fit(X, _first_number(X), sample_weight=sample_weight)

    def transform(self, X: Any, conditions: Any = None) -> np.ndarray:
        return super().transform(X, _first_number(X))

    def score_samples(self, X: Any, n_importance_samples: int = 0, conditions: Any = None) -> np.ndarray:
        return super().score_samples(X, n_importance_samples, _first_number(X))


def _first_number(X: Any) -> np.ndarray | None:
    """The first number of each row, as a vector; None of what is no table, which is refused before it is missed."""
    try:
        numbers = np.asarray(X, np.float64)
        return numbers[:, :1] if np.isfinite(numbers).all() else None
    except (TypeError, ValueError, IndexError):
        return None


@pytest.mark.filterwarnings("ignore")  # the checks warn of what they skip
@pytest.mark.parametrize(("kind", "expected"), [(ConditionalVAE, UNTOLD | {STOCHASTIC}), (Told, {STOCHASTIC})])
def test_scikit_learn_s_own_checks(kind, expected):
    reasons = dict.fromkeys(expected, "no conditions, or other batches")
    results = check_estimator(kind(1, **QUICK), expected_failed_checks=reasons, on_fail=None, on_skip=None)
    assert {result["check_name"] for result in results if result["status"] == "failed"} == set()
    # What is declared to fail does: the list is no longer than it must be.
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == expected
    for result in results:
        if result["status"] == "xfail" and result["check_name"] in UNTOLD:
            assert "conditions, got None" in str(result["exception"])
    assert len([result for result in results if result["status"] == "passed"]) > 35


def test_in_a_pipeline_and_chosen_by_score_given_labels():
    pipeline = make_pipeline(StandardScaler(), make(max_epochs=40, batch_size=30, learning_rate=0.03))
    search = GridSearchCV(pipeline, {"conditionalvae__n_components": [1, 3]}, cv=2).fit(TABLE, LABELS)
    assert search.best_params_ == {"conditionalvae__n_components": 3}  # the data have three directions
    best = search.best_estimator_[-1]
    assert best.classes_.tolist() == ["cat", "dog", "emu"]
    assert search.score(TABLE, LABELS) == best.score(search.best_estimator_[0].transform(TABLE), LABELS)


@every_condition
def test_clones_and_seeds(y):
    model = make().fit(TABLE, y)
    again = clone(model)
    assert not hasattr(again, "conditions_")
    assert not hasattr(again, "classes_")
    np.testing.assert_array_equal(again.fit_transform(TABLE, y), model.transform(TABLE, y))
    assert same_weights(model, again)
    assert not same_weights(model, make().fit(TABLE, y[::-1]))
    assert not same_weights(model, make(random_state=1).fit(TABLE, y))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(TABLE, y), model.transform(TABLE, y))
    np.testing.assert_array_equal(model.sample(5, conditions=y[0]), model.sample(5, random_state=0, conditions=y[0]))
    assert not np.array_equal(model.sample(5, 1, y[0]), model.sample(5, 0, y[0]))
    assert not np.array_equal(model.sample(5, 0, y[0]), model.sample(5, 0, y[1]))
    codes = model.set_output(transform="pandas").transform(TABLE, y)
    assert list(codes.columns) == ["conditionalvae0", "conditionalvae1"]
    np.testing.assert_array_equal(model.inverse_transform(codes, y), model.reconstruct(TABLE, y))


def test_a_fit_that_is_refused_leaves_the_conditions_as_they_were():
    model = make().fit(TABLE, LABELS)
    with pytest.raises(ValueError, match="real numbers"):
        model.fit(TABLE, VECTORS[:, 1])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(TABLE * np.nan, VECTORS)
    assert model.classes_.tolist() == ["cat", "dog", "emu"]
    assert model.fit(TABLE, VECTORS).classes_ is None  # other ones, once they are learnt


# --- a row's results are its own -------------------------------------------------------------------


@every_condition
@pytest.mark.parametrize("rows", [TABLE, np.resize(IMAGES, (120, 8, 8))], ids=["table", "pixels"])
def test_results_of_a_row_and_its_condition_depend_on_nothing_else(rows, y):
    """Widths that are no multiple of 4 round by a row's place: to 1e-6, as the docstrings say."""
    model = make(4).fit(rows, y)
    order = np.random.RandomState(0).permutation(120)
    several = [lambda x, c: model.score_samples(x, 5, conditions=c), lambda x, c: model.posterior(x, c)[1]]
    for method in (model.transform, model.reconstruct, model.squared_error, *several):
        whole = method(rows, y)
        tolerance = {"rtol": 1e-5, "atol": 1e-5 * np.abs(whole).max()}
        np.testing.assert_allclose(method(rows[order], y[order]), whole[order], **tolerance)
        for part in (slice(0, 1), slice(50, 120)):
            np.testing.assert_allclose(method(rows[part], y[part]), whole[part], **tolerance)
        assert not np.allclose(method(rows, np.roll(y, 1, axis=0)), whole, **tolerance)


def test_rows_in_files_go_with_their_conditions(monkeypatch):
    monkeypatch.setattr("isthmus.estimators.blocks.BLOCK_BYTES", 4096)
    X, y = np.tile(TABLE, (9, 1)), np.tile(LABELS, 9)
    shards = Shards(X, buffer_bytes=2**14)
    assert not shards.fits_buffer
    model = make(4).fit(shards, y)
    for method in (model.transform, model.squared_error):
        np.testing.assert_array_equal(method(shards, y), method(X, y))
    measures = [evaluate(model, rows, y).to_dict() for rows in (X, shards)]
    assert measures[0] == measures[1]
    assert same_weights(make().fit(Shards(TABLE), LABELS), make().fit(TABLE, LABELS))  # in one buffer


def test_training_validation_and_held_out_rows_keep_their_conditions():
    """Each row's condition is written in it: every batch that is trained on is held to that."""
    X = np.tile(np.arange(900.0)[:, None], (1, 6))
    condition = torch.from_numpy(X[:, :1]).float()
    stream = training_data(Shards(X, buffer_bytes=2**12), None, {"condition": condition})
    train, held_out = hold_out(stream, 0.2, seed=0)
    seen = []
    for batch, _ in train.batches(0, 0, 64):
        assert torch.equal(batch.x[:, :1].float(), batch.condition)
        seen.append(batch.x[:, 0])
    assert torch.equal(held_out.x[:, :1].float(), held_out.condition)
    assert sorted(torch.cat((*seen, held_out.x[:, 0])).tolist()) == list(range(900))
    weight = np.arange(900) % 3 / 1.0
    model = make(patience=1, max_epochs=1)
    for split in (None, (X[:7], X[:7, :1])):  # those held out, and those given
        with pytest.MonkeyPatch.context() as patch:
            calls = []
            patch.setattr(
                "isthmus.estimators.training_parameters.fit", lambda *a, calls=calls, **k: calls.append((a, k)) or []
            )
            model.fit(X, X[:, :1], sample_weight=weight, validation=split)
        rows, validation = calls[0][0][2], calls[0][1]["validation"]
        assert (rows.x[:, 0] % 3 != 0).all()  # rows without weight are not there
        for part in (rows, validation):
            assert torch.equal(part.x[:, :1].float(), part.condition)
    with pytest.raises(ValueError, match=r"pair \(rows, conditions\), got ndarray"):
        model.fit(X, X[:, :1], validation=X[:7])
    with pytest.raises(ValueError, match="known from fit"):
        make(patience=1).fit(TABLE, LABELS, validation=(TABLE[:1], ["cow"]))


def test_a_resumed_run_is_the_run_that_was_not_stopped_and_refuses_other_labels(tmp_path):
    whole = make(max_epochs=4).fit(TABLE, LABELS)
    make(max_epochs=2).fit(TABLE, LABELS, folder=tmp_path)
    with pytest.raises(UnreadableFile, match="data"):
        make(max_epochs=4).fit(TABLE, np.roll(LABELS, 1), folder=tmp_path, resume=True)
    resumed = make(max_epochs=4).fit(TABLE, LABELS, folder=tmp_path, resume=True)
    assert same_weights(resumed, whole)
    assert timeless(resumed.history_) == timeless(whole.history_)


def test_pixels_drawn_anew_keep_their_conditions():
    model = make(binarisation="dynamic").fit(IMAGES, np.arange(100) % 10)
    measures = evaluate(model, IMAGES, np.arange(100) % 10, n_importance_samples=3)
    assert measures.likelihood_of == "dynamic binarisation (seed 0), given y"
    assert "log p(x|y)" in measures["log_likelihood"].description
    assert measures["bound"].value == pytest.approx(model.score(IMAGES, np.arange(100) % 10), rel=1e-6)
    with pytest.raises(ValueError, match="ConditionalVAE is told"):
        evaluate(model, IMAGES)


# --- images, own networks, files -------------------------------------------------------------------

NETWORKS = {
    "conv": {"architecture": "conv", "hidden": (4, 8)},
    "resnet": {"architecture": "resnet", "hidden": (4,)},
    "own": {
        "encoder": nn.Sequential(nn.Linear(64, 12), nn.Tanh()),  # of rows alone
        "decoder": nn.Sequential(nn.Linear(2 + 3, 12), nn.Tanh()),  # of codes and conditions
    },
}


@pytest.mark.parametrize("networks", NETWORKS.values(), ids=NETWORKS)
def test_other_networks_are_told_as_well(networks):
    y = np.arange(100) % 3
    model = make(max_epochs=3, **networks).fit(IMAGES, y)
    codes, samples = model.transform(IMAGES, y), model.sample(100, conditions=y)
    assert samples.shape == IMAGES.shape
    assert not np.allclose(model.transform(IMAGES, 0), model.transform(IMAGES, 1), atol=1e-3)
    assert not np.allclose(model.inverse_transform(codes, 0), model.inverse_transform(codes, 1), atol=1e-3)
    np.testing.assert_allclose(model.transform(IMAGES[7:9], y[7:9]), codes[7:9], atol=1e-5)


@every_condition
@pytest.mark.parametrize("more", [{}, {"hidden": ()}, {"architecture": "conv", "hidden": (4,)}])
def test_round_trip_through_files(y, more, tmp_path):
    X = np.resize(IMAGES, (120, 8, 8))
    model = make(**more).fit(X, y).fit_prior(X, "mixture", 2, conditions=y)
    loaded = isthmus.load(model.save(tmp_path / "one"))
    for name in ("transform", "reconstruct", "squared_error"):
        np.testing.assert_array_equal(getattr(loaded, name)(X, y), getattr(model, name)(X, y))
    np.testing.assert_array_equal(loaded.score_samples(X, 3, y), model.score_samples(X, 3, y))
    np.testing.assert_array_equal(loaded.sample(3, 1, y[:3]), model.sample(3, 1, y[:3]))
    assert (loaded.classes_ is None) == (y is VECTORS)
    if y is not VECTORS:
        assert loaded.classes_.tolist() == np.unique(y).tolist()
    loaded.save(tmp_path / "two")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("classes", "width"),
    [(["b", "a"], 2), (["a", "a"], 2), (["a", 1], 2), (["a"], 2), ([], 0), (None, 0), (["a", None], 2), ("ab", 2),
     ([2**80, 2**90], 2), ([[1], [2]], 2), (["a", "b", "c"], 3), (None, 3), ([1, 2], "2"), ([], 2)],
)  # fmt: skip
def test_damaged_classes_are_refused(classes, width, tmp_path):
    path = make().fit(TABLE, LABELS[[0, 1] * 60]).save(tmp_path) / "model.safetensors"
    tensors, record = read_tensors(path)
    record["fitted"] |= {"classes_": classes, "n_conditions_": width}
    write_tensors(path, tensors, record)
    with pytest.raises(UnreadableFile):
        isthmus.load(tmp_path)


def test_a_report_of_a_conditional_model(tmp_path):
    data = isthmus.load_data((IMAGES, np.arange(100) % 10))
    model = make().fit(data.x_train, data.y_train)
    measures = {"CVAE": evaluate(model, data.x_test, data.y_test)}
    page = write_report(tmp_path, {"CVAE": model}, data, measures).read_text()
    assert "CVAE was told them" in page
    assert "were found, not taught" not in page
    assert "Trained without labels" not in page  # it was told them
    assert "classes read from the code" not in page
    assert "lower bound on log\u00a0p(x|y)" in page
    assert "log\u00a0p(x) " not in page
    files = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert {"samples-cvae", "samples-cvae-classes", "network-cvae"} <= files

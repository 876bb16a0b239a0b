"""Labels of a classifier: of every kind, missing ones, those that are none, to files and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

import isthmus
from estimator_cases import pixel_images
from isthmus import PretrainedClassifier
from isthmus.files import UnreadableFile, read_tensors, write_tensors

GREY = (pixel_images() / 255).reshape(-1, 64)
DIGIT = load_digits().target[:100]
SMALL = {"hidden": (12, 8), "layer_epochs": 2, "max_epochs": 2, "random_state": 0}


def state(model: PretrainedClassifier) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.model_.state_dict().items()}


LABELS = {
    "int": DIGIT,
    "int8": DIGIT.astype(np.int8),
    "float": DIGIT.astype(float),
    "bool": DIGIT > 4,
    "text": np.array([f"digit {i}" for i in DIGIT]),
    "object": np.array([f"digit {i}" for i in DIGIT], dtype=object),
    "minus one and one": np.where(DIGIT > 4, 1, -1),
    "negative": DIGIT - 5,
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_of_every_kind_come_back_and_go_to_files(y, tmp_path):
    model = PretrainedClassifier(**SMALL).fit(GREY, y)
    expected = np.unique(y) if y is not LABELS["negative"] else np.setdiff1d(y, [-1])
    assert model.classes_.tolist() == expected.tolist()
    assert model.predict(GREY).dtype == y.dtype
    loaded = isthmus.load(model.save(tmp_path))
    for method in ("predict", "predict_proba", "predict_log_proba", "transform"):
        ours, theirs = getattr(model, method)(GREY), getattr(loaded, method)(GREY)
        np.testing.assert_array_equal(theirs, ours)
        assert theirs.dtype == ours.dtype
    assert (loaded.history_, loaded.layers_, loaded.n_iter_) == (model.history_, model.layers_, 2)
    assert loaded.get_params() == model.get_params()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_containers_of_labels_and_missing_ones_among_objects():
    reference = state(PretrainedClassifier(**SMALL).fit(GREY, DIGIT))
    for y in (pd.Series(DIGIT), pl.Series(DIGIT), torch.from_numpy(DIGIT), DIGIT.tolist()):
        assert state(PretrainedClassifier(**SMALL).fit(GREY, y)) == reference
    y = np.array([f"digit {i}" for i in DIGIT], dtype=object)
    y[50:] = -1
    assert PretrainedClassifier(**SMALL).fit(GREY, y).classes_.tolist() == sorted({f"digit {i}" for i in DIGIT[:50]})


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (DIGIT[:50], "inconsistent numbers of samples"),
        (np.full(100, 3), "at least two classes, got 1 class;"),
        (np.full(100, -1), "at least two classes, got 0 classes"),
        (np.linspace(0, 1, 100), "Unknown label type: continuous"),
        (np.full(100, np.nan), "NaN"),
        ([(1, 2)] * 100, "should be a 1d array"),
    ],
)
def test_labels_that_are_none(y, words):
    with pytest.raises(ValueError, match=words):
        PretrainedClassifier(**SMALL).fit(GREY, y)


def test_whether_minus_one_is_a_class_is_known_from_all_labels_of_fit():
    """Part of the rows, such as those of validation or those that count, may have -1 and 1 alone, or -1 alone."""
    model = PretrainedClassifier(**SMALL, pretraining="none")
    y = np.where(DIGIT > 4, 1, -1)
    history = model.fit(GREY, y, validation=(GREY[y == -1], y[y == -1])).history_
    assert history[-1]["validation"] == pytest.approx(-model.predict_log_proba(GREY[y == -1])[:, 0].mean(), rel=1e-5)
    y = np.select([DIGIT < 3, DIGIT < 6], [-1, 0], 1)
    few = y != 0
    validation = model.fit(GREY, y, validation=(GREY[few], y[few])).history_[-1]["validation"]
    assert validation == pytest.approx(-model.predict_log_proba(GREY[y == 1])[:, 1].mean(), rel=1e-5)
    with pytest.raises(ValueError, match="at least two classes, got 1 class;"):
        PretrainedClassifier(**SMALL).fit(GREY, y, sample_weight=few.astype(float))


def test_validation_and_patience():
    model = PretrainedClassifier(**SMALL | {"max_epochs": 4}).fit(GREY, DIGIT, validation=(GREY[:30], DIGIT[:30]))
    expected = log_loss(DIGIT[:30], model.predict_proba(GREY[:30]), labels=model.classes_)
    assert model.history_[-1]["validation"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"Expected labels among \[0, .*\], got also 77"):
        PretrainedClassifier(**SMALL).fit(GREY, DIGIT, validation=(GREY, np.full(100, 77)))
    with pytest.raises(ValueError, match=r"Expected validation as a pair \(X, y\)"):
        PretrainedClassifier(**SMALL).fit(GREY, DIGIT, validation=GREY)
    stopped = PretrainedClassifier(**SMALL | {"max_epochs": 500, "learning_rate": 0.1}, patience=2).fit(GREY, DIGIT)
    assert stopped.n_iter_ < 500
    watched = stopped._some_of_each_class(DIGIT, np.ones(100, bool), 0)
    shares = np.bincount(DIGIT[watched], minlength=10) / np.bincount(DIGIT)
    assert np.abs(shares - 0.1).max() < 0.05  # of each class
    with pytest.raises(ValueError, match="more rows of each class"):
        PretrainedClassifier(**SMALL, patience=2).fit(GREY[:2], DIGIT[:2])
    assert PretrainedClassifier(**SMALL, patience=2).fit(GREY[:4], [0, 0, 1, 1]).n_iter_ == 2


def test_rows_held_out_for_patience_count_by_their_weight():
    weight = 1.0 + np.arange(100) % 7
    model = PretrainedClassifier(**SMALL | {"max_epochs": 1}, pretraining="none", patience=1)
    model.fit(GREY, DIGIT, sample_weight=weight)
    watched = model._some_of_each_class(DIGIT, np.ones(100, bool), model._seed(None))
    loss = -model.predict_log_proba(GREY[watched])[np.arange(len(watched)), DIGIT[watched]]
    expected = np.average(loss, weights=weight[watched])
    assert abs(expected - loss.mean()) > 1e-4
    assert model.history_[-1]["validation"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "classes",
    [{}, {"values": [0], "dtype": "i8"}, {"values": [1, 1], "dtype": "i8"}, {"values": [2, 1], "dtype": "i8"},
     {"values": [[], {}], "dtype": "O"}, {"values": [1, 2], "dtype": "M8[s]"},
     {"values": ["long", "text"], "dtype": "U2"}, {"values": [0, 1], "dtype": "no type"}],
)  # fmt: skip
def test_files_with_impossible_classes_are_refused(classes, tmp_path):
    model = PretrainedClassifier(**SMALL, pretraining="none").fit(GREY, DIGIT > 4)
    tensors, record = read_tensors(model.save(tmp_path) / "model.safetensors")
    record["fitted"]["classes_"] = classes
    write_tensors(tmp_path / "model.safetensors", tensors, record)
    with pytest.raises(UnreadableFile, match="Expected a whole PretrainedClassifier"):
        isthmus.load(tmp_path)

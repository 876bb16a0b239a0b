"""From columns to features: against pandas and scikit-learn, learnt from training rows only, recorded and applied."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from isthmus.data import load_data
from isthmus.data.table import Table
from isthmus.data.table_preparation import MAX_CATEGORIES, Preparation, learn

RNG = np.random.default_rng(0)
N = 60


def people() -> pd.DataFrame:
    """Numbers of unlike units with gaps, and text."""
    frame = pd.DataFrame(
        {
            "age": RNG.integers(10, 90, N).astype(float),
            "income": RNG.lognormal(10, 1, N),
            "colour": RNG.choice(["red", "green", "blue"], N),
            "city": RNG.choice(["Bern", "Rome"], N),
            "kind": RNG.choice(["a", "b"], N),
        }
    )
    frame.loc[RNG.choice(N, 9, replace=False), "age"] = np.nan
    frame.loc[RNG.choice(N, 5, replace=False), "colour"] = None
    return frame


def test_one_hot_is_pandas_get_dummies():
    frame = people()[["colour", "city"]]
    data = load_data(frame, text="one-hot", missing="mean", seed=None)
    expected = pd.get_dummies(frame, prefix_sep="=")
    assert data.feature_names == tuple(expected.columns)
    assert np.array_equal(data.x_train, expected.to_numpy(float))


def test_mean_and_scale_are_scikit_learns_of_the_training_rows_only():
    frame = people()[["age", "income"]]
    data = load_data(frame, missing="mean", standardise=True, test_fraction=0.3)
    raw = load_data(frame.fillna(-1.0), test_fraction=0.3)  # the same split
    train, test = (np.where(x == -1.0, np.nan, x) for x in (raw.x_train, raw.x_test))
    imputer, scaler = SimpleImputer().fit(train), StandardScaler()
    scaler.fit(imputer.transform(train))
    np.testing.assert_allclose(data.x_train, scaler.transform(imputer.transform(train)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(data.x_test, scaler.transform(imputer.transform(test)), rtol=1e-12, atol=1e-12)
    assert np.isnan(test).any()
    with pytest.raises(AssertionError):  # of all rows they would be others
        np.testing.assert_allclose(imputer.statistics_, SimpleImputer().fit(frame).statistics_, rtol=1e-3)


def test_the_likelihood_in_own_units_is_as_the_description_says():
    frame = people()[["income"]]
    data = load_data(frame, standardise=True, seed=None)
    nats = math.log(frame["income"].std(ddof=0))
    assert f"{nats:.2f} nats lower" in data.description
    own = Preparation.from_dict(data.preparation).own_units(data.x_train)
    np.testing.assert_allclose(own, frame.to_numpy(), rtol=1e-12)


def test_a_constant_column_is_not_divided_by_zero():
    frame = pd.DataFrame({"a": [0.1] * 5, "b": [1.0, 2, 3, 4, 5]})
    x = load_data(frame, standardise=True, seed=None).x_train
    np.testing.assert_allclose(x, StandardScaler().fit_transform(frame), atol=1e-12)


def test_rows_with_missing_cells_are_left_out_with_their_labels():
    frame = people()
    frame.loc[3, "kind"] = None
    data = load_data(frame, label="kind", text="one-hot", missing="drop-rows", seed=None)
    kept = frame.dropna()
    assert len(kept) < N - 5
    assert data.y_train.tolist() == kept["kind"].tolist()
    assert data.x_train[:, 1].tolist() == kept["income"].tolist()
    assert f"{N - len(kept)} rows with missing cells left out" in data.description
    with pytest.raises(ValueError, match="without missing cells .* got none of 60"):
        load_data(frame.assign(age=np.nan), text="drop", missing="drop-rows")


def test_another_table_gets_the_means_and_values_of_the_training_rows(tmp_path):
    frame = people()
    first = load_data(frame, label="kind", text="one-hot", missing="mean", standardise=True)
    record = json.loads(json.dumps(first.preparation, allow_nan=False))
    other = pd.DataFrame(
        {"city": ["Oslo", "Bern"], "note": ["x", "y"], "age": [None, 20.0], "colour": ["red", None], "income": [1.0, 2]}
    )
    with pytest.raises(ValueError, match="got 'note' besides; use a table with 'age', 'income', 'colour', 'city'"):
        load_data(other, preparation=record)
    other = other.drop(columns="note")
    other.to_csv(tmp_path / "other.csv", index=False)
    for source in (other, str(tmp_path / "other.csv")):
        data = load_data(source, preparation=record, seed=None)
        assert data.feature_names == first.feature_names
        rows = [dict(zip(data.feature_names, row, strict=True)) for row in data.x_train]
        assert rows[0]["age"] == 0
        assert rows[1]["age"] == (20 - record["means"]["age"]) / record["scales"]["age"]
        assert [rows[0][f"city={city}"] for city in ("Bern", "Rome")] == [0, 0]
        assert [row["colour=red"] for row in rows] == [1, 0]
        assert "values that training did not see are 0 in all of these: 'city' (1)" in data.description
        assert data.y_train is None
    assert data.preparation["means"] == record["means"]


def test_columns_that_training_left_out_may_be_there_or_not():
    frame = people().dropna()
    record = load_data(frame, drop=["city"], text="drop", label="kind").preparation
    assert record["left_out"] == ["colour", "city"]
    for other in (frame, frame[["income", "age"]], frame.rename(columns={"kind": "sort"})):
        label = "sort" if "sort" in other else None
        data = load_data(other, preparation=record, label=label, seed=None)
        assert data.x_train.tolist() == frame[["age", "income"]].to_numpy().tolist()
        assert (data.y_train is None) == ("kind" not in other and label is None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"income": "much"}, "Expected numbers in 'income' of the pandas frame, as in training, got text"),
        ({"income": None}, r"1 missing in 'income' \(1\), the first in row 1; fill them, or train with one of these"),
    ],
)
def test_other_tables_are_refused_where_training_knew_no_such_cells(change, message):
    frame = people()[["income"]]
    record = load_data(frame).preparation
    with pytest.raises(ValueError, match=message):
        load_data(pd.DataFrame([{"income": 5.0}, change]), preparation=record)


def test_too_many_values_of_text_are_names():
    frame = pd.DataFrame({"name": [f"n{i}" for i in range(MAX_CATEGORIES + 1)]})
    with pytest.raises(ValueError, match="at most 1,000 different values in 'name' .* use --drop name"):
        load_data(frame, text="one-hot", seed=None)
    twice = pd.concat([frame[1:], frame[1:]])
    assert load_data(twice, text="one-hot", seed=None).feature_shape == (MAX_CATEGORIES,)
    with pytest.raises(ValueError, match="that repeat, got another one in most rows of 'name' .* use --drop name"):
        load_data(frame[:60], text="one-hot", seed=None)
    assert load_data(frame[:49], text="one-hot", seed=None).feature_shape == (49,)  # few rows may differ by chance


def test_columns_without_values_and_infinite_cells_are_refused():
    frame = pd.DataFrame({"a": [np.nan, np.nan], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="got none in 'a'; use --drop a"):
        load_data(frame, missing="mean", seed=None)
    with pytest.raises(ValueError, match="Expected finite numbers of moderate size in 'b'"):
        load_data(frame.assign(a=0.0, b=[1.0, np.inf]), standardise=True, seed=None)


numbers = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))
words = st.one_of(st.none(), st.sampled_from(["x", "y", "z", ""]))


@given(
    st.lists(st.tuples(numbers, numbers, words), min_size=2, max_size=30),
    st.lists(st.integers(1, 29), max_size=4),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_pieces_of_a_table_say_what_the_whole_says(rows, cuts, standardise):
    a, b, c = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    whole = Table(("a", "b", "c"), (a.astype(float), b.astype(float), c))
    if np.isnan(whole["a"]).all() or np.isnan(whole["b"]).all() or all(cell is None for cell in c):
        with pytest.raises(ValueError, match="Expected a value"):
            learn(Preparation(whole.names, missing="mean"), [whole])
        return
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = [whole.rows(np.arange(i, j)) for i, j in zip(bounds[:-1], bounds[1:], strict=True)]
    one = learn(Preparation(whole.names, missing="mean"), [whole], standardise=standardise)
    many = learn(Preparation(whole.names, missing="mean"), pieces, standardise=standardise)
    assert one.feature_names == many.feature_names
    x = one.features(whole)
    assert np.isfinite(x).all()
    np.testing.assert_allclose(many.features(whole), x, rtol=1e-6, atol=1e-6 * max(1, np.abs(x).max()))
    assert Preparation.from_dict(json.loads(json.dumps(one.to_dict()))) == one


RECORD = Preparation(("a",), missing="mean", means={"a": 1.0}, scales={"a": 2.0}).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "images"},
        {"dtype": "float16"},
        {"missing": "zero"},
        {"means": {}},
        {"means": {"a": "x"}},
        {"scales": {"a": 0.0}},
        {"scales": [1]},
        {"categories": 3},
        {"columns": None},
    ],
)
def test_records_of_something_else_are_refused(change):
    assert Preparation.from_dict(RECORD).means == {"a": 1.0}
    with pytest.raises(ValueError, match="Expected the record of a table's preparation"):
        Preparation.from_dict(RECORD | change)

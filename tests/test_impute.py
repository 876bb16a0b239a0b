"""Filled frames: what was known, and all else of a frame, is as it was; and what is said where gaps can't be taken."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

from isthmus import PCA, BayesianGaussianMixture, BernoulliMixture, DensityNetwork, GaussianMixture, KMeans
from isthmus.data import Shards


def numbers(n: int = 60) -> np.ndarray:
    """Rows of floats with many digits, (n, 3)."""
    return np.random.RandomState(0).randn(n, 3) @ np.random.RandomState(1).randn(3, 3)


def a_frame(n: int = 60) -> pd.DataFrame:
    """Columns of all kinds, with and without gaps, under an index of its own."""
    rows = numbers(n)
    frame = pd.DataFrame(rows, columns=list("abc"), index=[f"row {i}" for i in range(n)])
    frame.iloc[3, 1] = np.nan
    frame["whole"] = np.random.RandomState(2).randint(0, 9, n)
    frame["single"] = rows[:, 0].astype("float32")
    frame["single, gaps"] = rows[:, 1].astype("float32")
    frame.iloc[[5, 7], -1] = np.nan
    frame["nullable"] = pd.array([None, *range(n - 1)], dtype="Int64")
    frame["objects"] = pd.Series([None, *rows[1:, 2]], index=frame.index, dtype=object)
    return frame


@pytest.mark.parametrize("n_draws", [None, 2])
def test_a_pandas_frame_comes_back_with_its_gaps_filled(n_draws):
    frame = a_frame()
    before = frame.copy()
    rows = frame.to_numpy(dtype=float, na_value=np.nan)
    model = GaussianMixture(2, covariance_type="diag", random_state=0)
    found = model.fit(frame).impute(frame, n_draws=n_draws)
    of_rows = model.fit(rows).impute(rows, n_draws=n_draws)
    pd.testing.assert_frame_equal(frame, before)
    for filled, expected in zip(*([found], [of_rows]) if n_draws is None else (found, of_rows), strict=True):
        assert list(filled.columns) == list(frame.columns)
        assert filled.index.equals(frame.index)
        kinds = {"nullable": "Float64", "objects": "float64"}
        assert {name: str(kind) for name, kind in filled.dtypes.items()} == {
            name: kinds.get(name, str(kind)) for name, kind in frame.dtypes.items()
        }
        assert not filled.isna().any(axis=None)
        for i, name in enumerate(frame):
            known = frame[name].notna().to_numpy()
            np.testing.assert_array_equal(filled[name].to_numpy()[known], frame[name].to_numpy()[known])
            given = filled[name].to_numpy(dtype=float)[~known]
            np.testing.assert_allclose(given, expected[~known, i], rtol=1e-6 if "single" in name else 1e-12)


def test_a_polars_frame_comes_back_with_its_gaps_filled():
    rows = numbers()
    frame = pl.DataFrame({"a": [None, *rows[1:, 0]], "b": [*range(59), None], "c": rows[:, 2].astype("float32")})
    model = GaussianMixture(1, random_state=0)
    filled = model.fit(frame).impute(frame)
    assert filled.schema == {"a": pl.Float64, "b": pl.Float64, "c": pl.Float32}
    np.testing.assert_array_equal(filled.to_numpy(), model.fit(frame.to_numpy()).impute(frame.to_numpy()))
    assert filled["a"][1:].to_list() == frame["a"][1:].to_list()
    assert filled["c"].to_list() == frame["c"].to_list()


def test_binary_frames_are_filled_and_those_that_are_made_so_are_so_throughout():
    cells = pd.DataFrame((numbers() > 0).astype("int8"), columns=list("abc"))
    gaps = cells.astype({"b": float})
    gaps.iloc[4, 1] = np.nan
    filled = BernoulliMixture(2, random_state=0).fit(gaps).impute(gaps)
    assert filled.dtypes.to_dict() == gaps.dtypes.to_dict()
    assert 0 < filled.iloc[4, 1] < 1
    np.testing.assert_array_equal(filled.drop(index=4), gaps.drop(index=4))
    model, rows = BernoulliMixture(2, binarize=5.0, random_state=0), (10 * gaps).to_numpy()
    filled = model.fit(10 * gaps).impute(10 * gaps)
    np.testing.assert_array_equal(filled, model.fit(rows).impute(rows))
    np.testing.assert_array_equal(filled.drop(index=4), cells.drop(index=4))


@pytest.mark.parametrize("make", [lambda: KMeans(2), lambda: BayesianGaussianMixture(2), lambda: PCA(2)])
def test_models_without_gaps_say_where_one_is_and_what_to_do(make):
    rows = numbers()
    rows[[3, 9], 1] = np.nan
    with pytest.raises(ValueError, match=r"got nan in row 3, column 1 \(and in 1 more place\).*use GaussianMixture"):
        make().fit(rows)
    frame = pd.DataFrame(rows, columns=["height", "weight", "age"])
    with pytest.raises(ValueError, match=r"row 3, column 'weight'.*\.impute\(X\) or isthmus impute"):
        make().fit(frame)
    model = make().fit(frame.dropna())
    with pytest.raises(ValueError, match="row 3, column 'weight'"):
        model.transform(frame)
    images = np.tile(numbers(4)[:, :2, None], 2)
    images[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 2, position \(1, 0\)"):
        make().fit(images)


def test_regressors_say_so_too():
    rows = numbers()
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match="as DensityNetwork takes none, got nan in row 3, column 1, counted"):
        DensityNetwork().fit(rows, rows[:, 0])


def test_infinity_has_its_place_too():
    rows = numbers()
    rows[4, 0], rows[7, 2] = np.nan, -np.inf
    with pytest.raises(ValueError, match="NaN where one is missing, got -inf in row 7, column 2, counted"):
        GaussianMixture(2).fit(rows)


def test_blocks_of_shards_say_where_they_begin(monkeypatch, tmp_path):
    monkeypatch.setattr("isthmus.estimators.blocks.BLOCK_BYTES", 1)
    rows = np.tile(numbers(), (50, 1))
    model = KMeans(2, random_state=0).fit(rows)
    rows[-2, 2] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(ValueError, match="From row ") as error:
        model.predict(Shards(tmp_path / "rows.npy"))
    found = re.search(r"From row (\d+) of rows.npy on: Input X contains NaN.* in row (\d+), column 2", str(error.value))
    assert found
    assert int(found[1]) > 0
    assert int(found[1]) + int(found[2]) == len(rows) - 2

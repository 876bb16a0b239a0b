"""Data in memory: labels of any kind beside the examples, and what is not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isthmus.data import load_data


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (pd.Series(["a", "b"] * 2), ["a", "b"] * 2),
        (pd.Series(["a", "b"] * 2, dtype="category"), ["a", "b"] * 2),
        (np.array([3, 1, 2, 2], dtype=object), [3, 1, 2, 2]),
    ],
)
def test_labels_of_a_pair_may_be_a_series_of_text(given, kept):
    assert load_data((np.eye(4), given), seed=None).y_train.tolist() == kept
    assert load_data((pd.DataFrame(np.eye(4)), given), seed=None).y_train.tolist() == kept


def test_masked_numbers_are_not_read():
    with pytest.raises(ValueError, match="got masked ones; use"):
        load_data(np.ma.masked_array(np.eye(4), np.eye(4) > 0))


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "0"])
def test_seeds_are_whole_numbers(wrong):
    for name in ("seed", "binarise"):
        with pytest.raises(ValueError, match=f"Expected {name} as a whole number from 0 on, or None, got"):
            load_data(np.eye(4), **{name: wrong})
    assert load_data(np.eye(4), seed=np.int64(3)).split["seed"] == 3


def test_parts_have_names():
    with pytest.raises(ValueError, match="train, validation, test and all, got 'tset'"):
        load_data(np.eye(4)).part("tset")


def test_one_row_is_data_where_nothing_is_split_off(tmp_path):
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    assert load_data(tmp_path / "one.csv", validation_fraction=0, test_fraction=0).x_train.tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="at least 2 examples"):
        load_data(tmp_path / "one.csv")

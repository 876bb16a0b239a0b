"""Tables of text: numbers and labels from .csv files, or a refusal that names the column and what to do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data import DataSet, load_data
from isthmus.data.table_csv import CsvTable


def table(folder: Path, content: str, **options) -> DataSet:
    path = folder / "table.csv"
    path.write_text(content, encoding=options.pop("encoding", "utf-8"))
    return load_data(str(path), **({"seed": None} | options))


NUMBERS = "1,2,a\n3,4,b\n5,6,a\n"


@pytest.mark.parametrize(
    ("text", "label", "names"),
    [
        ("u,v,w\n" + NUMBERS, "w", ("u", "v")),
        ("u,v,w\n" + NUMBERS, "2", ("u", "v")),
        ("\ufeffu;v;w\n" + NUMBERS.replace(",", ";"), "w", ("u", "v")),
        ('"u","v, too","w"\n' + NUMBERS, "w", ("u", "v, too")),
        ("u,7,w\n" + NUMBERS, "w", ("u", "7")),
        (NUMBERS, "-1", ("column 0", "column 1")),
        (NUMBERS.replace("\n", "\r\n") + "\r\n", "2", ("column 0", "column 1")),
    ],
)
def test_tables_with_and_without_header(text, label, names, tmp_path):
    data = table(tmp_path, text, label=label)
    assert data.feature_names == names
    assert data.x_train.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert data.y_train.tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["0", "1", "1"], [0, 1, 1]),
        (["0.5", "1", "2"], [0.5, 1.0, 2.0]),
        (["true", "False", "true"], ["true", "False", "true"]),
        (["12345678901234567890", "1", "2"], [1.2345678901234567e19, 1.0, 2.0]),
        (["9007199254740993", "1", "2"], [9007199254740993, 1, 2]),
    ],
)
def test_labels_are_integers_numbers_or_text(cells, labels, tmp_path):
    data = table(tmp_path, "u,y\n" + "".join(f"1.5,{cell}\n" for cell in cells), label="y")
    assert data.y_train.tolist() == labels


def test_the_index_that_pandas_writes_is_no_feature(tmp_path):
    for name in ("", "Unnamed: 0"):
        data = table(tmp_path, f"{name},a,b\n0,5,6\n1,7,8\n")
        assert data.feature_names == ("a", "b")
        assert data.x_train.tolist() == [[5, 6], [7, 8]]
    assert "without 'Unnamed: 0'" in data.description
    assert table(tmp_path, "a,,b\n0,5,6\n1,7,8\n").feature_names == ("a", "column 1", "b")


def test_thousands_of_columns_take_no_time_each_for_all_others(tmp_path):
    names = [f"c{i}" for i in range(9_000)] + ["c"] * 1_000
    data = table(tmp_path, ",".join(names) + "\n" + (",".join("1" * 10_000) + "\n") * 2)
    assert data.feature_shape == (10_000,)
    assert data.feature_names[-1] == "c (1000)"


def test_a_first_line_of_commas_is_no_index(tmp_path):
    assert table(tmp_path, ",,\n1,2,3\n4,5,6\n").feature_names == ("column 0", "column 1", "column 2")


def test_truth_values_are_numbers_and_equal_names_are_told_apart(tmp_path):
    data = table(tmp_path, "u,u,u\nTrue,2,3\nfalse,5,6\n")
    assert data.feature_names == ("u", "u (2)", "u (3)")
    assert data.x_train.tolist() == [[1, 2, 3], [0, 5, 6]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("u,v\n1,red\n2,blue\n", {}, r"got text in 'v' \('red' in row 0\); use --text one-hot .* or --drop v"),
        ("u;v\n1,5;2\n2,5;3\n", {}, "write decimals with a point, or use --text"),
        ("u,v\n1,2\n2,true\n", {}, r"got text in 'v' \('true' in row 1\)"),
        ("u,v\n1,2\n2,1_000\n", {}, r"got text in 'v' \('1_000' in row 1\)"),
        (
            "u,v\n1,2\n2,\n",
            {},
            r"got 1 missing in 'v' \(1\), the first in row 1; use --missing mean .* --missing drop-rows",
        ),
        ("u,v\n1,NA\n?,nan\n3,4\n", {}, r"got 3 missing in 'u' \(1\), 'v' \(2\)"),
        ("u,v\n1,2\n2\n", {}, "2 columns in every row .* got 1 in row 1"),
        ("u,v\n1,2\n2,inf\n3,4\n", {}, "got inf in row 1, column 'v'"),
        ("u,v\n1,2\n3,4\n", {"label": "w"}, "Expected a column 'w' .* got 'u', 'v'"),
        ("age,v\n1,2\n3,4\n", {"label": "Age"}, "did you mean 'age'"),
        ("u,v\n1,2\n3,4\n", {"label": "2"}, "label column below 2"),
        ("u,v\n1,2\n3,4\n", {"drop": ["w"]}, "Expected a column 'w' as the column to drop"),
        ("u,v\n1,2\n3,4\n", {"drop": ["u", "v"]}, "Expected a feature that is left"),
        ("u,u\n1,2\n3,4\n", {"label": "u"}, "got 2; use its number"),
        ("u\n1\n2\n", {"label": "u"}, "a feature besides the label"),
        ("u,y\n1,a\n2,\n", {"label": "y"}, "a label in every row .* got none in row 1"),
        ("u,v\n", {}, "got only a header"),
        ("", {}, "got an empty file"),
        ("\u00e4,v\n1,2\n", {"encoding": "utf-16"}, "UTF-8"),
        ("u\n1\n", {"text": "hot"}, "text as one of error, drop, one-hot, got 'hot'"),
        ("u\n1\n", {"missing": "zero"}, "missing as one of error, drop-rows, mean, keep, got 'zero'"),
    ],
)
def test_tables_are_refused_with_the_column_and_what_to_do(text, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text, **options)


def test_a_table_larger_than_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.data.memory.available_memory", lambda: 10**6)
    monkeypatch.setattr("isthmus.data.memory.SMALL", 0)
    with pytest.raises(ValueError, match="the 90,000 rows of table.csv .* use isthmus data convert"):
        table(tmp_path, "u,v\n" + "1,2\n" * 90_000)


cell = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", "NA", " ", "true", "red", "a,b", 'say "x"', "1_0", "inf", "é"]),
)


@given(st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_cells_come_back_as_numbers_or_as_the_text_they_are(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("first", "second", "third"), *rows])
    source = CsvTable(path)
    assert source.names == ("first", "second", "third")
    (piece,) = source.pieces(source.names)
    for column, cells in zip(piece.columns, zip(*rows, strict=True), strict=True):
        for found, written in zip(column, cells, strict=True):
            if column.dtype.kind == "O":
                assert found is None or found == written.strip()
            elif not np.isnan(found):
                assert found == (written == "true" or float(written))


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.sampled_from(["error", "drop", "one-hot"]))
@settings(max_examples=80, deadline=None)
def test_any_text_is_a_table_of_finite_numbers_or_refused(tmp_path_factory, text, how):
    folder = tmp_path_factory.mktemp("csv")
    try:
        data = table(folder, text, text=how, missing="mean")
    except ValueError as error:
        assert str(error).startswith("Expected")  # noqa: PT017
    else:
        assert np.isfinite(data.x_train).all()

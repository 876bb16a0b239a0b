"""Tables: numbers and labels from .csv files, or a refusal that names row and column."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data import DataSet, load_data


def rows(data: DataSet) -> np.ndarray:
    return np.concatenate((data.x_train, data.x_test))


def table(folder: Path, text: str, **options) -> DataSet:
    path = folder / "table.csv"
    path.write_text(text, encoding=options.pop("encoding", "utf-8"))
    return load_data(str(path), **options)


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
    assert sorted(rows(data).tolist()) == [[1, 2], [3, 4], [5, 6]]
    labels = dict(zip(rows(data)[:, 0], (*data.y_train, *data.y_test), strict=True))
    assert labels == {1: "a", 3: "b", 5: "a"}


def test_number_labels_are_integers(tmp_path):
    data = table(tmp_path, "u,y\n1.5,0\n2.5,1\n3.5,1\n", label="y")
    assert data.y_train.dtype.kind == "i"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("u,v\n1,red\n2,blue\n", {}, r"other text in 'v' \(row 0 of 'v' holds 'red'\)"),
        ("u,v\n1,2\n2,\n", {}, r"row 1 of 'v' holds an empty cell"),
        ("u,v\n1,2\n2\n", {}, "2 columns in every row .* got 1 in row 1"),
        ("u,v\n1,2\n2,nan\n3,4\n", {}, "got nan in row 1, column 'v'"),
        ("u,v\n1,2\n3,4\n", {"label": "w"}, "Expected a column 'w' .* got 'u', 'v'"),
        ("u,v\n1,2\n3,4\n", {"label": "2"}, "label column below 2"),
        ("u,u\n1,2\n3,4\n", {"label": "u"}, "got 2; use its number"),
        ("u\n1\n2\n", {"label": "u"}, "a feature besides the label"),
        ("u,v\n", {}, "got only a header"),
        ("", {}, "got an empty file"),
        ("\u00e4,v\n1,2\n", {"encoding": "utf-16"}, "UTF-8"),
    ],
)
def test_tables_are_refused_with_row_and_column(text, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text, **options)


@given(st.text(st.characters(codec="utf-8"), max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_table_of_finite_numbers_or_refused(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("csv")
    try:
        data = table(folder, text)
    except ValueError:
        with pytest.raises(ValueError, match="Expected"):
            table(folder, text)
    else:
        assert np.isfinite(rows(data)).all()

"""Tables with types: Parquet files and frames of pandas and polars, in one way, with every type that they may hold."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.data import load_data
from isthmus.data.parquet import ParquetTable
from isthmus.data.table_csv import CsvTable

D = decimal.Decimal
RNG = np.random.default_rng(0)
NAN = float("nan")


def parquet(folder: Path, columns: dict[str, pa.Array], name: str = "t.parquet") -> str:
    pq.write_table(pa.table(columns), folder / name)
    return str(folder / name)


def same(x: np.ndarray, expected: list) -> bool:
    return np.array_equal(x, np.array(expected, float), equal_nan=True)


ARROW = {
    "int": pa.array([1, None, 3]),
    "whole": pa.array([2**53 - 1, 0, -5], pa.int64()),
    "truth": pa.array([True, None, False]),
    "decimal": pa.array([D("1.25"), None, D("-3.5")]),
    "coded": pa.array([7, 7, 9]).dictionary_encode(),
    "half": pa.array(np.array([0.5, 1, 2], np.float16)),
}


def test_every_type_of_number_is_a_number(tmp_path):
    data = load_data(parquet(tmp_path, ARROW), missing="mean", seed=None)
    assert data.feature_names == tuple(ARROW)
    assert same(data.x_train[0], [1, 2**53 - 1, 1, 1.25, 7, 0.5])
    assert same(data.x_train[1], [2, 0, 0.5, -1.125, 7, 1])


PANDAS = pd.DataFrame(
    {
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "truth": pd.array([True, False, None], dtype="boolean"),
        "codes": pd.Categorical([10, None, 20]),
        "objects": pd.Series([1, D("2.5"), None], dtype=object),
        "huge": [2**70, 1, 0],
        "small": pd.array([1, 2, 3], dtype="int8"),
        "arrow": pd.array([1.5, None, 2.5], dtype="double[pyarrow]"),
    }
)
POLARS = pl.DataFrame(
    {
        "nullable": pl.Series([1, None, 3], dtype=pl.Int32),
        "truth": [True, False, None],
        "codes": [10.0, None, 20.0],
        "objects": pl.Series([D("1"), D("2.5"), None]),
        "huge": [2.0**70, 1, 0],
        "small": pl.Series([1, 2, 3], dtype=pl.UInt16),
        "arrow": pl.Series([1.5, None, 2.5], dtype=pl.Float32),
    }
)


@pytest.mark.parametrize("frame", [PANDAS, POLARS, POLARS.lazy()], ids=["pandas", "polars", "lazy"])
def test_numbers_of_frames(frame):
    data = load_data(frame, missing="mean", seed=None)
    assert same(data.x_train[0], [1, 1, 10, 1, 2.0**70, 1, 1.5])
    assert same(data.x_train[1], [2, 0, 15, 2.5, 1, 2, 2])
    assert same(data.x_train[2], [3, 0.5, 20, 1.75, 0, 3, 2.5])


TEXTS = {
    "pandas": pd.DataFrame({"a": ["x", None, "y"], "b": pd.Categorical(["u", "v", None])}),
    "string": pd.DataFrame({"a": pd.array(["x", None, "y"], "string"), "b": ["u", "v", np.nan]}),
    "polars": pl.DataFrame({"a": ["x", None, "y"], "b": pl.Series(["u", "v", None], dtype=pl.Categorical)}),
}


@pytest.mark.parametrize("name", [*TEXTS, "parquet", "csv"])
def test_text_and_categories_are_alike_wherever_they_come_from(name, tmp_path):
    source = TEXTS.get(name)
    if name == "parquet":
        columns = {"a": pa.array(["x", None, "y"]), "b": pa.array(["u", "v", None]).dictionary_encode()}
        source = parquet(tmp_path, columns)
    if name == "csv":
        TEXTS["pandas"].to_csv(tmp_path / "t.csv")  # with its index
        source = str(tmp_path / "t.csv")
    data = load_data(source, text="one-hot", missing="mean", seed=None)
    assert data.feature_names == ("a=x", "a=y", "b=u", "b=v")
    assert data.x_train.tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    with pytest.raises(ValueError, match="'a' .*'b' .* use --text one-hot"):
        load_data(source)
    with pytest.raises(ValueError, match=r"'a' \(1\), 'b' \(1\)"):
        load_data(source, text="one-hot")


MOMENTS = [datetime.datetime(2026, 1, 31, 12), datetime.datetime(2026, 1, 31, 12)]


@pytest.mark.parametrize(
    "source",
    [
        pd.DataFrame({"when": MOMENTS, "x": [1, 2]}),
        pl.DataFrame({"when": MOMENTS, "x": [1, 2]}),
        {"when": pa.array(MOMENTS), "x": pa.array([1, 2])},
        {"when": pa.array([datetime.timedelta(1), None]), "x": pa.array([1, 2])},
    ],
)
def test_dates_are_text(source, tmp_path):
    source = parquet(tmp_path, source) if isinstance(source, dict) else source
    with pytest.raises(ValueError, match=r"text in 'when' .* --drop when"):
        load_data(source)
    assert load_data(source, text="drop", seed=None).feature_names == ("x",)
    (one, x) = load_data(source, text="one-hot", missing="mean", seed=None).feature_names
    assert one.startswith(("when=2026-01-31 12:00:00", "when=86400", "when=1 day"))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"v": pa.array([[1.0, 2.0], [3.0]])}, "list"),
        ({"v": pa.array([{"a": 1}, {"a": 2}])}, "struct"),
        ({"v": pa.array([b"1", b"2"])}, "binary"),
        (pd.DataFrame({"v": [[1, 2], [3]]}), "list"),
        (pd.DataFrame({"v": [np.zeros(2), np.ones(2)]}), "ndarray"),
        (pd.DataFrame({"v": [1j, 2j]}), "complex128"),
        (pl.DataFrame({"v": [[1, 2], [3]]}), "List"),
    ],
)
def test_nested_columns_are_refused_in_words(source, kind, tmp_path):
    source = parquet(tmp_path, source | {"x": pa.array([1, 2])}) if isinstance(source, dict) else source
    with pytest.raises(ValueError, match=rf"got 'v' \({kind}.*use --drop v, or give each element"):
        load_data(source)
    if isinstance(source, str):
        assert load_data(source, drop=["v"], seed=None).x_train.tolist() == [[1], [2]]


def test_precision_and_pixels_are_kept(tmp_path):
    for dtype, found in (("float32", "float32"), ("int16", "float32"), ("int32", "float64"), ("uint8", "uint8")):
        data = load_data(parquet(tmp_path, {"a": pa.array(np.arange(5, dtype=dtype))}), seed=None)
        assert data.x_train.dtype == found
    again = load_data(pd.DataFrame({"a": [0.0, 255.0]}), preparation=data.preparation, seed=None)
    assert again.x_train.dtype == np.uint8


def test_an_index_of_pandas_is_no_feature(tmp_path):
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [3, 4, 5]})
    for index in (pd.Index([5, 7, 0]), pd.Index([5, 7, 0], name="row")):
        frame.set_index(index).to_parquet(tmp_path / "t.parquet")
        data = load_data(str(tmp_path / "t.parquet"), seed=None)
        assert data.x_train.tolist() == [[1, 3], [2, 4], [3, 5]]
    assert "without 'row'" in data.description


def test_equal_and_dotted_names(tmp_path):
    table = pa.table([pa.array([1, 2]), pa.array([3, 4]), pa.array([5, 6])], names=["a", "b.c", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    data = load_data(str(tmp_path / "t.parquet"), seed=None)
    assert data.feature_names == ("a", "b.c", "a (2)")
    assert data.x_train.tolist() == [[1, 3, 5], [2, 4, 6]]
    table.select([1, 0]).rename_columns(["b.c", "b"])
    pq.write_table(table.select([1]), tmp_path / "t.parquet")
    assert load_data(str(tmp_path / "t.parquet"), seed=None).x_train.tolist() == [[3], [4]]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (pa.array(["b", "a", "b"]), ["b", "a", "b"]),
        (pa.array([True, False, True]), [True, False, True]),
        (pa.array([3, 1, 2]), [3, 1, 2]),
        (pa.array([3.0, 1.0, 2.0]), [3, 1, 2]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
    ],
)
def test_labels_of_every_kind(labels, found, tmp_path):
    columns = {"a": pa.array([1.0, 2, 3]), "y": labels}
    data = load_data(parquet(tmp_path, columns), label="y", seed=None)
    assert data.y_train.tolist() == found
    assert data.feature_names == ("a",)
    gone = columns | {"y": pa.array([None, *labels.to_pylist()[1:]])}
    with pytest.raises(ValueError, match="a label in every row .* none in row 0"):
        load_data(parquet(tmp_path, gone), label="y")


def test_a_file_of_many_row_groups_is_read_in_order(tmp_path):
    table = pa.table({"a": np.arange(1000), "y": [str(i % 7) for i in range(1000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=64)
    data = load_data(str(tmp_path / "t.parquet"), label="y", seed=None)
    assert data.x_train[:, 0].tolist() == list(range(1000))
    assert (data.y_train == np.arange(1000) % 7).all()


def test_pieces_of_a_file_are_not_kept(tmp_path):
    table = pa.table({"a": RNG.normal(size=100_000), "b": RNG.normal(size=100_000)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=5_000)
    del table
    before, held = pa.total_allocated_bytes(), []
    for piece in ParquetTable(tmp_path / "t.parquet").pieces(["a", "b"]):
        held.append(pa.total_allocated_bytes() - before)
        assert len(piece) <= 65_536
    assert max(held) < 8 * 2 * 65_536 * 2  # a piece, and the row group that it is taken from

    pd.DataFrame({"a": RNG.normal(size=60_000), "b": "some text"}).to_csv(tmp_path / "t.csv")
    source = CsvTable(tmp_path / "t.csv")
    tracemalloc.start()
    for piece in source.pieces(["a", "b"]):
        assert len(piece) <= 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000 * 1_000  # bytes: a block of 10,000 rows of 3 cells as Python has them, not six of them


@pytest.mark.parametrize("keep", [0, 4, 100, -8])
def test_truncated_and_foreign_parquet_files_are_refused(keep, tmp_path):
    path = Path(parquet(tmp_path, ARROW))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="Expected a readable Parquet file .* got a truncated or foreign one"):
        load_data(str(path))


def test_damage_inside_a_parquet_file_is_refused(tmp_path):
    path = Path(parquet(tmp_path, {"a": pa.array(np.random.default_rng(0).normal(size=5000))}))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Expected"):
        load_data(str(path))


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one row"):
        load_data(parquet(tmp_path, {"a": pa.array([], pa.float64())}))
    with pytest.raises(ValueError, match="at least one row"):
        load_data(pd.DataFrame({"a": []}))


def test_without_pyarrow_the_error_says_how_to_get_it(tmp_path):
    path = parquet(tmp_path, ARROW)
    code = f"""
import sys
sys.modules["pyarrow"] = None
from isthmus.data import load_data
try:
    load_data({path!r})
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "got none; install it with: pip install 'isthmus[tables]'" in done.stdout


def test_durations_are_text_that_can_be_left_out():
    frame = pl.DataFrame({"d": pl.Series([1, 2], dtype=pl.Duration("ms")), "x": [1.0, 2.0]})
    assert same(load_data(frame, text="drop", seed=None).x_train, [[1], [2]])
    assert load_data(frame, text="one-hot", seed=None).x_train.shape == (2, 3)

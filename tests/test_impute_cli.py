"""Missing values from a file to a filled one: kept while reading, refused by models that don't take them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import isthmus
from isthmus.cli.main import main
from isthmus.data import load_data
from isthmus.data.table_preparation import Preparation


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def binary(n: int = 60) -> np.ndarray:
    """Rows of two sorts, (n, 4), a few values of which are missing."""
    generator = np.random.RandomState(0)
    sort = generator.rand(n, 1) < 0.5
    rows = (generator.rand(n, 4) < np.where(sort, 0.9, 0.1)).astype(float)
    rows[generator.rand(n, 4) < 0.15] = np.nan
    return rows


def as_csv(path, rows: np.ndarray, names: str = "a,b,c,d") -> None:
    cells = [",".join("" if np.isnan(x) else f"{x:g}" for x in row) for row in rows]
    path.write_text("\n".join([names, *cells]) + "\n")


def read_csv(path) -> tuple[str, np.ndarray]:
    return path.read_text().splitlines()[0], np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def test_missing_cells_that_are_kept_are_nan_in_all_features_of_their_column(tmp_path):
    (tmp_path / "table.csv").write_text("u,v\n1,x\n,y\n3,\n5,x\n")
    data = load_data(str(tmp_path / "table.csv"), seed=None, missing="keep", text="one-hot", standardise=True)
    deviation = np.std([1, 3, 5])
    expected = [
        [-2 / deviation, 1, 0],
        [np.nan, 0, 1],
        [0, np.nan, np.nan],
        [2 / deviation, 1, 0],
    ]
    np.testing.assert_allclose(data.x_train, expected)
    assert "missing cells kept: 'u' (1), 'v' (1)" in data.description
    assert Preparation.from_dict(data.preparation).missing == "keep"
    again = load_data(str(tmp_path / "table.csv"), seed=None, preparation=data.preparation)
    np.testing.assert_array_equal(again.x_train, data.x_train)


def test_infinity_is_never_kept(tmp_path):
    (tmp_path / "table.csv").write_text("u,v\n1,2\n,inf\n")
    np.save(tmp_path / "rows.npy", [[1.0, np.nan], [np.inf, 0.0]])
    for name in ("table.csv", "rows.npy"):
        with pytest.raises(ValueError, match="inf in row 1"):
            load_data(str(tmp_path / name), seed=None, missing="keep")


def test_a_column_without_any_value_is_named(tmp_path):
    (tmp_path / "table.csv").write_text("u,v\n1,\n2,\n")
    with pytest.raises(ValueError, match="got none in 'v'; use --drop v"):
        load_data(str(tmp_path / "table.csv"), seed=None, missing="keep")


def test_nan_in_arrays_is_kept_where_asked_for(tmp_path):
    np.save(tmp_path / "rows.npy", binary())
    np.testing.assert_array_equal(load_data(str(tmp_path / "rows.npy"), seed=None, missing="keep").x_train, binary())
    with pytest.raises(ValueError, match="--missing keep"):
        load_data(str(tmp_path / "rows.npy"))
    with pytest.raises(ValueError, match="got 'mean' for rows.npy"):
        load_data(str(tmp_path / "rows.npy"), missing="mean")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a table with missing cells."""
    folder = tmp_path_factory.mktemp("imputing")
    as_csv(folder / "table.csv", binary())
    train = ["train", "bernoulli-mixture", "--data", folder / "table.csv", "--n-components", 2, "--no-report"]
    assert run(*train, "--missing", "keep", "--out", folder / "run") == 0
    return folder / "run"


def test_a_table_is_filled_by_the_model_that_was_trained_on_its_gaps(trained, tmp_path, capsys):
    capsys.readouterr()
    for arguments in ([], ["--data", trained.parent / "table.csv"]):
        assert run("impute", trained, "--out", tmp_path / "filled.csv", "--json", *arguments) == 0
        said = json.loads(capsys.readouterr().out)
        assert said == {
            "rows": 60,
            "values_filled": int(np.isnan(binary()).sum()),
            "out": str(tmp_path / "filled.csv"),
        }
        header, filled = read_csv(tmp_path / "filled.csv")
        assert header == "a,b,c,d"
        np.testing.assert_allclose(filled, isthmus.load(trained).impute(binary()), rtol=1e-15)
        known = ~np.isnan(binary())
        np.testing.assert_array_equal(filled[known], binary()[known])


def test_a_model_of_complete_rows_fills_the_gaps_of_others(tmp_path, capsys):
    as_csv(tmp_path / "whole.csv", np.nan_to_num(binary()))
    as_csv(tmp_path / "gaps.csv", binary()[:, ::-1], "d,c,b,a")  # columns are found by their names
    train = ["train", "bernoulli-mixture", "--n-components", 2, "--no-report", "--out", tmp_path / "run"]
    assert run(*train, "--data", tmp_path / "whole.csv") == 0
    assert run("impute", tmp_path / "run", "--data", tmp_path / "gaps.csv", "--out", tmp_path / "filled.npy") == 0
    expected = isthmus.load(tmp_path / "run").impute(binary())
    np.testing.assert_allclose(np.load(tmp_path / "filled.npy"), expected)
    np.save(tmp_path / "gaps.npy", binary())
    assert run("impute", tmp_path / "run", "--data", tmp_path / "gaps.npy", "--out", tmp_path / "filled.npy") == 0
    np.testing.assert_allclose(np.load(tmp_path / "filled.npy"), expected)
    capsys.readouterr()
    # Other commands still say that the model was trained on complete rows.
    assert run("encode", tmp_path / "run", "--data", tmp_path / "gaps.csv", "--out", tmp_path / "codes.npy") == 1
    assert "trained on complete rows" in capsys.readouterr().err


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("data", [True, False], ids=["data named", "data of the run"])
def test_known_cells_are_written_as_they_were_read(standardise, data, tmp_path, capsys):
    generator = np.random.RandomState(0)
    rows = np.round(generator.randn(40, 3) * [1, 1000, 1e-3] + [0, 3000, 0.5], 6)
    rows[generator.rand(40, 3) < 0.1] = np.nan
    cells = [["" if np.isnan(value) else repr(float(value)).removesuffix(".0") for value in row] for row in rows]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c", *map(",".join, cells)]) + "\n")
    train = ["train", "gaussian-mixture", "--data", tmp_path / "table.csv", "--missing", "keep", "--no-report"]
    train += ["--standardise"] if standardise else []
    assert run(*train, "--out", tmp_path / "run") == 0
    named = ["--data", tmp_path / "table.csv"] if data else []
    assert run("impute", tmp_path / "run", *named, "--out", tmp_path / "filled.csv") == 0
    said = capsys.readouterr().err.splitlines()[-1]
    assert "40 rows read" in said
    assert "to train on" not in said
    filled = [line.split(",") for line in (tmp_path / "filled.csv").read_text().splitlines()[1:]]
    for before, after in zip(cells, filled, strict=True):
        assert all(old in ("", new) and np.isfinite(float(new)) for old, new in zip(before, after, strict=True))
    # What is filled in is what the model says of the rows that it was trained on.
    read = load_data(str(tmp_path / "table.csv"), seed=None, missing="keep")
    record = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["preparation"]
    preparation = Preparation.from_dict(record)
    assert bool(preparation.scales) == standardise
    expected = isthmus.load(tmp_path / "run").impute(preparation.standardised(read.x_train))
    np.testing.assert_allclose(np.array(filled, float), preparation.own_units(expected), rtol=1e-12)
    # The same rows, converted as they were for training, are filled likewise.
    convert = ["data", "convert", tmp_path / "table.csv", "--like", tmp_path / "run", "--out", tmp_path / "rows"]
    assert run(*convert) == 0
    assert run("impute", tmp_path / "run", "--data", tmp_path / "rows", "--out", tmp_path / "rows.npy") == 0
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), np.array(filled, float), rtol=1e-9)
    again = load_data(str(tmp_path / "table.csv"), seed=None, preparation=record)
    np.testing.assert_array_equal(preparation.standardised(read.x_train), again.x_train)


def test_models_that_take_no_missing_values_say_which_do(tmp_path, capsys):
    as_csv(tmp_path / "table.csv", binary())
    assert run("train", "pca", "--data", tmp_path / "table.csv", "--missing", "keep", "--out", tmp_path / "run") == 2
    assert "bernoulli-mixture" in capsys.readouterr().err
    isthmus.PCA(2).fit(np.nan_to_num(binary())).save(tmp_path / "pca")
    assert run("impute", tmp_path / "pca", "--data", tmp_path / "table.csv", "--out", tmp_path / "filled.csv") == 1
    assert "Expected a model that fills missing values" in capsys.readouterr().err
    assert not (tmp_path / "filled.csv").exists()

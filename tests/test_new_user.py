"""As a new user would: own photographs, a table with text and gaps, a labelled Parquet file, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

import isthmus
from isthmus.cli.main import main
from isthmus.data import load_data

SMALL = ("--n-components", "2", "--hidden", "8", "--max-epochs", "2", "--no-report")


class Person:
    """Somebody at a terminal."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture):
        self.folder, self.capsys = folder, capsys

    def does(self, *arguments: object) -> dict:
        """A command that works; its result."""
        assert main([*map(str, arguments), "--json"]) == 0, self.capsys.readouterr().err
        found = self.capsys.readouterr()
        self.told = found.err
        return json.loads(found.out)

    def is_told(self, *arguments: object, code: int = 1) -> str:
        """A command that does not, and leaves nothing behind: one sentence on standard error, and no traceback."""
        assert main(list(map(str, arguments))) == code
        found = self.capsys.readouterr()
        first, *more = [line for line in found.err.strip().splitlines() if not line.endswith("rows written")]
        assert first.startswith("isthmus")
        assert more in ([], ["See: isthmus --help"])
        assert found.out == ""
        assert not (self.folder / "run").exists()
        return first


@pytest.fixture
def person(tmp_path, capsys) -> Person:
    return Person(tmp_path, capsys)


def photographs(folder: Path, seed: int, n: int = 10) -> Path:
    """Pieces of scikit-learn's two photographs, of all sizes."""
    folder.mkdir()
    rng, scenes = np.random.default_rng(seed), load_sample_images().images
    for i in range(n):
        (height, width), (y, x) = rng.integers(40, 120, 2), rng.integers(0, 300, 2)
        Image.fromarray(scenes[i % 2][y : y + height, x : x + width]).save(folder / f"IMG_{i:04}.jpg")
    return folder


def test_own_photographs(person, tmp_path):
    photos, out = photographs(tmp_path / "holiday", 0), tmp_path / "run"
    torn = (photos / "IMG_0003.jpg").read_bytes()[:600]
    (photos / "IMG_0003.jpg").write_bytes(torn)
    (photos / "Thumbs.db").write_bytes(b"x")
    train = ("train", "vae", "--data", photos, "--out", out, *SMALL)
    told = person.is_told(*train)
    assert "IMG_0000.jpg" in told
    assert "use --size 64 --fit crop" in told
    told = person.is_told(*train, "--size", 16, "--fit", "crop")
    assert "IMG_0003.jpg (truncated or damaged); use --bad skip" in told
    person.does(*train, "--size", 16, "--fit", "crop", "--bad", "skip")
    assert "1 bad file skipped: IMG_0003.jpg (truncated or damaged); 1 other file ignored (.db)" in person.told
    note = json.loads((out / "config.json").read_text())["data"]["preparation"]
    assert note["skipped"] == {"IMG_0003.jpg": "truncated or damaged"}

    codes = tmp_path / "codes.npy"
    assert person.does("encode", out, "--out", codes)["rows"] == 9
    more = photographs(tmp_path / "more", 1, 4)  # of other sizes; they are cut as those were
    assert person.does("encode", out, "--data", more, "--out", codes)["rows"] == 4
    x = load_data(str(more), size=16, fit="crop", seed=None).x_train
    assert np.array_equal(np.load(codes), isthmus.load(out).transform(x))
    (more / "IMG_0000.jpg").write_bytes(torn)
    assert person.does("encode", out, "--data", more, "--out", codes)["rows"] == 3
    assert main(["encode", str(out), "--data", str(more), "--bad", "error"]) == 1
    assert "IMG_0000.jpg" in person.capsys.readouterr().err
    assert person.does("reconstruct", out, "--data", more, "--out", codes)["rows"] == 3
    assert np.load(codes).shape == (3, 3, 16, 16)
    person.does("train", "vae", "--resume", "--out", out, "--max-epochs", 3, "--no-report")
    assert len(isthmus.load(out).history_) == 3


def people(n: int = 60) -> pd.DataFrame:
    """Numbers of unlike units, text, and cells that nobody filled in."""
    rng = np.random.default_rng(n)
    frame = pd.DataFrame(
        {
            "age": rng.integers(10, 90, n),
            "income": np.round(rng.lognormal(10, 1, n), 2),
            "colour": rng.choice(["red", "green", "blue"], n),
            "kind": rng.choice(["a", "b"], n),
        }
    )
    return frame.mask(rng.random(frame.shape) < [0.1, 0, 0, 0])


def test_a_table_with_text_and_missing_cells(person, tmp_path):
    table, other, out, codes = (tmp_path / name for name in ("people.csv", "other.csv", "run", "codes.npy"))
    people().to_csv(table)  # with its index, as everybody does first
    people(30).drop(columns="kind").iloc[:, ::-1].to_csv(other, index=False)
    train = ("train", "pca", "--data", table, "--label", "kind", "--out", out, "--no-report")
    told = person.is_told(*train)
    assert "text in 'colour'" in told
    assert "use --text one-hot" in told
    told = person.is_told(*train, "--text", "one-hot")
    assert "missing in 'age'" in told
    assert "use --missing mean" in told
    assert "did you mean 'kind'" in person.is_told(*train, "--label", "kin", "--text", "drop")
    person.does(*train, "--text", "one-hot", "--missing", "mean", "--standardise")
    assert "likelihoods are per standard deviation of each column" in person.told
    notes = person.does("evaluate", out)["notes"]
    assert any("likelihoods are per standard deviation of each column" in note for note in notes)

    # Another file is filled, scaled and marked as the training rows say: here done by pandas and scikit-learn.
    assert person.does("encode", out, "--data", other, "--out", codes)["rows"] == 30
    raw = load_data(people().fillna({"age": -1.0})[["age", "income"]]).x_train  # the rows trained on
    imputer = SimpleImputer(missing_values=-1.0).fit(raw)
    scaler = StandardScaler().fit(imputer.transform(raw))
    new = people(30)
    numbers = scaler.transform(imputer.transform(new[["age", "income"]].fillna({"age": -1.0}).to_numpy()))
    marks = pd.get_dummies(new["colour"]).to_numpy(float)
    expected = isthmus.load(out).transform(np.hstack((numbers, marks)))
    np.testing.assert_allclose(np.load(codes), expected, atol=1e-9)

    person.does("sample", out, "-n", 200, "--out", tmp_path / "new.csv")
    drawn = pd.read_csv(tmp_path / "new.csv")
    assert list(drawn.columns) == ["age", "income", "colour=blue", "colour=green", "colour=red"]
    assert 30 < drawn["age"].mean() < 70  # in years, not in standard deviations
    person.does("reconstruct", out, "--data", other, "--out", tmp_path / "new.csv")
    assert 30 < pd.read_csv(tmp_path / "new.csv")["age"].mean() < 70


def test_a_labelled_parquet_file(person, tmp_path):
    table, out = tmp_path / "people.parquet", tmp_path / "run"
    frame = people().assign(
        kind=lambda f: f["kind"].astype("category"), when=pd.Timestamp("2026-01-01"), tags=[[1]] * 60
    )
    frame.to_parquet(table)
    train = ("train", "autoencoder", "--data", table, "--label", "kind", "--out", out, *SMALL)
    assert "'tags' (list" in person.is_told(*train)
    assert "--drop" in person.is_told(*train, "--drop", "tags")
    options = ("--drop", "tags", "when", "colour", "--missing", "drop-rows", "--standardise")
    assert "logistic_accuracy" in person.does(*train, *options)["measures"]
    n = int(frame["age"].notna().sum())
    assert f"{60 - n:,} rows with missing cells left out" in person.told
    assert person.does("encode", out, "--data", table, "--out", tmp_path / "c.csv")["rows"] == n
    assert "logistic_accuracy" in person.does("evaluate", out, "--data", table)["measures"]


def test_data_larger_than_memory(person, tmp_path, monkeypatch):
    table, converted, out = tmp_path / "people.parquet", tmp_path / "rows", tmp_path / "run"
    people().to_parquet(table)
    options = ("--label", "kind", "--text", "one-hot", "--missing", "mean", "--standardise")
    with monkeypatch.context() as small:
        small.setattr("isthmus.data.memory.SMALL", 0)
        small.setattr("isthmus.data.memory.available_memory", lambda: 1000)
        told = person.is_told("train", "pca", "--data", table, "--out", out, *options)
        assert "use isthmus data convert" in told
    person.does("data", "convert", table, "--out", converted, *options)
    whole = load_data(str(table), label="kind", text="one-hot", missing="mean", standardise=True, seed=None)
    rows = load_data(str(converted), seed=None)
    np.testing.assert_allclose(rows.x_train, whole.x_train, rtol=1e-12)
    assert rows.y_train.tolist() == whole.y_train.tolist()
    assert rows.feature_names == whole.feature_names
    assert rows.preparation["means"] == pytest.approx(whole.preparation["means"])

    person.does("train", "pca", "--data", converted, "--out", out, "--no-report")
    codes = [tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "c.npy"]
    person.does("data", "convert", table, "--out", tmp_path / "again", "--like", out)
    for source, file in zip((converted, table, tmp_path / "again"), codes, strict=True):
        person.does("encode", out, "--data", source, "--out", file)
    assert all(np.array_equal(np.load(codes[0]), np.load(file)) for file in codes[1:])


def test_pieces_are_written_whole_or_not_at_all(person, tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.data.convert.SHARD_BYTES", 1)
    monkeypatch.setattr("isthmus.data.images._BLOCK", 3)
    monkeypatch.setattr("isthmus.data.table_csv._ROWS", 7)
    photos, table = photographs(tmp_path / "holiday", 0), tmp_path / "t.csv"
    convert = ("data", "convert", photos, "--out", tmp_path / "rows")
    assert "--fit crop" in person.is_told(*convert)
    (photos / "IMG_0009.jpg").write_bytes(b"")
    size = ("--size", 12, "--fit", "resize")
    assert "IMG_0009.jpg" in person.is_told(*convert, *size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday"]
    assert person.does(*convert, *size, "--bad", "skip")["rows"] == 9
    assert len(list((tmp_path / "rows").glob("*.npy"))) == 3
    same = load_data(str(photos), size=12, fit="resize", bad="skip", seed=None)
    assert np.array_equal(load_data(str(tmp_path / "rows"), seed=None).x_train, same.x_train)
    assert "which is there; use another --out" in person.is_told(*convert, *size)
    assert "--missing" in person.is_told(*convert, "--missing", "mean", code=2)

    people().to_csv(table, index=False)
    told = person.is_told("data", "convert", table, "--out", tmp_path / "t", "--text", "one-hot")
    assert "missing in 'age'" in told
    done = person.does("data", "convert", table, "--out", tmp_path / "t", "--text", "drop", "--missing", "drop-rows",
                       "--label", "kind")  # fmt: skip
    kept = people().dropna()
    assert done["rows"] == len(kept)
    rows = load_data(str(tmp_path / "t"), seed=None)
    assert np.array_equal(rows.x_train, kept[["age", "income"]].to_numpy())
    assert rows.y_train.tolist() == kept["kind"].tolist()


def test_what_does_not_go_together_is_said(person, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((20, 3)))
    assert "missing" in person.is_told(
        "train", "pca", "--data", tmp_path / "x.npy", "--missing", "mean", "--out", "run"
    )
    photos, table = photographs(tmp_path / "p", 0), tmp_path / "t.csv"
    people().dropna().to_csv(table, index=False)
    person.does("train", "pca", "--data", photos, "--size", 8, "--fit", "crop", "--out", tmp_path / "a", "--no-report")
    assert "Expected images, as in training" in person.is_told("encode", tmp_path / "a", "--data", table)
    person.does("train", "pca", "--data", table, "--text", "one-hot", "--out", tmp_path / "b", "--no-report")
    assert "Expected a table with the columns of training" in person.is_told("encode", tmp_path / "b", "--data", photos)
    person.does("data", "convert", table, "--text", "one-hot", "--standardise", "--out", tmp_path / "rows")
    told = person.is_told("encode", tmp_path / "b", "--data", tmp_path / "rows")
    assert "use isthmus data convert" in told or "with isthmus data convert --like" in told


def test_a_run_finds_its_data_from_another_folder(tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(60, 4)))
    monkeypatch.chdir(tmp_path)
    assert main("train pca --data rows.npy --n-components 2 --no-report --out run".split()) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main("evaluate ../run".split()) == 0


def test_a_mistyped_parameter_is_found_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(f"train vae --data digits --max-epochs 0 --out {out}".split()) == 2
    assert "Expected max_epochs >= 1, got 0" in capsys.readouterr().err
    assert not out.exists()
    assert main("train --data digits --max-epochs 2".split()) == 2
    assert "expected a model before the options" in capsys.readouterr().err
    assert main("train vae --data mnits".split()) == 1
    assert "did you mean mnist?" in capsys.readouterr().err


def test_encode_does_not_write_over_its_own_data(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",")
    before = (tmp_path / "rows.csv").read_bytes()
    assert main(f"train pca --data {tmp_path}/rows.csv --n-components 2 --no-report --out {tmp_path}/run".split()) == 0
    assert main(f"encode {tmp_path}/run --data {tmp_path}/rows.csv --out {tmp_path}/rows.csv".split()) == 2
    assert "is the file that the data are read from" in capsys.readouterr().err
    assert (tmp_path / "rows.csv").read_bytes() == before


def test_dates_are_no_categories(tmp_path, capsys):
    lines = [f"2024-01-{1 + i % 28}T{i % 24:02}:{i % 60:02},{i * 0.1}" for i in range(80)]
    (tmp_path / "dates.csv").write_text("when,value\n" + "\n".join(lines))
    assert (
        main(f"train pca --data {tmp_path}/dates.csv --n-components 1 --text one-hot --out {tmp_path}/run".split()) == 1
    )
    assert "text that repeat, got another one in most rows of 'when'" in capsys.readouterr().err

"""Files larger than a buffer on the command line: the same commands, and the same results as with all in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isthmus.cli.main import main
from isthmus.data import Shards
from isthmus.estimators import blocks, load

SMALL = ["--max-epochs", "2", "--hidden", "16", "--n-components", "4", "--batch-size", "64", "--buffer-bytes", "20000"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Images in a file of four buffers, and in a folder."""
    folder = tmp_path_factory.mktemp("data")
    rows = np.random.default_rng(0).integers(0, 256, (1500, 8, 8), np.uint8)
    np.save(folder / "large.npy", rows)
    (folder / "parts").mkdir()
    for i, part in enumerate(np.array_split(rows, 3)):
        np.save(folder / "parts" / f"{i}.npy", part)
    return folder / "large.npy"


@pytest.fixture(scope="module")
def trained(large, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "vae"
    assert run("train", "vae", "--data", large, "--out", out, *SMALL) == 0
    return out


def rows_of(path: Path) -> np.ndarray:
    return np.load(path)["x"] if path.suffix == ".npz" else np.load(path)


def test_a_run_on_a_large_file_is_whole(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["data"]["keywords"] == {"buffer_bytes": 20000}
    assert config["data"]["split"]["block_rows"] == 15
    assert (trained / "report.html").exists()
    measures = json.loads((trained / "measures.json").read_text())
    assert "bound" in json.dumps(measures)


def test_a_run_on_a_large_file_resumes(trained, tmp_path, large):
    out = tmp_path / "run"
    assert run("train", "vae", "--data", large, "--out", out, "--no-report", *SMALL[2:], "--max-epochs", "1") == 0
    assert run("train", "vae", "--resume", "--out", out, "--no-report", "--max-epochs", "2") == 0
    x = np.load(large)
    np.testing.assert_array_equal(load(out).transform(x), load(trained).transform(x))


@pytest.mark.parametrize("name", ["out.npy", "out.npz", "out.csv"])
def test_rows_are_written_block_by_block(trained, tmp_path, monkeypatch, large, name):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 64 * 256)  # 256 rows
    model, x, out = load(trained), np.load(large), tmp_path / name
    for command, expected in (("encode", model.transform(x)), ("reconstruct", model.reconstruct(x))):
        assert run(command, trained, "--out", out) == 0
        if out.suffix == ".csv":
            found = np.loadtxt(out, delimiter=",", skiprows=1, dtype=np.float32)
            np.testing.assert_array_equal(found, expected.reshape(len(x), -1))
        else:
            np.testing.assert_array_equal(rows_of(out), expected)
            assert rows_of(out).dtype == expected.dtype
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_parts_and_other_data_may_be_asked_for(trained, tmp_path, large):
    model = load(trained)
    assert run("encode", trained, "--data", large.parent / "parts", "--out", tmp_path / "codes.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), model.transform(np.load(large)))
    assert run("encode", trained, "--part", "test", "--out", tmp_path / "codes.npy") == 0
    assert len(np.load(tmp_path / "codes.npy")) < 300
    assert run("evaluate", trained, "--part", "train", "--json") == 0


def test_an_interrupted_writer_leaves_nothing(trained, tmp_path, monkeypatch):
    reads = []

    def read(self, *known, original=Shards.read):
        reads.append(known)
        if len(reads) > 2:
            raise OSError(5, "Input/output error")
        return original(self, *known)

    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 64 * 256)
    monkeypatch.setattr(Shards, "read", read)
    assert run("encode", trained, "--out", tmp_path / "codes.npy") == 1
    assert list(tmp_path.iterdir()) == []

"""A conditional model on the command line: labels come with the data, and where they don't, an error says how."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus import ConditionalVAE
from isthmus.cli.main import main
from isthmus.data import Shards

SMALL = ["--max-epochs", "2", "--hidden", "16", "--n-components", "2"]
NAMES = np.array(["cat", "dog", "emu"])


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Tables with a label column, with one of other labels, and without; rows in files that have none either."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for name, labels in {"known": NAMES, "unknown": np.array(["cow"]), "bare": None, "rare": NAMES}.items():
        rows = rng.normal(size=(60, 3))
        lines = [",".join(map(str, row)) for row in rows]
        if labels is not None:
            drawn = rng.choice(labels, 60)
            if name == "rare":
                drawn[:] = "cat"
                drawn[-1] = "dog"
            lines = [f"{line},{label}" for line, label in zip(lines, drawn, strict=True)]
        header = "a,b,c" + ("" if labels is None else ",kind")
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n")
    np.save(folder / "rows.npy", rng.normal(size=(60, 3)))
    return folder


@pytest.fixture(scope="module")
def trained(folder) -> Path:
    out = folder / "run"
    arguments = ("--data", folder / "known.csv", "--label", "kind", "--out", out, "--no-report", *SMALL)
    assert run("train", "conditional-vae", *arguments) == 0
    return out


def test_every_command_tells_the_model_the_labels_of_its_data(trained, folder, tmp_path, capsys):
    model, data = isthmus.load(trained), isthmus.load_data(folder / "known.csv", label="kind", seed=None)
    assert model.classes_.tolist() == list(NAMES)
    for name, expected in {
        "encode": model.transform(data.x_train, data.y_train),
        "reconstruct": model.reconstruct(data.x_train, data.y_train),
    }.items():
        assert run(name, trained, "--out", tmp_path / "out.npy") == 0
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    capsys.readouterr()
    assert run("evaluate", trained, "--part", "all", "--json") == 0
    measures = json.loads(capsys.readouterr().out)
    assert measures["likelihood_of"] == "continuous density, given y"
    assert measures["measures"]["bound"]["value"] == pytest.approx(model.score(data.x_train, data.y_train), rel=1e-6)
    assert run("train", "--resume", "--out", trained, "--no-report") == 0


def test_samples_of_a_class_and_of_every_class_in_order(trained, tmp_path):
    model = isthmus.load(trained)
    for arguments, conditions in (
        (("-n", 5, "--condition", "dog"), "dog"),
        (("-n", 7), ["cat", "cat", "cat", "dog", "dog", "emu", "emu"]),
    ):
        assert run("sample", trained, *arguments, "--seed", 3, "--out", tmp_path / "x.npy") == 0
        expected = model.sample(arguments[1], random_state=3, conditions=conditions)
        np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    assert run("sample", trained, "--prior", "gaussian", "--condition", "emu", "--out", tmp_path / "x.npy") == 0


def test_what_is_told_is_checked(trained, folder, tmp_path, capsys):
    vae, vectors = folder / "vae", folder / "vectors"
    assert run("train", "vae", "--data", folder / "bare.csv", "--out", vae, "--no-report", *SMALL) == 0
    X = np.random.default_rng(0).normal(size=(20, 3))
    ConditionalVAE(1, hidden=(4,), max_epochs=1, random_state=0).fit(X, X[:, :2]).save(vectors)
    assert run("sample", vectors, "--condition", "0.5,1", "--out", tmp_path / "x.npy") == 0
    expected = isthmus.load(vectors).sample(16, random_state=0, conditions=[0.5, 1])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    capsys.readouterr()
    for arguments, code, message in (
        ((trained, "--condition", "dgo"), 2, "unknown --condition 'dgo'; did you mean 'dog'?"),
        ((vae, "--condition", "dog"), 2, "expected no --condition for VAE"),
        ((vectors,), 2, "expected --condition as numbers with commas"),
        ((vectors, "--condition", "1,2,3"), 1, "a vector of 2 numbers"),
    ):
        assert run("sample", *arguments, "--out", tmp_path / "none.npy") == code
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none.npy").exists()


def test_data_without_labels_or_with_others_are_an_error_before_anything_is_written(trained, folder, tmp_path, capsys):
    out = tmp_path / "run"
    for data in ("bare.csv", "rows.npy"):
        assert run("train", "conditional-vae", "--data", folder / data, "--out", out, *SMALL) == 1
        message = capsys.readouterr().err
        assert "ConditionalVAE is told that of each row, got data without them" in message
        assert "--label" in message
        for command in ("encode", "reconstruct", "evaluate"):
            where = () if command == "evaluate" else ("--out", tmp_path / "out.npy")
            assert run(command, trained, "--data", folder / data, *where) == 1
            assert "--label" in capsys.readouterr().err
    for command in ("encode", "reconstruct"):
        arguments = ("--data", folder / "unknown.csv", "--out", tmp_path / "out.npy")
        assert run(command, trained, *arguments) == 1
        assert "Expected labels known from fit, 'cat', 'dog', 'emu', got 'cow'." in capsys.readouterr().err
    seeds = (("--split-seed", str(seed)) for seed in range(9))
    codes = {run("train", "conditional-vae", "--data", folder / "rare.csv", "--label", "kind", "--out",
                 tmp_path / f"rare{i}", "--no-report", *SMALL, *seed) for i, seed in enumerate(seeds)}  # fmt: skip
    assert codes == {0, 1}  # the only dog is to be learnt from, or not
    assert "known from fit, 'cat', got 'dog'" in capsys.readouterr().err
    refused = [i for i in range(9) if not (tmp_path / f"rare{i}").exists()]
    assert refused
    assert not (tmp_path / "out.npy").exists()
    assert not out.exists()


def test_blocks_of_rows_keep_their_labels(trained, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.estimators.blocks.BLOCK_BYTES", 1)
    monkeypatch.setattr("isthmus.estimators.blocks.CHUNK_SIZE", 16)
    data = isthmus.load_data(folder / "known.csv", label="kind", seed=None)
    in_files = data._replace(x_train=Shards(data.x_train))
    monkeypatch.setattr("isthmus.cli.options.RunDataOptions.load_data", lambda *_, **__: in_files)
    assert run("encode", trained, "--out", tmp_path / "out.npy") == 0
    expected = isthmus.load(trained).transform(data.x_train, data.y_train)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)

"""A classifier from the command line: train on the data's labels, evaluate, predict, encode, resume."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import isthmus
from isthmus.cli.main import main
from isthmus.data import load_data
from isthmus.report.classification import confusions
from isthmus.report.view import DataView, ModelView

SMALL = ["--hidden", "16", "8", "--layer-epochs", "2", "--max-epochs", "3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run."""
    folder = tmp_path_factory.mktemp("classifier") / "run"
    assert main(["train", "pretrained-classifier", *SMALL, "--layer", "denoising", "--out", str(folder)]) == 0
    return folder


def test_a_run_has_measures_and_a_report_of_a_classifier(run, capsys):
    measures = json.loads((run / "measures.json").read_text())["measures"]
    assert set(measures) == {"accuracy", "error", "log_loss"}
    assert all(measure["standard_error"] > 0 for measure in measures.values())
    assert (run / "plots" / "confusion-pretrainedclassifier.png").exists()
    assert (run / "plots" / "training-pretrainedclassifier-layer-2.png").exists()
    page = (run / "report.html").read_text()
    assert "to tell 10 classes apart" in page
    assert "rebuild" not in page
    assert main(["evaluate", str(run), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["measures"]
    assert again == measures
    data = load_data("digits")
    assert isthmus.load(run).score(data.x_test, data.y_test) == measures["accuracy"]["value"]
    assert (run / "layer-2" / "metrics.jsonl").exists()


def test_predict_and_encode(run, tmp_path, capsys):
    model, X = isthmus.load(run), load_data("digits", seed=None).x_train
    np.save(tmp_path / "rows.npy", X)
    out = tmp_path / "labels.csv"
    command = ["predict", str(run), "--data", str(tmp_path / "rows.npy"), "--out"]
    assert main([*command, str(out), "--probabilities", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 1797, "classes": 10, "out": str(out)}
    header, *rows = csv.reader(out.read_text().splitlines())
    assert header == ["label", *(f"p({i})" for i in range(10))]
    assert [int(row[0]) for row in rows] == model.predict(X).tolist()
    np.testing.assert_allclose(np.array(rows, float)[:, 1:], model.predict_proba(X), rtol=1e-5)
    assert main([*command, str(tmp_path / "labels.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), model.predict(X))
    assert main([*command, str(tmp_path / "labels.txt")]) == 2
    assert "expected --out to end in .csv or .npy" in capsys.readouterr().err
    assert main(["encode", str(run), "--out", str(tmp_path / "codes.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), model.transform(X))


def test_the_confusion_matrix_counts_what_is_taken_for_what(run, tmp_path, capsys):
    model, data = isthmus.load(run), load_data("digits")
    view = ModelView("a", model, DataView.of(data))
    counts, names = confusions(view)
    np.testing.assert_array_equal(counts, confusion_matrix(data.y_test, model.predict(data.x_test)))
    assert names == [str(i) for i in range(10)]
    assert main(["plot", str(run), "confusion", "--out", str(tmp_path / "confusion.png")]) == 0
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_refused(run, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.eye(20))
    base = [
        "train",
        "pretrained-classifier",
        *SMALL,
        "--data",
        str(tmp_path / "rows.npy"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(base) == 1
    assert "Expected labels for PretrainedClassifier to learn" in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()
    assert main([*base, "--layer", "rbm", "--activation", "relu"]) == 2
    assert "Expected activation 'sigmoid'" in capsys.readouterr().err
    assert main(["train", "pca", "--out", str(tmp_path / "pca"), "--no-report"]) == 0
    assert main(["predict", str(tmp_path / "pca")]) == 1
    assert "Expected a classifier, " in capsys.readouterr().err


def test_classes_of_test_rows_alone_are_an_error_before_anything_is_written(tmp_path, capsys):
    lines = [f"{i % 7},{i % 5},{('cat', 'emu')[i % 2] if i else 'dog'}" for i in range(40)]
    (tmp_path / "rare.csv").write_text("\n".join(["a,b,kind", *lines]) + "\n")
    command = ["train", "pretrained-classifier", "--data", str(tmp_path / "rare.csv"), "--label", "kind", *SMALL]
    seeds = range(4)
    codes = [main([*command, "--no-report", "--split-seed", f"{i}", "--out", f"{tmp_path}/{i}"]) for i in seeds]
    assert set(codes) == {0, 1}  # the only dog is among the rows to learn from, or not
    assert "Expected labels among ['cat', 'emu'], got also dog" in capsys.readouterr().err
    assert [(tmp_path / f"{i}").exists() for i in seeds] == [code == 0 for code in codes]


def test_layers_by_name_on_the_command_line(tmp_path, capsys):
    command = ["train", "stacked-autoencoder", "--layer", "rbm", "denoising", "--hidden", "8", "--n-components", "3"]
    command += ["--layer-epochs", "1", "--max-epochs", "1", "--out", str(tmp_path / "run"), "--no-report"]
    assert main([*command]) == 0
    model = isthmus.load(tmp_path / "run")
    assert model.layer == ("rbm", "denoising")
    assert [layer["kind"] for layer in model.layers_] == ["RBM", "DenoisingAutoencoder"]
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--no-report"]) == 0
    assert main(["train", "stacked-autoencoder", "--layer", "sparse", "--resume", "--out", str(tmp_path / "run")]) == 2
    assert "a resumed run keeps its --layer" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["sample"], ["reconstruct"], ["encode", "--bits", "8"]])
def test_a_classifier_makes_no_rows(command, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *options = command
    assert main([name, str(run), *options]) == 1
    wanted = "to draw rows from in" if name == "sample" else "that makes rows of codes in"
    assert f"Expected a model {wanted}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

"""Regressors on the command line: targets from a column, predictions as a file, measures, pictures; errors in words."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import isthmus
from isthmus.cli.main import main
from isthmus.data import load_data
from isthmus.report import plot

TRAIN = {
    "density-network": ["--hidden", "8", "--max-epochs", "3"],
    "bayesian-neural-network": ["--hidden", "4", "--n-steps", "40", "--n-rounds", "2", "--random-state", "0"],
}


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """A table with numbers to predict, and a column of text."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.RandomState(0)
    area = generator.uniform(50, 200, 60)
    with open("homes.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["area", "price", "town"])
        for a in area:
            writer.writerow([f"{a:.3f}", f"{2000 * a + 9000 * generator.randn():.2f}", generator.choice(["Ry", "Ely"])])
    return tmp_path


@pytest.mark.parametrize("model", TRAIN)
def test_train_predict_and_evaluate(model, homes, capsys):
    train = ["train", model, "--data", "homes.csv", "--label", "price", "--drop", "town", "--out", "run"]
    assert main([*train, *TRAIN[model]]) == 0
    assert {path.name.split("-")[0] for path in (homes / "run" / "plots").iterdir()} >= {"prediction", "calibration"}
    assert main(["predict", "run", "--data", "homes.csv", "--out", "prices.csv", "--level", "0.5"]) == 0
    with open("prices.csv", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["mean", "sd", "low", "high"]
    numbers = np.array(rows, dtype=float)
    data = load_data("homes.csv", label="price", drop=["town"], seed=None)
    estimator = isthmus.load("run")
    np.testing.assert_allclose(numbers[:, 0], estimator.predict(data.x_train), rtol=1e-6)
    np.testing.assert_allclose(numbers[:, 2:].T, estimator.predict_interval(data.x_train, 0.5), rtol=1e-6)
    capsys.readouterr()
    assert main(["evaluate", "run", "--data", "homes.csv", "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)["measures"]
    assert measures["log_likelihood"]["value"] == pytest.approx(estimator.score(data.x_train, data.y_train))
    assert set(measures) == {"log_likelihood", "rmse", "explained_variance", "coverage_90", "width_90"}
    assert plot("predictions", estimator, data).startswith(b"\x89PNG")


def test_a_run_goes_on_where_it_was_stopped(homes, capsys):
    """Its parts are read from the run folder, which it shall not overwrite."""
    train = ["train", "bayesian-neural-network", "--data", "homes.csv", "--label", "price", "--drop", "town"]
    train += ["--out", "run", "--no-report", *TRAIN["bayesian-neural-network"]]
    assert main(train) == 0
    assert "BayesianNeuralNetwork, round 3 of 3" in capsys.readouterr().err
    assert main(["sample", "run"]) == 1  # it draws targets, not rows
    assert "which has no distribution of rows; use" in capsys.readouterr().err
    before = (homes / "run" / "measures.json").read_text()
    (homes / "run" / "model.safetensors").unlink()
    for last in (homes / "run" / "part-03" / "checkpoints").iterdir():
        last.unlink()
    assert main(train) == 2
    assert "run holds a run already; use --resume" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", "run", "--no-report"]) == 0
    assert (homes / "run" / "measures.json").read_text() == before


def test_targets_that_are_missing_or_text_are_found_before_training(homes, capsys):
    for model, options in TRAIN.items():
        train = ["train", model, "--data", "homes.csv", "--out", "run", *options]
        assert main([*train, "--drop", "town"]) == 1
        assert "Expected numbers for" in (error := capsys.readouterr().err)
        assert "--label" in error
        assert main([*train, "--label", "town"]) == 1
        assert "got text such as" in capsys.readouterr().err
        assert not (homes / "run" / "config.json").exists()


def test_a_level_out_of_range_is_refused(homes, capsys):
    train = ["train", "density-network", "--data", "homes.csv", "--label", "price", "--drop", "town", "--no-report"]
    assert main([*train, "--out", "run", *TRAIN["density-network"]]) == 0
    capsys.readouterr()
    assert main(["predict", "run", "--data", "homes.csv", "--level", "90"]) == 2
    assert "expected --level in (0, 1), got 90" in capsys.readouterr().err

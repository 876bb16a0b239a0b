"""`isthmus posterior FILE.py`: the table, draws, JSON, and what is said of files that can't be used."""

from __future__ import annotations

import json

import numpy as np
import pytest

from isthmus.cli.main import main

FILE = """
from torch import tensor
from torch.distributions import Normal, constraints
from isthmus.inference import Parameters
import beside

parameters = Parameters(mu=constraints.real, theta=(constraints.simplex, 3))

def log_density(mu, theta):
    return Normal(beside.MEAN, 2.0).log_prob(mu) + (tensor([1.0, 2.0, 3.0]) * theta.log()).sum()

def of_a_vector(x):
    return -0.5 * x.dot(x)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("MEAN = 5.0\n")
    path = tmp_path / "model.py"
    path.write_text(FILE)
    return path


def test_a_posterior_is_fitted_and_its_draws_are_written(file, tmp_path, capsys):
    assert main(["posterior", str(file), "--out", str(tmp_path / "draws.npz"), "--n", "500"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()[1:5]] == ["mu", "theta[0]", "theta[1]", "theta[2]"]
    assert "k-hat" in printed.out
    assert "wrote 500 draws" in printed.err
    with np.load(tmp_path / "draws.npz") as draws:
        assert {name: draws[name].shape for name in draws.files} == {"mu": (500,), "theta": (500, 3)}
        np.testing.assert_allclose(draws["mu"].mean(), 5, atol=0.3)


def test_the_result_is_json_and_a_function_of_the_seed(file, capsys):
    found = []
    for seed in ("1", "1", "2"):
        assert main(["posterior", str(file), "--seed", seed, "--json", "--family", "full-rank"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] != found[2]
    assert found[0]["parameters"]["mu"]["mean"] == pytest.approx(5, abs=0.2)
    assert found[0]["family"] == "full-rank"


def test_dim_stands_for_a_plain_vector(tmp_path, capsys):
    path = tmp_path / "plain.py"
    path.write_text("dim = 2\ndef density(x):\n    return -0.5 * x.dot(x)\n")
    assert main(["posterior", str(path), "--name", "density", "--out", str(tmp_path / "x.npz")]) == 0
    assert "x[1]" in capsys.readouterr().out
    with np.load(tmp_path / "x.npz") as draws:
        assert draws["x"].shape == (2000, 2)


@pytest.mark.parametrize(
    ("text", "arguments", "code", "words"),
    [
        (FILE, ["--name", "log_densty"], 1, "did you mean 'log_density'"),
        (FILE, ["--family", "full-rnk"], 2, "did you mean 'full-rank'"),
        (FILE, ["--out", "draws.csv"], 2, "ends in .npz"),
        (FILE, ["--n", "3"], 2, "at least 100 draws"),
        ("log_density = lambda x: -x @ x\n", [], 1, "expected parameters or dim"),
        ("dim = 2\nlog_density = lambda x: 0 * x.sum()\n", [], 1, "the posterior is improper"),
        ("dim = 2\nlog_density = lambda x: x\n", [], 1, "sum over everything"),
        ("dim = 2\nlog_density = 5\n", [], 1, "Expected a function"),
        ("1 / 0\n", [], 1, "could not be run: ZeroDivisionError"),
        ("def\n", [], 1, "could not be run: SyntaxError"),
        (None, [], 1, "there is no such file"),
    ],
)
def test_what_can_t_be_fitted_is_said(text, arguments, code, words, file, tmp_path, capsys):
    path = tmp_path / "other.py"
    if text is not None:
        path.write_text(text)
    assert main(["posterior", str(path), *arguments]) == code
    assert words in capsys.readouterr().err

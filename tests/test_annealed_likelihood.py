"""Annealed log-likelihoods of decoders, against linear-Gaussian models that are known exactly."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from isthmus.cli.main import main
from isthmus.estimators import PCA, VAE, Autoencoder, GaussianMixture
from isthmus.evaluation import NoDensityError, evaluate
from isthmus.evaluation.annealed import annealed_gap, annealed_log_likelihood
from isthmus.evaluation.annealed_measures import spread_rows
from isthmus.evaluation.likelihood import importance_log_likelihood
from isthmus.model import LatentVariableModel
from test_likelihood import evidence, linear_gaussian, x  # noqa: F401  # x is a fixture


def test_it_is_exact_on_a_linear_gaussian_model(x):  # noqa: F811
    model = linear_gaussian()
    model.train()
    found = annealed_log_likelihood(model, x, 300, 32, n_leapfrog=4)
    assert model.training
    error = found.log_likelihood - evidence(model, x)
    assert error.abs().max() < 0.25
    assert (error / found.standard_error).abs().max() < 4
    assert ((0.5 < found.acceptance) & (found.acceptance < 0.95)).all()


def test_it_needs_no_encoder_where_importance_sampling_fails_for_a_bad_one(x):  # noqa: F811
    model = linear_gaussian(shift=1.5, widen=0.5)
    poor = importance_log_likelihood(model, x, 1000)
    exact = evidence(model, x)
    assert (poor.log_likelihood - exact).mean() < -1
    found = annealed_log_likelihood(model, x, 100, 32, n_leapfrog=4)
    assert (found.log_likelihood - exact).abs().mean() < 0.3
    again = annealed_log_likelihood(linear_gaussian(), x, 100, 32, n_leapfrog=4)
    assert torch.equal(found.log_likelihood, again.log_likelihood)  # the encoder plays no part


def test_conditions_are_those_of_their_rows(x):  # noqa: F811
    model = linear_gaussian()
    shift = torch.linspace(-1, 1, len(x), dtype=x.dtype)[:, None].expand_as(x)
    plain = annealed_log_likelihood(model, x, 10, 4, n_leapfrog=2)
    told = annealed_log_likelihood(model, x + shift, 10, 4, condition=shift, n_leapfrog=2)
    assert torch.allclose(plain.log_likelihood, told.log_likelihood)


def test_many_rows_are_scored_some_at_a_time(x, monkeypatch):  # noqa: F811
    monkeypatch.setattr("isthmus.evaluation.annealed._ELEMENTS", 32 * 256 * 4)
    model = linear_gaussian()
    found = annealed_log_likelihood(model, x, 50, 32, n_leapfrog=3)
    assert found.log_likelihood.shape == (len(x),)
    assert ((found.log_likelihood - evidence(model, x)) / found.standard_error).abs().max() < 4


def test_the_gap_says_how_many_temperatures_are_enough(x):  # noqa: F811
    model = linear_gaussian()
    gaps = {n: annealed_gap(model, x, n, 32) for n in (3, 300)}
    assert gaps[3].shape == (len(x),)
    assert gaps[3].mean() > 0.5  # 3 are not
    assert gaps[300].mean().abs() < 0.1
    shift = torch.linspace(-1, 1, len(x), dtype=x.dtype)[:, None].expand_as(x)
    told = annealed_gap(model, x, 3, 32, condition=shift)
    torch.testing.assert_close(told, gaps[3])  # of a model whose decoder adds the condition, the same problem
    torch.testing.assert_close(annealed_gap(model, x + 5, 3, 32), gaps[3])  # rows of its own


def test_what_has_no_likelihood(x):  # noqa: F811
    model = linear_gaussian()
    with pytest.raises(ValueError, match="flat rows"):
        annealed_log_likelihood(model, x[0])
    with pytest.raises(NoDensityError, match="deterministic"):
        annealed_log_likelihood(LatentVariableModel(model.encoder, model.decoder, None), x)
    with pytest.raises(ValueError, match="n_chains of at least 1"):
        annealed_log_likelihood(model, x, 5, 0)


def test_spread_rows():
    assert spread_rows(3, 10).tolist() == [0, 1, 2]
    assert spread_rows(100, 5).tolist() == [10, 30, 50, 70, 90]


def test_evaluate_reports_it_beside_importance_sampling(digits, monkeypatch):
    monkeypatch.setattr("isthmus.evaluation.annealed_measures.ANNEALED_ROWS", 10)
    vae = VAE(n_components=2, hidden=(16,), max_epochs=3, random_state=0, device="cpu").fit(digits[:600])
    found = evaluate(vae, digits[600:650], n_importance_samples=500, n_temperatures=50)
    chosen = spread_rows(50, 10).numpy()
    usual = vae.score_samples(digits[600:650][chosen], n_importance_samples=500)
    annealed, gain = found["annealed_log_likelihood"], found["annealed_gain"]
    assert annealed.value - gain.value == pytest.approx(usual.mean(), abs=1e-3)
    assert abs(gain.value) < 2
    assert abs(found["annealed_gap"].value) < 2
    assert "10 simulated rows" in found["annealed_gap"].description
    assert "10 of the rows" in annealed.description
    assert "annealed_log_likelihood" not in {measure.name for measure in evaluate(vae, digits[600:650])}


def test_models_without_one_say_so(digits):
    exact = evaluate(PCA(2).fit(digits[:100]), digits[100:200], n_temperatures=5)
    assert exact.notes[-1] == "annealed_log_likelihood: none. The log_likelihood of PCA is exact."
    clusters = evaluate(GaussianMixture(2, covariance_type="diag").fit(digits[:100]), digits[100:], n_temperatures=5)
    assert "GaussianMixture is exact" in clusters.notes[-1]
    plain = evaluate(Autoencoder(2, hidden=(4,), max_epochs=1).fit(digits[:100]), digits[100:200], n_temperatures=5)
    assert plain.notes[-1] == "annealed_log_likelihood: none. Autoencoder has no p(x)."
    assert not any("annealed" in note for note in evaluate(PCA(2).fit(digits[:100]), digits[100:200]).notes)


def test_on_the_command_line(digits, tmp_path, capsys):
    np.save(tmp_path / "digits.npy", digits[:120].astype(np.float32))
    out = tmp_path / "run"
    small = ["--max-epochs", "1", "--hidden", "8", "--n-components", "2", "--no-report"]
    assert main(["train", "vae", "--data", str(tmp_path / "digits.npy"), "--out", str(out), *small]) in (None, 0)
    capsys.readouterr()
    assert main(["evaluate", str(out), "--annealed", "5", "--json"]) in (None, 0)
    found = json.loads(capsys.readouterr().out)
    assert math.isfinite(found["measures"]["annealed_log_likelihood"]["value"])

"""Static and dynamic binarisation: what is drawn, what is learnt from it, and what scores say they are of."""

import itertools
import json

import numpy as np
import pytest
import torch

from cases import make, vae
from isthmus import PCA, RBM, VAE, Autoencoder, evaluate, load
from isthmus.cli.main import main
from isthmus.data import load_data
from isthmus.evaluation import bound
from isthmus.evaluation.noise import binarised
from isthmus.evaluation.scored import what_is_scored
from isthmus.files import read_json
from isthmus.model import Batch
from isthmus.objectives import ELBO, Denoising, DynamicBinarisation
from isthmus.report import write_report

GREY = np.random.default_rng(0).integers(0, 256, (60, 5, 7), np.uint8)


def fitted(**parameters) -> VAE:
    return VAE(n_components=2, hidden=(8,), max_epochs=2, batch_size=20, random_state=0, **parameters)


# --- static ---------------------------------------------------------------------------------


@pytest.mark.parametrize("grey", [GREY, GREY / 255])
def test_static_pixels_are_drawn_once_with_their_grey_as_probability(grey):
    many = np.broadcast_to(grey[:1], (20_000, 5, 7))
    data = load_data(many, binarise=3, seed=None)
    white = 255 if grey.dtype == np.uint8 else 1
    assert data.x_train.dtype == grey.dtype
    assert set(np.unique(data.x_train)) == {0, white}
    p = GREY[0] / 255
    error = np.abs(data.x_train.mean(axis=0) / white - p) / np.sqrt(p * (1 - p) / len(many) + 1e-12)
    assert error.max() < 4.5
    assert data.binarisation == {"kind": "static", "seed": 3}
    assert "static binarisation (seed 3)" in data.description


def test_black_and_white_stay_what_they_are():
    binary = 255 * (GREY > 100).astype(np.uint8)
    np.testing.assert_array_equal(load_data(binary, binarise=0, seed=None).x_train, binary)


def test_static_pixels_depend_on_their_seed_and_not_on_the_split():
    whole = load_data(GREY, binarise=1, seed=None).x_train
    again = load_data(GREY, binarise=1, seed=7)
    assert sorted(map(bytes, again.part("all")[0])) == sorted(map(bytes, whole))
    assert not np.array_equal(load_data(GREY, binarise=2, seed=None).x_train, whole)


def test_only_grey_values_can_be_binarised():
    with pytest.raises(ValueError, match=r"grey values in \[0, 1\] or uint8 pixels .* got numbers in \[-1, 1\]"):
        load_data(np.array([[0.0, -1.0], [1.0, 0.5]]), binarise=0)


# --- dynamic --------------------------------------------------------------------------------


def test_the_expected_loss_is_that_over_all_binarisations():
    """Against the sum over the 2^5 images that can be drawn from 5 grey pixels, with z at its posterior's mean."""

    def at_the_mean(q, n_samples):
        return q.mean.expand(n_samples, *q.mean.shape)

    torch.manual_seed(0)
    model = vae().double()
    grey = torch.zeros(1, 35, dtype=torch.float64)
    grey[0, :5] = torch.tensor([0.1, 0.35, 0.5, 0.8, 1.0])
    drawn = torch.zeros(32, 35, dtype=torch.float64)
    drawn[:, :5] = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)))
    probability = torch.where(drawn > 0, grey, 1 - grey).prod(dim=1)
    assert probability.sum().item() == pytest.approx(1)
    with torch.no_grad():
        exact = (probability * ELBO()(model, Batch(drawn, drawn), at_the_mean).value).sum()
        batch = grey.expand(40_000, -1)
        values = DynamicBinarisation(ELBO())(model, Batch(batch, batch), at_the_mean).value
    assert abs(values.mean() - exact) < 4 * values.std() / len(values) ** 0.5


def test_corruption_acts_on_what_was_drawn_in_either_order():
    def lose_all(x):
        return torch.zeros_like(x)

    grey = torch.full((50, 20), 0.5)
    for objective in (
        Denoising(DynamicBinarisation(ELBO()), lose_all),
        DynamicBinarisation(Denoising(ELBO(), lose_all)),
    ):
        batch = objective.prepare(Batch(grey, grey))
        assert not batch.x.any()
        assert set(batch.target.unique().tolist()) == {0.0, 1.0}


def test_pixels_are_drawn_anew_at_every_step_and_the_same_by_the_same_seed():
    first, again = (fitted(binarisation="dynamic").fit(GREY) for _ in range(2))
    static = fitted().fit(load_data(GREY, binarise=0, seed=None).x_train)
    losses = [[record["loss"] for record in model.history_] for model in (first, again, static)]
    assert losses[0] == losses[1] != losses[2]
    objective = DynamicBinarisation(ELBO())
    grey = torch.full((2, 50), 0.5)
    drawn = [objective.prepare(Batch(grey, grey)).x for _ in range(2)]
    assert not torch.equal(*drawn)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
@pytest.mark.slow
def test_compiled_training_draws_what_eager_training_draws():
    models = [fitted(binarisation="dynamic", compile=compile).fit(GREY) for compile in (False, True)]
    losses = [[record["loss"] for record in model.history_] for model in models]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("parameters", [{"likelihood": "gaussian"}, {"likelihood": "continuous_bernoulli"}])
def test_dynamic_binarisation_is_for_the_bernoulli_likelihood(parameters):
    with pytest.raises(ValueError, match="Expected the likelihood 'bernoulli' with binarisation='dynamic'"):
        fitted(binarisation="dynamic", **parameters).fit(GREY)
    with pytest.raises(ValueError, match="got 'gaussian'"):
        fitted(binarisation="dynamic").fit(GREY - 1.5)
    with pytest.raises(ValueError, match="binarisation as one of 'none', 'dynamic'"):
        fitted(binarisation="static").fit(GREY)


# --- scores ---------------------------------------------------------------------------------


def test_scoring_draws_pixels_by_content_and_seed():
    grey = torch.rand(300, 35, generator=torch.Generator().manual_seed(1))
    drawn = binarised(grey, piece=64)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    assert torch.equal(binarised(grey[order]), drawn[order])
    assert torch.equal(binarised(grey[7:8]), drawn[7:8])
    assert not torch.equal(binarised(grey, seed=1), drawn)
    assert torch.equal(binarised(drawn), drawn)
    assert torch.equal(binarised(grey.double()).float(), drawn)
    seeds = torch.stack([binarised(grey[:20], seed=seed) for seed in range(2000)])
    p = grey[:20]
    error = (seeds.mean(0) - p).abs() / (p * (1 - p) / 2000).sqrt()
    assert error.max() < 5  # of 700 pixels


def test_a_dynamic_model_scores_pixels_drawn_by_content(tmp_path):
    model = fitted(binarisation="dynamic").fit(GREY)
    scores = model.score_samples(GREY)
    rows = torch.tensor(GREY.reshape(60, 35) / 255, dtype=torch.float32)
    by_hand = bound(model.model_, binarised(rows)).bound
    np.testing.assert_allclose(scores, by_hand, rtol=1e-6)
    np.testing.assert_allclose(model.score_samples(GREY[::-1])[::-1], scores, rtol=1e-6)
    np.testing.assert_allclose(model.score_samples(GREY / 255), scores, rtol=1e-6)
    model.save(tmp_path)
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(GREY), scores)
    np.testing.assert_array_equal(loaded.transform(GREY), model.transform(GREY))
    model.set_params(binarisation="none")  # of a fit to come: this one is what it was
    np.testing.assert_array_equal(model.score_samples(GREY), scores)


STATIC = {"kind": "static", "seed": 4}


@pytest.mark.parametrize(
    ("parameters", "binary", "binarisation", "what"),
    [
        ({}, False, None, "grey pixels as probabilities"),
        ({}, True, None, "binary data"),
        ({}, True, STATIC, "static binarisation (seed 4)"),
        ({}, True, {"kind": "static", "seed": None, "by": "as published by Larochelle"},
         "static binarisation (as published by Larochelle)"),
        ({"binarisation": "dynamic"}, False, None, "dynamic binarisation (seed 5)"),
        ({"binarisation": "dynamic"}, True, STATIC, "static binarisation (seed 4)"),
        ({"likelihood": "discretised_logistic"}, False, None, "8-bit values"),
        ({"likelihood": "gaussian"}, False, None, "continuous density"),
        ({"likelihood": "gaussian"}, True, STATIC, "continuous density, static binarisation (seed 4)"),
    ],
)  # fmt: skip
def test_every_likelihood_says_what_it_is_of(parameters, binary, binarisation, what):
    x = 255 * (GREY > 100).astype(np.uint8) if binary else GREY
    model = fitted(**parameters).fit(x)
    evaluation = evaluate(model, x, n_importance_samples=2, seed=5, binarisation=binarisation)
    assert evaluation.likelihood_of == what
    assert evaluation.to_dict()["likelihood_of"] == what
    for name in ("bound", "log_likelihood"):
        assert what.partition(",")[0].removeprefix("continuous ") in evaluation[name].description


def test_an_exact_likelihood_names_the_pixels_that_it_is_of():
    model = RBM(3, binarisation="dynamic", max_epochs=1, random_state=0).fit(GREY)
    found = evaluate(model, GREY, seed=5)
    assert found.likelihood_of == "dynamic binarisation (seed 0)"
    drawn = binarised(torch.tensor(GREY.reshape(60, 35) / 255, dtype=torch.float32), seed=0).numpy()
    assert found["log_likelihood"].value == pytest.approx(model.log_likelihood(drawn).mean(), rel=1e-6)


def test_models_without_networks_or_density_say_so_too():
    assert evaluate(PCA(n_components=2).fit(GREY), GREY).likelihood_of == "continuous density"
    model = Autoencoder(n_components=2, hidden=(8,), max_epochs=1, random_state=0).fit(GREY)
    assert evaluate(model, GREY).likelihood_of is None
    assert what_is_scored("bernoulli", torch.tensor([[0.0, 0.5]]), STATIC).name == "grey pixels as probabilities"


def test_a_report_says_what_its_bounds_are_of(tmp_path):
    data = load_data(GREY)
    model = fitted(binarisation="dynamic").fit(data.x_train)
    page = write_report(tmp_path, {"VAE": model}, data, {"VAE": evaluate(model, data.x_test)})
    assert "in the mean of pixels after dynamic binarisation (seed 0)" in page.read_text(encoding="utf-8")


def test_the_case_of_the_laws_changes_no_binary_pixel():
    _, objective, batch = make("VAE, dynamic binarisation")
    assert torch.equal(objective.prepare(batch(8)).x, batch(8).x)


# --- the command line -------------------------------------------------------------------------

SMALL = ["--hidden", "8", "--n-components", "2", "--max-epochs", "2", "--no-report"]


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--binarisation", "static", "--binarisation-seed", "9"], "static binarisation (seed 9)"),
        (["--binarisation", "dynamic"], "dynamic binarisation (seed 0)"),
        ([], "grey pixels as probabilities"),
    ],
)
def test_a_run_records_its_binarisation_and_evaluates_as_it_was_trained(options, what, tmp_path, capsys):
    out = tmp_path / "run"
    assert run("train", "vae", "--out", out, *SMALL, *options, "--split-seed", 2, "--validation-fraction", 0.3) == 0
    written = read_json(out / "measures.json")
    assert written["likelihood_of"] == what
    note = read_json(out / "config.json")["data"]
    assert note["split"]["seed"] == 2
    assert note["split"]["validation_fraction"] == 0.3
    assert note["binarisation"] == ({"kind": "static", "seed": 9} if "static" in what else None)
    capsys.readouterr()
    assert run("evaluate", out, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["measures"] == written["measures"]
    assert again["likelihood_of"] == what
    assert run("encode", out, "--part", "validation", "--out", tmp_path / "codes.npy") == 0
    assert len(np.load(tmp_path / "codes.npy")) == round(0.3 * (1797 - 359))
    assert run("train", "vae", "--resume", "--out", out, "--max-epochs", 3, "--no-report") == 0
    assert run("train", "vae", "--resume", "--out", out, "--split-seed", 5) == 2
    assert "leave --split-seed out" in capsys.readouterr().err


def test_training_watches_the_validation_rows_and_never_the_test_rows(tmp_path, monkeypatch, capsys):
    data, seen = load_data("digits"), []
    fit = VAE.fit

    def spied(self, X, y=None, **keywords):
        seen.append((X, keywords["validation"]))
        return fit(self, X, y, **keywords)

    monkeypatch.setattr(VAE, "fit", spied)
    assert run("train", "vae", "--out", tmp_path / "a", *SMALL, "--patience", 1) == 0
    assert run("train", "vae", "--out", tmp_path / "b", *SMALL, "--validation-fraction", 0) == 0
    np.testing.assert_array_equal(seen[0][0], data.x_train)
    np.testing.assert_array_equal(seen[0][1], data.x_valid)
    assert seen[1][1] is None
    assert len(seen[1][0]) == 1438
    assert run("train", "vae", "--out", tmp_path / "c", *SMALL, "--validation-fraction", 0, "--patience", 1) == 2
    assert "--patience needs validation rows" in capsys.readouterr().err
    assert run("train", "vae", "--out", tmp_path / "d", *SMALL, "--test-fraction", 0) == 0
    assert "measuring on 180 validation rows" in capsys.readouterr().err


def test_pca_is_not_trained_by_steps(tmp_path, capsys):
    assert run("train", "pca", "--out", tmp_path / "a", "--binarisation", "dynamic") == 2
    assert "expected no --binarisation dynamic for PCA" in capsys.readouterr().err
    assert run("train", "pca", "--out", tmp_path / "a", "--binarisation", "static", "--no-report") == 0
    of = read_json(tmp_path / "a" / "measures.json")["likelihood_of"]
    assert of == "continuous density, static binarisation (seed 0)"

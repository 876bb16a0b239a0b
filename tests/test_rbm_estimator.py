"""The restricted Boltzmann machine as an estimator: likelihoods that rise, chains that can be had again, scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

import isthmus
from isthmus import RBM, evaluate
from isthmus.boltzmann import RestrictedBoltzmannMachine
from isthmus.cli.options import estimator_options
from isthmus.files import read_tensors
from isthmus.model import Batch
from isthmus.objectives import ContrastiveDivergence
from isthmus.training import Settings, fit

QUICK = {"max_epochs": 2, "batch_size": 50, "random_state": 0, "compile": False}


@pytest.fixture(scope="module")
def binary() -> np.ndarray:
    return (load_digits().data[:600] > 7.5).astype(np.float64)


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    generator = np.random.RandomState(0)
    return generator.choice([-2.0, 2.0], (500, 2)) @ generator.randn(2, 5) + generator.randn(500, 5) + 3


# --- likelihood ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "persistent"),
    [("binary", False), ("binary", True), ("real", False), ("real", True), ("real codes", False)],
)
def test_the_exact_likelihood_rises_in_training(kind, persistent, binary, real):
    X = real if kind == "real" else binary[:, 24:40]
    codes = "gaussian" if kind == "real codes" else "bernoulli"
    settings = QUICK | {"hidden_units": codes, "persistent": persistent, "learning_rate": 0.02}
    found = [RBM(6, **settings | {"max_epochs": n}).fit(X).log_likelihood(X).mean() for n in (1, 5, 25)]
    assert found[0] < found[1] < found[2]
    if kind != "real":  # more than the best model of independent units gives
        p = X.mean(axis=0).clip(1e-9, 1 - 1e-9)
        assert found[2] > (p * np.log(p) + (1 - p) * np.log(1 - p)).sum() + 0.2


def test_at_equal_epochs_no_less_likely_than_scikit_learn_s(binary):
    """At the best of its learning rates; with 8 hidden units both likelihoods are exact."""
    train, test = binary[:450], binary[450:]
    theirs = []
    for rate in (0.03, 0.1):
        other = BernoulliRBM(8, n_iter=20, batch_size=10, learning_rate=rate, random_state=0).fit(train)
        model = RestrictedBoltzmannMachine(64, 8).double()
        with torch.no_grad():
            model.weights.weight.copy_(torch.from_numpy(other.components_))
            model.weights.bias.copy_(torch.from_numpy(other.intercept_hidden_))
            model.visible_bias.copy_(torch.from_numpy(other.intercept_visible_))
            theirs.append(float((-model.free_energy(torch.from_numpy(test)) - model.log_partition()).mean()))
    ours = RBM(8, **QUICK | {"max_epochs": 20, "batch_size": 10}).fit(train).log_likelihood(test).mean()
    assert ours > max(theirs)


@pytest.mark.parametrize("weighted", [False, True])
def test_training_starts_from_independent_units_with_the_means_of_the_data(weighted, binary):
    X, weight = binary[:, 24:40], np.arange(len(binary)) % 3 if weighted else np.ones(len(binary), int)
    settings = QUICK | {"learning_rate": 1e-12, "max_epochs": 1}
    model = RBM(4, **settings).fit(X, sample_weight=weight if weighted else None)
    rows = X[weight > 0]
    p = (len(rows) * np.average(X, axis=0, weights=weight) + 1) / (len(rows) + 2)
    independent = (X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(model.log_likelihood(X), independent, atol=0.1)  # the weights are small, not 0
    pixels = RBM(4, **settings).fit((255 * X).astype(np.uint8), sample_weight=weight if weighted else None)
    torch.testing.assert_close(pixels.model_.visible_bias, model.model_.visible_bias)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_densities_of_real_data_are_in_their_units_and_integrate_to_one(shift):
    X = 10 * np.random.RandomState(0).choice([-1.0, 1.0], (200, 1)) + np.random.RandomState(1).randn(200, 1) + shift
    model = RBM(3, likelihood="fixed_gaussian", **QUICK | {"max_epochs": 10}).fit(X)
    grid = np.linspace(-150, 150, 20_001)[:, None] + shift
    assert np.exp(model.log_likelihood(grid)).sum() * (grid[1, 0] - grid[0, 0]) == pytest.approx(1, abs=1e-5)


def test_scores_are_minus_free_energies_and_likelihoods_sum_to_one(binary):
    X = binary[:, 26:34]
    model = RBM(4, **QUICK).fit(X)
    states = np.array([[int(bit) for bit in f"{i:08b}"] for i in range(256)], dtype=np.float64)
    assert np.exp(model.log_likelihood(states)).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(model.score_samples(X) - model.log_partition(), model.log_likelihood(X))
    energies = model.model_.free_energy(torch.from_numpy(X).float()).detach()
    np.testing.assert_allclose(model.score_samples(X), -energies, rtol=1e-5)
    pixels = RBM(4, **QUICK).fit((255 * X).astype(np.uint8))
    np.testing.assert_allclose(pixels.log_likelihood((255 * X).astype(np.uint8)), model.log_likelihood(X), rtol=1e-5)


def test_evaluate_tells_the_likelihood_or_why_there_is_none(binary):
    measures = evaluate(model := RBM(4, **QUICK).fit(binary), binary)
    assert measures["log_likelihood"].value == pytest.approx(model.log_likelihood(binary).mean())
    measures = evaluate(RBM(30, **QUICK).fit(binary), binary)
    assert "log_likelihood" not in measures.to_dict()["measures"]
    assert any("at most 20 Bernoulli units" in note for note in measures.notes)


# --- chains ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("persistent", [False, True])
def test_samples_are_drawn_from_the_model(persistent, binary):
    X = binary[:, 26:34]
    model = RBM(4, persistent=persistent, **QUICK | {"max_epochs": 20}).fit(X)
    states = np.array([[int(bit) for bit in f"{i:08b}"] for i in range(256)], dtype=np.float64)
    p = np.exp(model.log_likelihood(states))
    n = 2000
    rows = model.sample(n, random_state=3)  # means of p(v|h): they vary less than v does
    assert (np.abs(rows.mean(axis=0) - p @ states) < 4.5 * np.sqrt(0.25 / n)).all()
    np.testing.assert_array_equal(rows, model.sample(n, random_state=3))
    np.testing.assert_array_equal(model.fit_prior(X).sample(3, random_state=1).shape, (3, 8))


def test_gibbs_starts_at_rows_and_forgets_them(binary):
    X = binary
    model = RBM(30, **QUICK | {"max_epochs": 20}).fit(X)
    near, far = (np.square(model.gibbs(X, k, random_state=0) - X).sum(axis=1).mean() for k in (1, 300))
    assert near < 0.8 * far
    np.testing.assert_array_equal(model.gibbs(X, 3, random_state=1), model.gibbs(X, 3, random_state=1))
    with pytest.raises(ValueError, match="n_steps >= 1"):
        model.gibbs(X, 0)


def test_a_resumed_run_goes_on_with_its_chains_bit_for_bit(binary, tmp_path):
    settings = {"n_components": 4, "persistent": True, "n_chains": 8, **QUICK}
    whole = RBM(**settings | {"max_epochs": 4}).fit(binary)
    RBM(**settings | {"max_epochs": 2}).fit(binary, folder=tmp_path)
    resumed = RBM(**settings | {"max_epochs": 4}).fit(binary, folder=tmp_path, resume=True)
    assert whole.model_.chains.any()
    for name, tensor in whole.model_.state_dict().items():
        assert torch.equal(tensor, resumed.model_.state_dict()[name]), name
    loaded = isthmus.load(whole.save(tmp_path / "saved"))
    assert torch.equal(loaded.model_.chains, whole.model_.chains)
    np.testing.assert_array_equal(loaded.sample(2, random_state=0), whole.sample(2, random_state=0))
    tensors, _ = read_tensors(tmp_path / "saved" / "model.safetensors")
    assert sum(name.endswith("weight") for name in tensors) == 1  # the two layers have one matrix


def test_a_step_that_failed_leaves_the_chains_as_they_were():
    x = torch.rand(20, 6).round()
    x[10:] = 1e30  # whose free energy is finite, but not its gradient's norm
    torch.manual_seed(0)
    model = RestrictedBoltzmannMachine(6, 3, visible="gaussian", n_chains=5)
    with pytest.raises(isthmus.training.NonFiniteError):
        fit(model, ContrastiveDivergence(persistent=True), x, Settings(max_epochs=1, batch_size=20, compile=False))
    assert not model.chains.any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
@pytest.mark.parametrize("persistent", [False, True])
def test_a_compiled_run_draws_what_an_eager_one_does(persistent, binary):
    def trained(compiled: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = RestrictedBoltzmannMachine(64, 8, n_chains=10)
        settings = Settings(max_epochs=2, batch_size=100, compile=compiled, device="cpu")
        fit(model, ContrastiveDivergence(2, persistent), binary, settings)
        return model.state_dict()

    eager, compiled = trained(False), trained(True)
    for name, tensor in eager.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=0, atol=1e-4)
    assert bool(eager["chains"].any()) == persistent


# --- parameters ------------------------------------------------------------------------------------


def test_there_are_no_parameters_that_have_no_meaning():
    absent = {"hidden", "activation", "architecture", "encoder", "decoder", "patience", "sharded"}
    assert not absent & set(RBM().get_params())
    assert not absent & {name for name, *_ in estimator_options(RBM)}
    with pytest.raises(TypeError, match="unexpected keyword argument 'hidden'"):
        RBM(4, hidden=(8,))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_units": "gaussian", "likelihood": "fixed_gaussian"}, "Gaussian ones in both"),
        ({"likelihood": "continuous_bernoulli"}, "likelihood as one of 'auto', 'bernoulli', 'fixed_gaussian'"),
        ({"n_gibbs_steps": 0}, "n_gibbs_steps >= 1"),
        ({"n_chains": 0}, "n_chains >= 1"),
    ],
)
def test_parameters_that_do_not_fit_are_an_error_in_words(parameters, message, binary):
    with pytest.raises(ValueError, match=message):
        RBM(4, **QUICK | parameters).fit(binary)


def test_as_a_layer_its_parts_are_those_of_an_autoencoder(binary):
    """What unrolling reads: codes by the encoder's mean, rows by the decoder's, one matrix of weights."""
    model = RBM(4, **QUICK).fit(binary)
    x = torch.from_numpy(binary).float()
    trace = model.model_.trace(Batch(x, x))
    np.testing.assert_allclose(trace.layers[0].z[0].detach(), model.transform(binary), atol=1e-6)
    weights = model.model_.weights.weight
    expected = torch.sigmoid(trace.layers[0].z[0] @ weights + model.model_.visible_bias)
    torch.testing.assert_close(trace.p.mean[0], expected)
    assert math.prod(weights.shape) + 4 + 64 == sum(p.numel() for p in model.model_.parameters())

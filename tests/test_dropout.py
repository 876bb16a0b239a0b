"""Dropout: its moments and gradient in theory and in fact, where it is and is not, in nets, estimators and files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss
from torch import nn

import isthmus
from cases import F, autoencoder, real
from estimator_cases import real_table
from isthmus import RBM, VAE, Autoencoder, ContractiveAutoencoder, PretrainedClassifier, SparseAutoencoder
from isthmus.cli.main import main
from isthmus.cli.options import estimator_options
from isthmus.files import read_tensors, write_tensors
from isthmus.heads import FixedGaussianHead, PointHead
from isthmus.model import Batch, Conditional, LatentVariableModel
from isthmus.nets import MLP, Dropout, TiedMLP, linear_maps
from isthmus.objectives import Contractive, Reconstruction
from isthmus.processes import Part, part_of_batch
from isthmus.report.layers import describe
from isthmus.training import Settings, fit

N = 100_000
RATES = pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
TABLE = real_table().astype(np.float32)
LABELS = np.arange(len(TABLE)) % 3
QUICK = {"max_epochs": 3, "batch_size": 32, "random_state": 0, "compile": False}
CLASSIFIER = {"layer_epochs": 1, "activation": "relu"} | QUICK


def drawn(rate: float, *shape: int) -> torch.Tensor:
    torch.manual_seed(0)
    return Dropout(rate)(torch.ones(shape))


# --- theory ----------------------------------------------------------------------------------------


@RATES
def test_mean_and_variance_are_those_of_theory(rate: float) -> None:
    y = drawn(rate, N, 2).double()
    variance = rate / (1 - rate)
    torch.testing.assert_close(y.mean(0), torch.ones(2).double(), rtol=0, atol=5 * (variance / N) ** 0.5)
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1.0) / (1 - rate))}
    # (y - 1)^2 is 1 or variance^2, the first with probability `rate`
    error = 5 * (rate * (1 - rate) / N) ** 0.5 * abs(1 - variance**2)
    torch.testing.assert_close((y - 1).square().mean(0), torch.full((2,), variance).double(), rtol=0, atol=error + 1e-6)


def test_units_examples_and_samples_are_left_out_independently() -> None:
    y = drawn(0.5, 4, 300, 50) - 1  # standardised
    for dim in range(3):
        a, b = y.select(dim, 0).flatten(), y.select(dim, 1).flatten()
        assert abs(float((a * b).mean())) < 5 / len(a) ** 0.5


def test_dropout_of_inputs_is_ridge_regression_in_expectation() -> None:
    torch.manual_seed(1)
    x, weight, target, rate = torch.randn(5, 4), torch.randn(4), torch.randn(5), 0.3
    predicted = Dropout(rate)(x.expand(N, 5, 4)) @ weight
    found = (predicted - target).square().sum(-1).double()
    penalty = rate / (1 - rate) * (x.square() @ weight.square()).sum()
    expected = (x @ weight - target).square().sum() + penalty
    assert float(found.mean()) == pytest.approx(float(expected), abs=5 * float(found.std()) / N**0.5)


def test_gradient_passes_through_units_that_stay() -> None:
    x = torch.randn(8, 20, requires_grad=True)
    y = Dropout(0.4)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, (y != 0) / 0.6)


def test_in_evaluation_it_is_the_identity_and_so_it_is_at_rate_zero() -> None:
    x, state = torch.randn(3, 4), torch.get_rng_state()
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_every_precision_leaves_out_the_same_units(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y = Dropout(0.2)(torch.ones(100, 50, dtype=dtype))
    assert y.dtype == dtype
    assert torch.equal(y != 0, drawn(0.2, 100, 50) != 0)


@pytest.mark.parametrize("flat", [False, True])
def test_a_part_of_a_batch_gets_its_part_of_the_noise(monkeypatch, flat: bool) -> None:
    monkeypatch.setattr("isthmus.processes.n_processes", lambda: 2)
    whole, x = drawn(0.5, 4, 7, 9), torch.ones(4, 4, 9)
    torch.manual_seed(0)
    with part_of_batch(Part(3, 7, 7, 2)):
        part = Dropout(0.5)(x.flatten(0, 1) if flat else x)
    assert torch.equal(part.reshape(4, 4, 9), whole[:, 3:])


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_other_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="0 <= rate < 1"):
        Dropout(rate)


# --- networks --------------------------------------------------------------------------------------


def test_nets_have_the_same_weights_with_and_without() -> None:
    forth = linear_maps(MLP(6, (5, 4)))
    for make in (lambda *rates: MLP(6, (5, 4), "tanh", *rates), lambda *rates: TiedMLP(forth, "tanh", *rates)):
        torch.manual_seed(0)
        without = make()
        torch.manual_seed(0)
        net = make(0.5)
        x = torch.randn(7, next(without.parameters()).shape[-1]) if isinstance(net, MLP) else torch.randn(7, 4)
        assert net.state_dict().keys() == without.state_dict().keys()
        assert not torch.equal(net(x), without(x))
        assert torch.equal(net.eval()(x), without(x))
        assert not any(isinstance(part, Dropout) for part in without.modules())


def test_inputs_and_units_of_each_block_are_left_out() -> None:
    net = MLP(1000, (800, 600), "sigmoid", dropout=0.5, input_dropout=0.2)
    shares = []
    for part in net:
        part.register_forward_hook(lambda part, _, y: shares.append((type(part), float((y == 0).float().mean()))))
    net(torch.ones(30, 1000))
    assert [share for kind, share in shares if kind is Dropout] == pytest.approx([0.2, 0.5, 0.5], abs=0.02)
    assert [share for kind, share in shares if kind is not Dropout] == [0.0, 0.0]


def test_hidden_activations_are_those_before_units_are_left_out() -> None:
    model = Conditional(MLP(6, (50, 40), "sigmoid", 0.5, 0.2), PointHead(40, 2))
    seen = []
    model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    _, hidden = model.with_hidden(torch.randn(3, 6))
    assert [part.shape[1] for part in hidden] == [50, 40]
    assert all((part > 0).all() for part in hidden)
    kept = seen[0] != 0
    assert kept.any()
    assert not kept.all()
    torch.testing.assert_close(seen[0][kept], 2 * hidden[1][kept])


def test_the_contractive_penalty_is_of_the_net_with_units_left_out() -> None:
    torch.manual_seed(0)
    encoder = Conditional(MLP(4, (400,), "relu", 0.5), PointHead(400, 1))
    model = LatentVariableModel(encoder, Conditional(MLP(1), FixedGaussianHead(1, 4)), None)
    x = torch.randn(3, 4)
    rows = x.repeat(2000, 1)
    with torch.no_grad():
        norms = Contractive(1.0)(model.trace(Batch(rows, rows)), model).value.reshape(2000, 3)
        open_units = (encoder.net[0](x) > 0).float()
        columns = encoder.head.project.weight[0][:, None] * encoder.net[0][0].weight  # of one unit each
        noise = (open_units @ columns.square()).sum(1)  # r / (1 - r) = 1
        whole = (open_units @ columns).square().sum(1)
    error = 5 * float(norms.std(0).max()) / len(norms) ** 0.5
    assert error < float(noise.min()) / 2
    torch.testing.assert_close(norms.mean(0), whole + noise, rtol=0, atol=error)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
def test_it_compiles_in_one_graph_with_the_same_noise() -> None:
    net = MLP(5, (8,), dropout=0.5, input_dropout=0.2)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 4, 5)
    torch.manual_seed(0)
    expected = net(x)
    torch.manual_seed(0)
    torch.testing.assert_close(compiled(x), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
@pytest.mark.slow
def test_a_compiled_run_is_that_of_an_eager_one() -> None:
    weights = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = autoencoder()
        model.encoder.net = MLP(F, (16,), "tanh", 0.3, 0.1)
        fit(model, Reconstruction(), real(64).x, Settings(max_epochs=5, batch_size=32, compile=compiled, device="cpu"))
        weights.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*weights)


# --- estimators ------------------------------------------------------------------------------------


MAKE = {
    "Autoencoder": lambda **more: Autoencoder(2, hidden=(16,), **QUICK | more),
    "tied": lambda **more: Autoencoder(2, hidden=(16, 8), tied=True, **QUICK | more),
    "VAE": lambda **more: VAE(2, hidden=(16,), n_samples=2, **QUICK | more),
    "SparseAutoencoder": lambda **more: SparseAutoencoder(2, hidden=(16,), sparse_layers="all", **QUICK | more),
    "ContractiveAutoencoder": lambda **more: ContractiveAutoencoder(2, hidden=(16,), **QUICK | more),
    "StackedAutoencoder": lambda **more: isthmus.StackedAutoencoder(2, hidden=(16,), layer_epochs=1, **QUICK | more),
    "none": lambda **more: PretrainedClassifier((16, 8), pretraining="none", **CLASSIFIER | more),
    "supervised": lambda **more: PretrainedClassifier((16, 8), pretraining="supervised", **CLASSIFIER | more),
    "unsupervised": lambda **more: PretrainedClassifier((16, 8), **CLASSIFIER | more),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_estimators_fit_save_and_clone(make, tmp_path) -> None:
    model, without = (make(dropout=rate).fit(TABLE, LABELS) for rate in (0.3, 0.0))
    assert model.model_.state_dict().keys() == without.model_.state_dict().keys()
    assert [part.rate for part in model.model_.modules() if isinstance(part, Dropout)] == [0.3] * n_hidden(model)
    assert model.history_[0]["loss"] != without.history_[0]["loss"]
    if hasattr(model, "layers_"):  # which are trained as they are without
        assert untimed(model.layers_) == untimed(without.layers_)
    same = clone(model).fit(TABLE, LABELS)
    codes = model.transform(TABLE)
    np.testing.assert_array_equal(same.transform(TABLE), codes)
    np.testing.assert_array_equal(model.transform(TABLE), codes)  # no noise
    loaded = isthmus.load(model.save(tmp_path))
    assert loaded.dropout == 0.3
    np.testing.assert_array_equal(loaded.transform(TABLE), codes)


def n_hidden(model) -> int:
    return len(model.hidden) * (1 if isinstance(model, PretrainedClassifier) else 2)


def untimed(layers: list) -> list:
    return [[record["loss"] for record in layer["history"]] for layer in layers]


@pytest.mark.parametrize("pretraining", ["none", "supervised", "unsupervised"])
def test_loss_has_it_and_validation_loss_has_none(pretraining: str) -> None:
    model = PretrainedClassifier(
        (64,), pretraining=pretraining, dropout=0.5, input_dropout=0.2, **CLASSIFIER | {"max_epochs": 1}
    ).fit(TABLE, LABELS, validation=(TABLE, LABELS))
    assert [part.rate for part in model.model_.modules() if isinstance(part, Dropout)] == [0.2, 0.5]
    expected = log_loss(LABELS, model.predict_proba(TABLE))
    assert model.history_[-1]["validation"] == pytest.approx(expected, rel=1e-4)
    assert not model.model_.training


def test_a_model_of_a_file_that_knows_no_dropout_is_read(tmp_path) -> None:
    model = MAKE["none"]().fit(TABLE, LABELS)
    path = model.save(tmp_path) / "model.safetensors"
    tensors, record = read_tensors(path)
    for name in ("dropout", "input_dropout"):
        del record["parameters"][name]
    write_tensors(path, tensors, record)
    np.testing.assert_array_equal(isthmus.load(path).predict_proba(TABLE), model.predict_proba(TABLE))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Autoencoder(dropout=1.0), "0 <= dropout < 1"),
        (lambda: Autoencoder(hidden=(), dropout=0.1), "none; use dropout=0"),
        (lambda: Autoencoder(architecture="conv", dropout=0.1), "architecture='mlp'"),
        (lambda: VAE(encoder=nn.Linear(6, 3), decoder=nn.Linear(16, 3), dropout=0.1), "nets.Dropout"),
        (lambda: isthmus.StackedAutoencoder(fine_tune=False, dropout=0.1), "fine_tune=True"),
        (lambda: isthmus.StackedAutoencoder(layer=Autoencoder(dropout=0.1)), "This is layer 1"),
        (lambda: PretrainedClassifier((), dropout=0.1), "none; use dropout=0"),
        (lambda: PretrainedClassifier(input_dropout=-0.1), "0 <= input_dropout < 1"),
    ],
)
def test_refusals_say_what_to_do(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make().fit(TABLE, LABELS)


def test_logistic_regression_may_leave_out_inputs() -> None:
    model = PretrainedClassifier((), pretraining="none", input_dropout=0.2, **QUICK).fit(TABLE, LABELS)
    assert model.transform(TABLE[:3]).shape == (3, 6)


def test_options_of_the_command_line(capsys) -> None:
    assert {"dropout", "input_dropout"} <= {name for name, *_ in estimator_options(PretrainedClassifier)}
    assert "dropout" not in [name for name, *_ in estimator_options(RBM)]
    assert main(["train", "autoencoder", "--help"]) == 0
    assert "--dropout" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_of_the_command_line_has_it(tmp_path) -> None:
    np.save(tmp_path / "rows.npy", TABLE)
    command = ["train", "autoencoder", "--data", str(tmp_path / "rows.npy"), "--n-components", "2", "--hidden", "8"]
    assert main([*command, "--max-epochs", "1", "--dropout", "0.25", "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["parameters"]["dropout"] == 0.25


def test_a_drawing_has_no_layer_for_it() -> None:
    for make in (MAKE["Autoencoder"], MAKE["unsupervised"]):
        drawings = [describe(make(dropout=rate, max_epochs=1).fit(TABLE, LABELS)) for rate in (0.0, 0.3)]
        assert drawings[0] == drawings[1]

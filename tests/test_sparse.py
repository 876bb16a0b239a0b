"""Sparse autoencoders: the KL of mean activities, finite wherever they are, L1, and what training makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence

from cases import F, H, autoencoder, grey, real, table_model
from gradients import agree_with_finite_differences
from isthmus import Autoencoder, SparseAutoencoder
from isthmus.corruption import Masking
from isthmus.heads import FixedGaussianHead, GaussianHead, PointHead
from isthmus.model import Batch, Conditional, LatentVariableModel
from isthmus.nets import MLP, ConvEncoder, ResNetEncoder
from isthmus.objectives import Denoising, KLSparsity, L1Sparsity, Reconstruction, bernoulli_kl
from isthmus.objectives.base import Loss
from isthmus.training import NonFiniteError, Rows, Settings, fit

D = 3
ACTIVITY = {
    nn.Sigmoid: lambda a: a,
    nn.Tanh: lambda a: (a + 1) / 2,
    nn.ReLU: lambda a: a,
    nn.LeakyReLU: lambda a: a,
}
QUICK: dict[str, Any] = {"max_epochs": 3, "batch_size": 50, "random_state": 0, "compile": False}


# --- the KL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.01, 0.05, 0.5, 0.9])
def test_it_is_the_kl_between_bernoullis_where_that_is_far_from_infinite(rho: float) -> None:
    activity = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    expected = kl_divergence(Bernoulli(torch.tensor(rho, dtype=torch.float64)), Bernoulli(activity))
    torch.testing.assert_close(bernoulli_kl(rho, activity), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rho", [0.01, 0.05, 0.5, 0.9])
def test_beyond_it_goes_on_in_a_straight_line_and_points_back(rho: float) -> None:
    activity = torch.linspace(-3, 4, 7001, dtype=torch.float64, requires_grad=True)
    kl = bernoulli_kl(rho, activity)
    (slope,) = torch.autograd.grad(kl.sum(), activity)
    assert kl.isfinite().all()
    assert (slope.diff() >= -1e-9).all()  # convex
    assert (slope[activity < rho - 1e-6] < 0).all()
    assert (slope[activity > rho + 1e-6] > 0).all()
    for outside in (activity < 0.0005, activity > 0.9995):
        assert len(slope[outside].unique()) == 1
    steps = kl.detach().diff() / activity.detach().diff()  # no jump where the lines begin
    assert steps.abs().max() <= slope.abs().max() * (1 + 1e-6)
    assert torch.autograd.gradcheck(lambda a: bernoulli_kl(rho, a), activity[::50].detach().requires_grad_())


# --- the penalties ---------------------------------------------------------------------------------


def model_of(activation: type[nn.Module], hidden: tuple[int, ...] = (H, 8)) -> LatentVariableModel:
    torch.manual_seed(0)
    head = PointHead(hidden[-1] if hidden else F, D, activation=activation())
    return LatentVariableModel(
        Conditional(MLP(F, hidden, activation), head), Conditional(MLP(D), FixedGaussianHead(D, F)), None
    )


def outputs(model: LatentVariableModel, x: Tensor) -> list[Tensor]:
    """Of each layer, the code last."""
    found = []
    for block in model.encoder.net:
        found.append(x := block(x))
    return [*found, model.encoder.head(x).mean]


@pytest.mark.parametrize("activation", ACTIVITY)
@pytest.mark.parametrize(("layers", "chosen"), [
    ("code", [2]), ("hidden", [0, 1]), ("all", [0, 1, 2]), ((0,), [0]), ((1, -1), [1, 2]), ((2, -1, 2), [2]),
])  # fmt: skip
def test_kl_sparsity_sums_over_the_units_of_the_layers(activation, layers, chosen) -> None:
    model, batch = model_of(activation), real(12)
    loss = KLSparsity(0.2, 3.0, layers)(model.trace(batch), model)
    every = outputs(model, batch.x)
    expected = sum(bernoulli_kl(0.2, ACTIVITY[activation](every[i]).mean(0)).sum() for i in chosen)
    torch.testing.assert_close(loss.batch, 3 * expected)
    torch.testing.assert_close(loss.terms["sparsity"], expected)
    assert not loss.value.any()
    l1 = L1Sparsity(3.0, layers)(model.trace(batch), model)
    torch.testing.assert_close(l1.value, 3 * sum(every[i].abs().sum(1) for i in chosen))
    assert l1.batch == 0


def test_weights_are_repeated_rows() -> None:
    model, batch, count = model_of(nn.Sigmoid), real(6), torch.tensor([1, 2, 1, 4, 1, 3])
    x = batch.x.repeat_interleave(count, 0)
    weighted = batch._replace(weight=count / 5)  # of whatever mean: activities stay within [0, 1]
    losses = [KLSparsity(0.2, layers="all")(model.trace(b), model).batch for b in (weighted, Batch(x, x))]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("activation", ACTIVITY)
@pytest.mark.parametrize("penalty", [KLSparsity(0.2, 3.0, "all"), L1Sparsity(0.5, "all")], ids=["kl", "l1"])
def test_gradients_are_those_of_finite_differences(activation, penalty) -> None:
    batch = real(7)._replace(weight=torch.arange(1.0, 8.0) / 4)
    assert agree_with_finite_differences(model_of(activation, (4,)), penalty, batch)


@pytest.mark.parametrize("activation", [nn.Identity, nn.SiLU, nn.GELU])
def test_units_without_an_activity_say_which_have_one(activation) -> None:
    model = model_of(activation)
    for layers in ("code", "hidden"):
        with pytest.raises(ValueError, match="sigmoid, tanh, ReLU or leaky ReLU.*got (Identity|SiLU|GELU)"):
            KLSparsity(layers=layers)(model.trace(real(4)), model)
    with pytest.raises(ValueError, match="got the identity"):
        KLSparsity()((plain := autoencoder()).trace(real(4)), plain)
    assert L1Sparsity(layers="all")(model.trace(real(4)), model).value.all()


def test_activations_are_found_in_other_networks() -> None:
    def penalised(net: nn.Module, width: int) -> Loss:
        encoder = Conditional(net, PointHead(width, D))
        model = LatentVariableModel(encoder, Conditional(MLP(D), FixedGaussianHead(D, F)), None)
        return KLSparsity(layers="hidden")(model.trace(grey(4)), model)

    conv = ConvEncoder((1, 7, 5), (4, 6), "relu")
    assert penalised(conv, conv.n_features).batch > 0
    assert penalised(nn.Sequential(nn.Sequential(nn.Linear(F, 6), nn.Sigmoid())), 6).batch > 0
    residual = ResNetEncoder((1, 7, 5), (4, 6))
    with pytest.raises(ValueError, match="got ResidualBlock"):
        penalised(residual, residual.n_features)


def test_layers_that_are_not_there_are_named() -> None:
    model = model_of(nn.Sigmoid, ())
    trace = model.trace(real(4))
    for layers, message in (("hidden", "got none for layers='hidden'"), ((1,), r"among 0, ..., 0.*got \(1,\)")):
        for penalty in (KLSparsity, L1Sparsity):
            with pytest.raises(ValueError, match=message):
                penalty(layers=layers)(trace, model)
    without = LatentVariableModel(None, model.decoder, nn.Identity())
    with pytest.raises(ValueError, match="with an encoder"):
        KLSparsity()(trace, without)


@pytest.mark.parametrize("values", [
    {"rho": 0.0}, {"rho": 1.0}, {"rho": 0.0005}, {"weight": -1.0}, {"weight": float("nan")}, {"layers": "last"},
    {"margin": 0.0}, {"margin": 0.1},
])  # fmt: skip
def test_values_out_of_range(values) -> None:
    with pytest.raises(ValueError, match="Expected"):
        KLSparsity(**values)


def test_a_variational_code_has_sparse_hidden_layers() -> None:
    model = table_model(GaussianHead(H, D), FixedGaussianHead(H, F), None)
    assert KLSparsity(layers="hidden")(model.trace(real(4)), model).batch > 0


def test_denoising_reads_the_activity_of_corrupted_rows() -> None:
    model, objective = model_of(nn.Sigmoid, ()), Reconstruction() + KLSparsity(0.1, 2.0)
    torch.manual_seed(0)
    noisy = Denoising(objective, Masking(0.5))(model, real(8))
    torch.manual_seed(0)
    corrupted = real(8)._replace(x=Masking(0.5)(real(8).x))
    other = (Denoising(Reconstruction(), lambda x: corrupted.x) + KLSparsity(0.1, 2.0))(model, real(8))
    for loss in (noisy, other):
        torch.testing.assert_close(loss.value, Reconstruction().loss(model.trace(corrupted), model).value)
        mean = model.encoder(corrupted.x).mean.mean(0)
        torch.testing.assert_close(loss.batch, 2 * bernoulli_kl(0.1, mean).sum())


# --- the lectures' listing -------------------------------------------------------------------------


def by_the_formula(trace: Any, model: Any) -> Loss:
    """rho log(rho / a) + (1 - rho) log((1 - rho) / (1 - a)) as it stands, of ReLU units."""
    rho, a = 0.05, trace.layers[0].q.mean.mean(0)
    kl = (rho * (rho / a).log() + (1 - rho) * ((1 - rho) / (1 - a)).log()).sum()
    return Loss(trace.batch.x.new_zeros(len(trace.batch.x)), 3.0 * kl, {"sparsity": kl})


def listing(n_features: int, seed: int) -> LatentVariableModel:
    """n-128-n with a ReLU code."""
    torch.manual_seed(seed)
    encoder = Conditional(MLP(n_features), PointHead(n_features, 128, activation=nn.ReLU()))
    return LatentVariableModel(encoder, Conditional(MLP(128), FixedGaussianHead(128, n_features)), None)


def first_losses(x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Of the formula and of `KLSparsity`, on the same first batch of 100."""
    model = listing(x.shape[1], seed)
    batch = x[torch.randperm(len(x))[:100]]
    trace = model.trace(Batch(batch, batch))
    return by_the_formula(trace, model).batch, KLSparsity(0.05, 3.0)(trace, model).batch


def test_the_formula_is_infinite_where_a_unit_is_off_for_a_batch_and_the_penalty_is_not(digits) -> None:
    x = torch.tensor(digits)
    for seed in range(5):
        naive, ours = first_losses(x, seed)
        assert naive == float("inf")
        assert 0 < ours < 1000
    settings = Settings(max_epochs=1, batch_size=100, compile=False, device="cpu")
    with pytest.raises(NonFiniteError, match="'sparsity' at step 0"):
        fit(listing(64, 0), Reconstruction() + by_the_formula, Rows(x), settings)
    history = fit(listing(64, 0), Reconstruction() + KLSparsity(0.05, 3.0), Rows(x), settings)
    assert np.isfinite(history[-1]["sparsity"])


def test_on_mnist_so_it_is_for_some_seeds(mnist) -> None:
    x = torch.from_numpy(mnist["x_train"][:10000] / np.float32(255)).flatten(1)
    losses = [first_losses(x, seed) for seed in range(12)]
    infinite = [bool(naive.isinf()) for naive, _ in losses]
    assert 0 < sum(infinite) < 12
    for (naive, ours), is_infinite in zip(losses, infinite, strict=True):
        assert ours.isfinite()
        if not is_infinite:
            torch.testing.assert_close(ours, naive, rtol=0.05, atol=0)  # units that are nearly off differ a little


def test_a_published_weight_beside_an_average_is_so_many_times_as_large_here() -> None:
    """784 (MSE + 3 KL) = SE + 2352 KL = 2 (SE / 2 + 1176 KL): the same minimum, gradients in proportion."""
    model = listing(784, 3)
    x = torch.rand(100, 784, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, x)
    trace = model.trace(batch)
    kl = KLSparsity(0.05)(trace, model).batch
    averaged = (trace.p.mean[0] - x).square().mean() + 3 * kl
    parameters = list(model.parameters())
    published = torch.autograd.grad(784 * averaged, parameters)
    ours = torch.autograd.grad(2 * (Reconstruction() + KLSparsity(0.05, 1176.0))(model, batch).total(), parameters)
    torch.testing.assert_close(ours, published, rtol=1e-3, atol=1e-3)


# --- the estimator ---------------------------------------------------------------------------------


def test_without_weight_it_is_an_autoencoder(digits) -> None:
    plain = Autoencoder(16, hidden=(), code_activation="sigmoid", **QUICK).fit(digits)
    for penalty in ("kl", "l1"):
        sparse = SparseAutoencoder(16, sparsity_weight=0.0, penalty=penalty, **QUICK).fit(digits)
        np.testing.assert_array_equal(sparse.transform(digits), plain.transform(digits))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "leaky_relu"])
def test_training_brings_activities_to_rho(activation, digits) -> None:
    digits = digits[:500]
    settings = QUICK | {"max_epochs": 30, "learning_rate": 0.01, "code_activation": activation}
    model = SparseAutoencoder(32, rho=0.1, sparsity_weight=30.0, **settings).fit(digits)
    free = SparseAutoencoder(32, rho=0.1, sparsity_weight=0.0, **settings).fit(digits)
    away, at_first = (np.abs(fitted.mean_activity(digits) - 0.1) for fitted in (model, free))
    assert np.median(away) < 0.03
    assert np.median(at_first) > 0.15


def test_mean_activity_is_that_of_the_penalty(digits) -> None:
    settings = QUICK | {"hidden": (8,), "activation": "sigmoid", "max_epochs": 1}
    model = SparseAutoencoder(6, code_activation="tanh", sparse_layers="all", **settings).fit(digits)
    activity = model.mean_activity(digits)
    assert activity.shape == (14,)
    np.testing.assert_allclose(activity[8:], (model.transform(digits).mean(0) + 1) / 2, rtol=1e-5)
    with torch.no_grad():
        hidden = model.model_.encoder.net(torch.tensor(digits)).mean(0)
    np.testing.assert_allclose(activity[:8], hidden.numpy(), rtol=1e-5)
    model = SparseAutoencoder(6, code_activation="identity", penalty="l1", **QUICK).fit(digits)
    np.testing.assert_allclose(model.mean_activity(digits), np.abs(model.transform(digits)).mean(0), rtol=1e-5)


def test_l1_makes_relu_codes_small_and_exactly_zero(digits) -> None:
    settings = QUICK | {"max_epochs": 10, "penalty": "l1", "code_activation": "relu", "tied": True}
    free, sparse = (SparseAutoencoder(32, sparsity_weight=w, **settings).fit(digits) for w in (0.0, 1.0))
    assert (sparse.transform(digits) == 0).mean() > (free.transform(digits) == 0).mean() + 0.1
    assert sparse.mean_activity(digits).sum() < free.mean_activity(digits).sum() / 2


@pytest.mark.parametrize(("values", "message"), [
    ({"code_activation": "identity"}, "code_activation as one of 'sigmoid', 'tanh'"),
    ({"rho": 1.5}, "rho"),
    ({"sparsity_weight": -1.0}, "weight >= 0"),
    ({"sparse_layers": "last"}, "sparse_layers"),
    ({"sparse_layers": "hidden"}, "got none"),
    ({"sparse_layers": (3,)}, "among 0, ..., 0"),
    ({"sparse_layers": "hidden", "hidden": (8,), "activation": "silu"}, "got SiLU"),
])  # fmt: skip
def test_parameters_that_do_not_fit(values, message, digits) -> None:
    with pytest.raises(ValueError, match=message):
        SparseAutoencoder(4, **QUICK | values).fit(digits)

"""The contractive penalty against the full Jacobian, in closed form and estimated, and what training makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
from torch import Tensor, nn

from cases import C, Case, F, H, autoencoder, conditional, grey, real, table_model
from gradients import agree_with_finite_differences
from isthmus import Autoencoder, ContractiveAutoencoder, load
from isthmus.corruption import Masking
from isthmus.evaluation import jacobian_norm
from isthmus.heads import BernoulliHead, FixedGaussianHead, GaussianHead, PointHead
from isthmus.model import Batch, Conditional, LatentVariableModel
from isthmus.nets import MLP, ConvEncoder, ResNetEncoder
from isthmus.objectives import Contractive, Denoising, Reconstruction
from isthmus.objectives.jacobian import dense_layers

D = 5
QUICK: dict[str, Any] = {"max_epochs": 3, "batch_size": 50, "random_state": 0, "compile": False}
ACTIVATIONS = [nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.Identity]


def model_of(net: nn.Module, activation: Callable[..., Any] | None, width: int, n_more: int = 0) -> LatentVariableModel:
    encoder = Conditional(net, PointHead(width, D, activation=activation))
    return LatentVariableModel(encoder, Conditional(MLP(D + n_more), FixedGaussianHead(D + n_more, F)), None).double()


def mlp(hidden: tuple[int, ...], activation: Any, code: Any, n_more: int = 0) -> LatentVariableModel:
    torch.manual_seed(0)
    return model_of(MLP(F + n_more, hidden, activation), code, hidden[-1] if hidden else F + n_more, n_more)


def of_images(kind: type[ConvEncoder]) -> LatentVariableModel:
    torch.manual_seed(0)
    net = kind((1, 7, 5), (4, 6), "silu")
    return model_of(net, torch.sigmoid, net.n_features)


class Own(nn.Module):
    """A network that nothing is known of."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(F, 6), nn.Linear(F, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x).sin() * self.second(x)


DEEP: dict[str, Callable[[], LatentVariableModel]] = {
    "relu": lambda: mlp((H, 8), nn.ReLU, torch.sigmoid),
    "tanh": lambda: mlp((H,), "tanh", None),
    "leaky relu, sigmoid": lambda: mlp((H, 8, 6), "leaky_relu", nn.Sigmoid()),
    "silu": lambda: mlp((H, 8), "silu", torch.tanh),
    "convolutions": lambda: of_images(ConvEncoder),
    "residual convolutions": lambda: of_images(ResNetEncoder),
    "own network": lambda: model_of(Own(), torch.tanh, 6),
}
BY_HAND = {"relu", "tanh", "leaky relu, sigmoid"}
each_deep = pytest.mark.parametrize("name", DEEP)


def double(batch: Batch) -> Batch:
    return Batch(*(part.double() if part is not None and part.is_floating_point() else part for part in batch))


def jacobians(model: LatentVariableModel, batch: Batch) -> Tensor:
    """Full Jacobian of each example's code, (B, D, F), by reverse-mode differentiation of one example at a time."""

    def code(x: Tensor, condition: Tensor | None) -> Tensor:
        return model.encoder(x[None], None if condition is None else condition[None]).mean[0]

    conditions = [None] * len(batch.x) if batch.condition is None else batch.condition
    return torch.stack([torch.func.jacrev(code)(x, c) for x, c in zip(batch.x, conditions, strict=True)])


def value(penalty: Contractive, model: LatentVariableModel, batch: Batch, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return penalty(model.trace(batch), model).value


# --- against the full Jacobian ---------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_closed_form_is_the_full_jacobian_s_norm(activation) -> None:
    model, batch = mlp((), "relu", activation()), double(real(8))
    expected = jacobians(model, batch).square().sum((1, 2))
    found = Contractive(3.0)(model.trace(batch), model)
    torch.testing.assert_close(found.value, 3 * expected, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(found.terms["contraction"], expected, rtol=1e-6, atol=1e-12)
    assert found.batch == 0


@each_deep
def test_with_all_directions_it_is_the_full_jacobian_s_norm(name) -> None:
    model, batch = DEEP[name](), double(real(4))
    assert (dense_layers(model.encoder) is not None) == (name in BY_HAND)
    expected = jacobians(model, batch).square().sum((1, 2))
    for n_directions in (D, 100):
        found = value(Contractive(1.0, n_directions), model, batch)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(jacobian_norm(model, batch.x), expected.sqrt(), rtol=1e-6, atol=1e-12)


@each_deep
def test_a_direction_gives_the_norm_of_its_product_with_the_jacobian(name, monkeypatch) -> None:
    """The signs are those of the noise: what the estimator averages is what it says."""
    model, batch = DEEP[name](), double(real(4))
    noise = torch.rand(4, D, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr("isthmus.objectives.contractive.batch_uniform", lambda like: noise)
    signs, units = torch.where(noise < 0.5, -1.0, 1.0).double(), torch.arange(D)
    for n_directions in (1, 2):
        products = [
            torch.einsum("bd,bdf->bf", signs * (units % n_directions == group), jacobians(model, batch))
            for group in range(n_directions)
        ]
        expected = sum(product.square().sum(1) for product in products)
        torch.testing.assert_close(value(Contractive(1.0, n_directions), model, batch), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "silu"])
def test_the_estimator_s_mean_is_the_full_jacobian_s_norm(name) -> None:
    model, one = DEEP[name](), double(real(1))
    batch = Batch(*(part.expand(2000, -1) if part is not None else None for part in one))  # as many draws
    expected = jacobians(model, one).square().sum()
    variances = []
    for n_directions in (1, 2, 4):
        draws = value(Contractive(1.0, n_directions), model, batch, seed=3).detach()
        standard_error = draws.std() / len(draws) ** 0.5
        assert abs(draws.mean() - expected) < 3 * standard_error
        assert standard_error < 0.05 * expected
        variances.append(float(draws.var()))
    assert variances[0] > 1.5 * variances[1] > 2 * variances[2] > 0


def test_the_closed_form_and_the_layers_leave_out_the_condition() -> None:
    batch = double(conditional(8))
    for hidden in ((), (6,)):
        model = mlp(hidden, "tanh", torch.sigmoid, C)
        expected = jacobians(model, batch).square().sum((1, 2))
        torch.testing.assert_close(value(Contractive(1.0, D), model, batch), expected, rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(jacobian_norm(model, batch.x, batch.condition), expected.sqrt())


def test_of_a_distribution_it_is_the_jacobian_of_the_mean() -> None:
    torch.manual_seed(0)
    model = table_model(GaussianHead(H, 3), BernoulliHead(H, F), None).double()
    batch = double(grey(4))
    expected = jacobians(model, batch).square().sum((1, 2))
    torch.testing.assert_close(value(Contractive(1.0, 3), model, batch), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["closed form", *DEEP])
@pytest.mark.parametrize("n_directions", [2, D])
def test_gradients_are_those_of_finite_differences(name, n_directions) -> None:
    model = mlp((), "relu", torch.sigmoid) if name == "closed form" else DEEP[name]()
    batch = real(3)._replace(weight=torch.tensor([0.5, 1.0, 2.0]))
    assert agree_with_finite_differences(model, Contractive(0.7, n_directions), batch)


# --- in training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "silu"])
def test_without_gradients_as_in_validation_the_value_is_the_same(name) -> None:
    model, batch = DEEP[name](), double(real(4))
    with torch.no_grad():
        found = value(Contractive(1.0, 2), model, batch)
    assert not found.requires_grad
    torch.testing.assert_close(found, value(Contractive(1.0, 2), model, batch).detach(), rtol=1e-12, atol=0)


def test_it_is_taken_at_what_the_encoder_saw() -> None:
    model, batch = mlp((), "relu", torch.sigmoid), double(real(8))
    objective = Denoising(Reconstruction() + Contractive(2.0), Masking(0.5))
    torch.manual_seed(1)
    loss = objective(model, batch)
    torch.manual_seed(1)
    corrupted = batch._replace(x=Masking(0.5)(batch.x))
    torch.testing.assert_close(loss.terms["contraction"], jacobians(model, corrupted).square().sum((1, 2)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
@pytest.mark.parametrize("name", ["relu", "silu", "convolutions", "own network"])
def test_compiled_it_has_the_same_noise(name) -> None:
    case = Case(DEEP[name]().float(), Reconstruction() + Contractive(0.5, 2), real)
    parameters = list(case.model.parameters())

    def step(batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        total = case.objective(case.model, batch).total()
        return total.detach(), torch.autograd.grad(total, parameters)

    torch.manual_seed(5)
    eager = step(real(8))
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        torch._dynamo.reset()
        compiled = torch.compile(step, fullgraph=True, options={"fallback_random": True})
        torch.manual_seed(5)
        torch.testing.assert_close(compiled(real(8)), eager, rtol=1e-4, atol=1e-5)
        torch._dynamo.reset()


def test_without_weight_it_is_an_autoencoder(digits) -> None:
    for hidden in ((), (8,)):
        plain = Autoencoder(16, hidden=hidden, code_activation="sigmoid", **QUICK).fit(digits)
        other = ContractiveAutoencoder(16, hidden=hidden, contraction=0.0, **QUICK).fit(digits)
        np.testing.assert_array_equal(other.transform(digits), plain.transform(digits))


@pytest.mark.parametrize("values", [{"tied": True}, {"hidden": (16,)}, {"hidden": (16,), "activation": "silu"}])
def test_training_contracts_the_code(values, digits) -> None:
    settings = QUICK | {"max_epochs": 10, "learning_rate": 0.01} | values
    norms = [
        ContractiveAutoencoder(16, contraction=weight, **settings).fit(digits[:500]).jacobian_norm(digits).mean()
        for weight in (0.0, 1.0, 10.0)
    ]
    assert norms[0] > 1.2 * norms[1] > 1.4 * norms[2]


def test_jacobian_norm_is_of_the_model_s_units_and_of_each_row_alone(digits, tmp_path) -> None:
    pixels = np.round(255 * digits).astype(np.uint8)
    model = ContractiveAutoencoder(16, hidden=(8,), **QUICK).fit(pixels)
    norms = model.jacobian_norm(pixels[:300])
    x = Batch(*2 * [torch.from_numpy(pixels[:300] / 255).float()])
    np.testing.assert_allclose(norms, jacobians(model.model_, x).square().sum((1, 2)).sqrt().detach(), rtol=1e-4)
    np.testing.assert_array_equal(model.jacobian_norm(pixels[17:18]), norms[17:18])
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").jacobian_norm(pixels[:300]), norms)


def test_directions_are_taken_in_blocks(monkeypatch) -> None:
    model, x = DEEP["silu"](), double(real(8)).x
    whole = jacobian_norm(model, x)
    monkeypatch.setattr("isthmus.evaluation.jacobian.BLOCK", 1)
    torch.testing.assert_close(jacobian_norm(model, x), whole)


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "message"), [
    ({"contraction": -1.0}, "weight >= 0"),
    ({"n_directions": 0}, "n_directions >= 1"),
    ({"sharded": True}, "sharded=True"),
])  # fmt: skip
def test_parameters_out_of_range(values, message, digits) -> None:
    with pytest.raises(ValueError, match=message):
        ContractiveAutoencoder(4, **QUICK | values).fit(digits)


def test_a_model_without_encoder_has_no_jacobian() -> None:
    trace = (whole := autoencoder()).trace(real(4))
    without = LatentVariableModel(None, whole.decoder, nn.Identity())
    with pytest.raises(ValueError, match="with an encoder"):
        Contractive()(trace, without)
    with pytest.raises(ValueError, match="with an encoder"):
        jacobian_norm(without, real(4).x)

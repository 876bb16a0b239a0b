"""What must hold for every model and objective in `cases.CASES`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch._dynamo

from cases import CASES, fixed_noise, make
from isthmus.model import Batch
from isthmus.objectives import Loss

every_case = pytest.mark.parametrize("name", CASES)

# Compiling takes seconds a case: the fast suite takes one each of schedules and free bits, of a closed-form KL that
# torch lacks, and of no closed form at all.
COMPILED_FAST = {
    "VAE, beta and free bits, weighted, warming up",
    "VAE, full covariance",
    "VAE, mixture prior",
}


def take(batch: Batch, rows: torch.Tensor) -> Batch:
    """Some rows of a batch."""
    return Batch(*(part[rows] if part is not None and part.dim() else part for part in batch))


@every_case
def test_loss_is_per_example_and_finite(name: str) -> None:
    model, objective, batch = make(name)
    loss = objective(model, batch(8))
    assert loss.value.shape == (8,)
    assert loss.total(batch(8).weight).shape == ()
    assert loss.value.isfinite().all()
    assert loss.total(batch(8).weight).isfinite()
    assert all(term.shape in ((8,), ()) and term.isfinite().all() for term in loss.terms.values())


@every_case
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    model, objective, batch = make(name)
    objective(model, batch(8)).total(batch(8).weight).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None or not grad.any()] == []
    assert [name for name, grad in gradients.items() if not grad.isfinite().all()] == []


@every_case
def test_the_mean_of_the_likelihood_has_the_shape_of_the_data(name: str) -> None:
    model, objective, batch = make(name)
    trace = model.trace(batch(8), 2)
    assert trace.p.mean.shape == (2, *batch(8).target.shape)
    assert trace.p.sample().shape == (2, *batch(8).target.shape)
    assert trace.log_likelihood.shape == (2, 8)


@every_case
def test_value_depends_neither_on_batch_size_nor_on_order(name: str) -> None:
    model, objective, batch = make(name)
    everything = torch.arange(12)
    whole = objective(model, batch(12), fixed_noise(everything)).value
    for rows in (everything[:5], everything[5:], everything.flip(0), everything[3:4]):
        part = objective(model, take(batch(12), rows), fixed_noise(rows)).value
        torch.testing.assert_close(part, whole[rows])


@every_case
def test_same_seed_same_result_and_other_seed_other_noise(name: str) -> None:
    model, objective, batch = make(name)
    again = make(name).model

    def loss(net: torch.nn.Module, seed: int) -> Loss:
        torch.manual_seed(seed)
        return objective(net, batch(8))

    torch.testing.assert_close(loss(model, 1).value, loss(again, 1).value, rtol=0, atol=0)
    assert torch.equal(loss(model, 1).value, loss(model, 2).value) == name.startswith("autoencoder")


@every_case
def test_state_dict_round_trip(name: str) -> None:
    model, objective, batch = make(name)
    torch.manual_seed(123)
    other = CASES[name]().model
    other.load_state_dict(model.state_dict())
    rows = torch.arange(8)
    ours, theirs = (objective(net, batch(8), fixed_noise(rows)).value for net in (model, other))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0)


@every_case
def test_float64_stays_float64_and_float32_agrees_with_it(name: str) -> None:
    model, objective, batch = make(name)
    rows = torch.arange(8)
    single = objective(model, batch(8), fixed_noise(rows)).value
    double_batch = Batch(*(p.double() if p is not None and p.is_floating_point() else p for p in batch(8)))
    double = objective(model.double(), double_batch, fixed_noise(rows)).value
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@every_case
def test_bfloat16_matrix_products_change_little(name: str) -> None:
    model, objective, batch = make(name)
    rows = torch.arange(8)
    full = objective(model, batch(8), fixed_noise(rows)).value
    with torch.autocast("cpu", torch.bfloat16):
        half = objective(model, batch(8), fixed_noise(rows)).value
    assert half.dtype == torch.float32  # densities are never computed in half precision
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.02, atol=0.1)


@pytest.fixture
def one_graph() -> Iterator[None]:
    """Gradients inside the compiled graph, as the training step has them."""
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
@pytest.mark.usefixtures("one_graph")
@pytest.mark.parametrize(
    "name", [name if name in COMPILED_FAST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_compiled_equals_eager(name: str) -> None:
    model, objective, batch = make(name)
    parameters = list(model.parameters())
    data = batch(8)

    def step(batch: Batch) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        total = objective(model, batch).total(batch.weight)
        return total.detach(), torch.autograd.grad(total, parameters)

    torch.manual_seed(5)
    eager = step(data)  # first, as in training: it fills kl_divergence's dispatch cache, which cannot be traced
    compiled = torch.compile(step, fullgraph=True, options={"fallback_random": True})
    torch.manual_seed(5)
    torch.testing.assert_close(compiled(data), eager, rtol=1e-4, atol=1e-5)

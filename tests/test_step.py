"""One step: the update, compiled and eager alike, and what happens when a number is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
import torch._dynamo
from torch import nn
from torch.distributions import Distribution, Normal

from cases import F, H, autoencoder, binary, make, real, vae
from isthmus.heads import BernoulliHead, PointHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import ELBO, Reconstruction
from isthmus.training import NonFiniteError, Rows, Scaling, Settings, fit
from isthmus.training.optimizers import Adam
from isthmus.training.step import Step, seed_noise
from training_cases import EAGER, Counter, Wrong, assert_same, compiles, differ, weights

# --- Adam ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_adam_is_torch_s(dtype, tolerance):
    ours = [torch.randn(shape, dtype=dtype) for shape in ((7, 5), (5,), (), (0, 3))]
    theirs = [nn.Parameter(parameter.clone()) for parameter in ours]
    adam = Adam([nn.Parameter(parameter) for parameter in ours])
    reference = torch.optim.Adam(theirs, lr=1e-2, foreach=False)
    for step in range(50):
        gradients = [torch.randn_like(parameter) * 10 ** (step % 5 - 3) for parameter in ours]
        rate = 1e-2 * (1 + step % 3)
        reference.param_groups[0]["lr"] = rate
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        reference.step()
        adam.update(gradients, rate, torch.zeros(()))
    assert adam.committed == 50
    for parameter, other in zip(adam.parameters, theirs, strict=True):
        torch.testing.assert_close(parameter, other.detach(), rtol=10 * tolerance, atol=tolerance)


def test_a_failed_update_changes_nothing():
    adam = Adam([nn.Parameter(torch.randn(3, 2))])
    adam.update([torch.randn(3, 2)], 1e-2, torch.zeros(()))
    before = [t.clone() for t in (*adam.parameters, *adam.state().values())]
    adam.update([torch.full((3, 2), math.nan)], 1e-2, torch.ones(()))
    assert all(map(torch.equal, before, (*adam.parameters, *adam.state().values())))


def test_training_is_plain_training():
    """A run equals a loop of forward, backward, torch.optim.Adam on the same rows: full batches need no order."""
    model, other, x = autoencoder().double(), autoencoder().double(), real(20).x.double()
    other.load_state_dict(weights(model))
    history = fit(model, Reconstruction(), x, Settings(max_epochs=50, batch_size=20, learning_rate=1e-2, **EAGER))
    optimiser, batch, losses = torch.optim.Adam(other.parameters(), lr=1e-2), real(20), []
    for _ in range(50):
        loss = Reconstruction()(other, batch._replace(x=x, target=x)).value.mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert [record["loss"] for record in history] == pytest.approx(losses, rel=1e-12)
    assert_same(weights(model), weights(other), rtol=1e-9, atol=1e-11)


def test_clipping_is_torch_s():
    model = autoencoder()
    step = Step(model, Reconstruction(), Scaling(), seed=0, clip_norm=0.5)
    _, _, gradients = step._run(Rows(real(8).x), 0)
    free = Step(model, Reconstruction(), Scaling(), seed=0)
    statistics, _, unclipped = free._run(Rows(real(8).x), 0)
    for parameter, gradient in zip(step.parameters, unclipped, strict=True):
        parameter.grad = gradient.clone()
    norm = nn.utils.clip_grad_norm_(step.parameters, 0.5)
    assert norm > 4  # there was something to clip
    assert dict(zip(free.names, statistics, strict=True))["gradient_norm"] == pytest.approx(float(norm), rel=1e-6)
    total = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
    assert total <= 0.5 * (1 + 1e-6)
    for parameter, gradient in zip(step.parameters, gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-5, atol=0)


def test_small_gradients_are_not_clipped():
    settings = Settings(max_epochs=2, batch_size=8, **EAGER)
    results = []
    for clip_norm in (None, 1e9):
        case = make("VAE")
        fit(case.model, case.objective, case.batch(16).x, Settings(**vars(settings) | {"clip_norm": clip_norm}))
        results.append(weights(case.model))
    assert_same(*results)


# --- compiled and eager ----------------------------------------------------------------------------


def trained(name: str, **settings) -> dict[str, torch.Tensor]:
    case = make(name)
    settings = {"max_epochs": 4, "batch_size": 16, "device": "cpu"} | settings
    fit(case.model, case.objective, case.batch(60).x, Settings(**settings))
    return weights(case.model)


@compiles
def test_compiled_is_eager(monkeypatch):
    """In one compiled run, as compiling is slow: the same numbers, the same failure, and nothing else is touched."""
    monkeypatch.setattr(Distribution, "_validate_args", True)  # tests that compile by themselves switch it off
    tracing, validates = torch._dynamo.config.trace_autograd_ops, Distribution._validate_args
    models, noise, results = {True: vae(), False: vae()}, torch.get_rng_state(), []
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for compile, model in models.items():
        model.load_state_dict(weights(make("VAE").model))
        model.encoder.net.extend([counter := Counter(), nn.Dropout(0.2)])
        settings = Settings(max_epochs=99, batch_size=16, average=0.9, device="cpu", compile=compile)
        with pytest.raises(NonFiniteError, match="term 'ratio' at step 30;"):
            fit(model, Wrong(30), binary(70).x, settings, validation=binary(9).x)
        assert counter.seen == 30
        results.append(weights(model))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs + 1
    assert_same(*results, rtol=1e-5, atol=1e-6)
    assert torch._dynamo.config.trace_autograd_ops == tracing
    assert torch.equal(torch.get_rng_state(), noise)
    assert Distribution._validate_args == validates
    with pytest.raises(ValueError, match="scale"):
        Normal(0.0, -1.0)


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("name", ["autoencoder", "VAE, many samples", "convolutional VAE"])
def test_each_compiled_model_is_eager(name):
    assert_same(trained(name, compile=True), trained(name, compile=False), rtol=1e-4, atol=1e-6)


@compiles
@pytest.mark.slow
def test_many_compiled_runs_in_one_process():
    """torch compiles a code object only so many times (8), then gives up: each run has its own."""
    for width in range(3, 13):
        encoder = Conditional(MLP(F, (width,)), PointHead(width, 2))
        model = LatentVariableModel(encoder, Conditional(MLP(2, (width,)), BernoulliHead(width, F)), None)
        fit(model, Reconstruction(), binary(16).x, Settings(max_epochs=2, batch_size=16, compile=True))


def test_without_a_compiler_the_step_is_eager(monkeypatch):
    """As where no C++ compiler is found: one warning in words, the same result, and settings as before."""

    def fail(*_, **__):
        def compiled(*_):
            raise torch._inductor.exc.InvalidCxxCompiler

        return compiled

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.warns(RuntimeWarning, match="could not be compiled and runs eagerly") as caught:
        result = trained("VAE", compile=True)
    assert len(caught) == 1
    assert_same(result, trained("VAE", compile=False))
    assert not torch._dynamo.config.trace_autograd_ops


def test_a_resumed_step_knows_its_objective_s_names():
    """Also after a checkpoint has set the names: the first pass still checks, and fills torch's cache for compiling."""
    step = Step(vae(), ELBO(), Scaling(), seed=0)
    step.names = ("loss", "bound", "gradient_norm")
    with pytest.raises(ValueError, match="resume with that"):
        step(Rows(binary(4).x), 3, 1e-3)


# --- objectives and models that do not fit ----------------------------------------------------------


def test_a_parameter_without_gradient_is_named():
    model = vae()
    model.encoder.forgotten = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"got no gradient for encoder\.forgotten\.weight, encoder\.forgotten\.bias;"):
        fit(model, ELBO(), binary(8).x, Settings(**EAGER))
    model.encoder.forgotten.requires_grad_(False)
    fit(model, ELBO(), binary(8).x, Settings(max_epochs=1, **EAGER))


def test_frozen_parameters_stay():
    model = vae()
    model.decoder.requires_grad_(False)
    before = weights(model)
    fit(model, ELBO(), binary(8).x, Settings(max_epochs=2, **EAGER))
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("encoder")}


def test_a_model_without_trained_parameters_is_refused():
    with pytest.raises(ValueError, match="parameters to train, got none"):
        fit(vae().requires_grad_(False), ELBO(), binary(8).x, Settings(**EAGER))


def test_a_deterministic_code_has_no_elbo():
    with pytest.raises(TypeError, match="deterministic"):
        fit(autoencoder(), ELBO(), real(8).x, Settings(**EAGER))


def test_a_term_can_not_take_a_record_s_name():
    @dataclass(frozen=True)
    class Named(Reconstruction):
        def loss(self, trace, model):
            return super().loss(trace, model)._replace(terms={"step": trace.distortion})

    with pytest.raises(ValueError, match="than step"):
        fit(autoencoder(), Named(), real(8).x, Settings(**EAGER))


def test_buffers_of_the_first_pass_do_not_count_twice():
    """The check before the first step runs the model once more, which running means must not see."""
    model = vae()
    model.encoder.net = nn.Sequential(nn.BatchNorm1d(F), *model.encoder.net)
    fit(model, ELBO(), binary(16).x, Settings(max_epochs=3, batch_size=8, **EAGER))
    assert model.encoder.net[0].num_batches_tracked == 6


def test_a_buffer_may_be_part_of_the_gradient():
    """Buffers are put back after the gradient: changing them before would spoil it."""

    class Masked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(F, H)
            self.register_buffer("mask", torch.ones(H, F).triu())

        def forward(self, x):
            return nn.functional.linear(x, self.weight * self.mask, self.bias)

    model = vae()
    model.encoder.net = Masked()
    before = weights(model)
    fit(model, ELBO(), binary(16).x, Settings(max_epochs=1, **EAGER))
    after = weights(model)
    assert torch.equal(before["encoder.net.mask"], after["encoder.net.mask"])
    assert differ(before, after)


# --- noise -----------------------------------------------------------------------------------------


def test_noise_is_a_function_of_seed_and_step():
    def noise(seed: int, number: int) -> torch.Tensor:
        seed_noise(seed, number, torch.device("cpu"))
        return torch.randn(4)

    first = noise(0, 3)
    torch.randn(100)
    assert torch.equal(noise(0, 3), first)
    streams = {tuple(noise(seed, number).tolist()) for seed in range(-2, 20) for number in range(-20, 80)}
    assert len(streams) == 22 * 100

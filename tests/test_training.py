"""The training loop: rows, weights, seeds, learning rates, averages, early stopping."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from cases import F, autoencoder, binary, make, real, vae
from isthmus.model import Batch
from isthmus.objectives import ELBO, Reconstruction
from isthmus.training import Rows, Scaling, Settings, fit
from isthmus.training.rows import epoch_order
from isthmus.training.run import Run
from isthmus.training.step import Step
from training_cases import EAGER, assert_same, differ, weights

STILL = 1e-30
"""A learning rate that changes no weight."""


def run(name: str = "VAE", rows=None, validation=None, **settings):
    """Weights and history of a short run from the same first weights."""
    case = make(name)
    settings = {"max_epochs": 3, "batch_size": 16} | EAGER | settings
    rows = case.batch(50).x if rows is None else rows
    history = fit(case.model, case.objective, rows, Settings(**settings), validation=validation)
    return weights(case.model), history


def twin_autoencoders():
    one, other = autoencoder().double(), autoencoder().double()
    other.load_state_dict(one.state_dict())
    return one, other


# --- randomness ------------------------------------------------------------------------------------


def test_the_seed_decides_everything():
    first, _ = run(seed=3)
    torch.manual_seed(99)
    again, _ = run(seed=3)
    other, _ = run(seed=4)
    assert_same(first, again)
    assert differ(first, other)


def test_a_step_does_not_depend_on_those_before_it():
    def statistics(numbers):
        case = make("VAE, many samples")
        step = Step(case.model, case.objective, Scaling(), seed=1)
        return [step._run(Rows(case.batch(8).x), number) for number in numbers][-1]

    (one, _, gradients), (other, _, others) = statistics([5]), statistics([0, 9, 2, 5])
    assert torch.equal(one, other)
    assert all(map(torch.equal, gradients, others))
    assert not torch.equal(one, statistics([6])[0])


def test_an_epoch_s_order_is_a_permutation_of_its_own():
    orders = {tuple(epoch_order(seed, epoch, 30).tolist()) for seed in (0, 1) for epoch in range(5)}
    assert len(orders) == 10
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert torch.equal(epoch_order(1, 2, 30), epoch_order(1, 2, 30))


def test_the_caller_s_generators_are_left_alone():
    def state():
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()

    before = state()
    run(validation=binary(8).x)
    assert state() == before


def test_fit_trains_where_the_caller_computes_without_gradient():
    expected, _ = run()
    with torch.no_grad():
        result, _ = run()
    assert_same(result, expected)


# --- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "size"), [(1, 1), (1, 128), (17, 4), (5, 5), (3, 128), (64, 1), (20, 19)])
def test_every_row_counts_once_an_epoch_whatever_the_batches(n, size):
    """With weights that stand still, the recorded loss is the mean over all rows."""
    model, rows = autoencoder(), real(n).x
    settings = Settings(max_epochs=2, batch_size=size, learning_rate=STILL, **EAGER)
    history = fit(model, Reconstruction(), rows, settings)
    assert [record["step"] for record in history] == [-(-n // size), 2 * -(-n // size)]
    expected = Reconstruction()(model, Batch(rows, rows)).value.mean().item()
    assert [record["loss"] for record in history] == pytest.approx([expected] * 2, rel=1e-5)
    assert history[0]["distortion"] == pytest.approx(expected, rel=1e-5)


def test_pixels_stay_bytes_until_the_step_scales_them(monkeypatch):
    pixels = (binary(20).x * 255).to(torch.uint8)
    seen = []

    def spy(self, rows, number, rate, part=None, original=Step.__call__):
        batch = rows.batch(self.scaling)
        seen.append((rows.x.dtype, batch.x.dtype, batch.x.max().item()))
        return original(self, rows, number, rate, part)

    monkeypatch.setattr(Step, "__call__", spy)
    model, other = make("VAE").model, make("VAE").model
    settings = Settings(max_epochs=2, batch_size=8, **EAGER)
    fit(model, ELBO(), pixels, settings, scaling=Scaling(scale=255.0))
    assert set(seen) == {(torch.uint8, torch.float32, 1.0)}
    fit(other, ELBO(), pixels.float() / 255, settings)
    assert_same(weights(model), weights(other))


def test_data_on_the_device_are_not_copied(monkeypatch):
    pixels, seen = (binary(20).x * 255).to(torch.uint8), []
    monkeypatch.setattr(Run, "train", lambda self, *_: seen.append(self.rows.x.data_ptr()))
    fit(vae(), ELBO(), pixels, Settings(**EAGER), scaling=Scaling(scale=255.0))
    assert seen == [pixels.data_ptr()]


def test_float64_rows_are_centred_before_they_are_rounded():
    x = 1e9 + torch.arange(4, dtype=torch.float64)[:, None]
    scaling = Scaling(x.mean(0), 2.0)
    assert scaling(x)[:, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert scaling(x).dtype == torch.float32
    torch.testing.assert_close(scaling.inverse(scaling(x)), x, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "bool", "float16", "float32", "float64"])
def test_arrays_of_any_numbers_train_alike(dtype):
    rows = binary(50).x.numpy().astype(dtype)
    rows.flags.writeable = False  # as memory maps are; no warning
    assert_same(run(rows=rows)[0], run()[0])


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (torch.zeros(4), ValueError, r"shape \(n, features\) with n >= 1, got \(4,\)"),
        (torch.zeros(4, 1, F), ValueError, "shape"),
        (torch.zeros(0, F), ValueError, "n >= 1"),
        (torch.zeros(4, 0), ValueError, "shape"),
        (torch.full((4, F), float("nan")), ValueError, "NaN or infinity in x"),
        (torch.full((4, F), float("inf"), dtype=torch.float64), ValueError, "NaN or infinity"),
        (torch.zeros(4, F, dtype=torch.complex64), TypeError, "real data"),
        (np.array([["a"] * F]), TypeError, "numbers in a tensor or an array, got ndarray"),
        ([object()], TypeError, "got list"),
        (Rows(torch.zeros(4, F), condition=torch.zeros(3, 2)), ValueError, "a condition for each of 4 rows"),
        (Rows(torch.zeros(4, F), condition=torch.full((4, 1), float("nan"))), ValueError, "in condition"),
    ],
)
def test_bad_rows_are_refused_in_words(rows, error, words):
    with pytest.raises(error, match=words):
        fit(vae(), ELBO(), rows, Settings(**EAGER))
    with pytest.raises(error, match=words.replace("data", "validation")):
        fit(vae(), ELBO(), binary(4).x, Settings(**EAGER), validation=rows)


def test_validation_of_another_width_is_refused():
    with pytest.raises(ValueError, match=f"validation with {F} features, as the data, got 3"):
        fit(vae(), ELBO(), binary(4).x, Settings(**EAGER), validation=torch.zeros(4, 3))


# --- weights of rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [[3.0, 1.0, 1.0, 2.0], [1.5, 0.5, 0.5, 1.0], [6, 2, 2, 4], [2.0, 0.0, 1.0, 1.0]])
def test_a_row_of_weight_two_is_the_row_twice(weight):
    """In one batch without noise; only the ratios of weights count."""
    one, other = twin_autoencoders()
    x = real(4).x.double()
    weight = torch.tensor(weight, dtype=torch.float64 if isinstance(weight[0], float) else torch.int64)
    repeats = (weight / weight[weight > 0].min()).round().long()
    settings = Settings(max_epochs=20, batch_size=9, learning_rate=1e-2, **EAGER)
    history = fit(one, Reconstruction(), Rows(x, weight=weight), settings)
    repeated = fit(other, Reconstruction(), x.repeat_interleave(repeats, 0), settings)
    assert [record["loss"] for record in history] == pytest.approx([r["loss"] for r in repeated], rel=1e-12)
    assert_same(weights(one), weights(other), rtol=1e-9, atol=1e-11)


def test_weights_count_in_validation():
    model, x = autoencoder(), real(2000 % 64).x
    weight = torch.arange(len(x)).float()
    settings = Settings(max_epochs=1, learning_rate=STILL, **EAGER)
    (record,) = fit(model, Reconstruction(), x, settings, validation=Rows(x, weight=weight))
    value = Reconstruction()(model, Batch(x, x)).value
    assert record["validation"] == pytest.approx(((value * weight).sum() / weight.sum()).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (torch.zeros(4), "positive sum"),
        (torch.tensor([1.0, -1.0, 1.0, 1.0]), ">= 0"),
        (torch.tensor([1, -1, 1, 1]), ">= 0"),
        (torch.tensor([1.0, float("nan"), 1.0, 1.0]), "NaN or infinity in weight"),
        (torch.tensor([1.0, float("inf"), 1.0, 1.0]), "NaN or infinity in weight"),
        (torch.ones(3), "a weight for each of 4 rows"),
        (torch.ones(4, 1), r"shape \(n,\), got \(4, 1\)"),
        (torch.tensor(1.0), "a weight for each"),
    ],
)
def test_bad_weights_are_refused_in_words(weight, words):
    with pytest.raises(ValueError, match=words):
        fit(vae(), ELBO(), Rows(binary(4).x, weight=weight), Settings(**EAGER))


# --- average and early stopping --------------------------------------------------------------------


def spied(monkeypatch, name="VAE", **settings):
    """A run's weights after each step, those at its end, and its history."""
    steps = []

    def spy(self, rows, number, rate, part=None, original=Step.__call__):
        result = original(self, rows, number, rate)
        steps.append(weights(self.model))
        return result

    monkeypatch.setattr(Step, "__call__", spy)
    end, history = run(name, **settings)
    return steps, end, history


def test_the_average_is_what_it_says(monkeypatch):
    start = weights(make("VAE").model)
    steps, end, _ = spied(monkeypatch, average=0.8, max_epochs=15)
    assert len(steps) == 60  # far past where t / (t + 9) reaches 0.8
    expected = {name: tensor.double() for name, tensor in start.items()}
    for t, current in enumerate(steps, start=1):
        decay = min(0.8, t / (t + 9))
        expected = {name: decay * expected[name] + (1 - decay) * current[name].double() for name in expected}
    assert_same({name: tensor.double() for name, tensor in end.items()}, expected, rtol=1e-5, atol=1e-6)
    assert differ(end, steps[-1])


@pytest.mark.parametrize("average", [None, 0.5])
def test_patience_ends_the_run_and_takes_the_best(monkeypatch, average):
    losses = iter([5.0, 4.0, 4.5, 3.0, float("nan"), 3.0, 3.5, 0.0])
    measured = []

    def validation_loss(self, _):
        measured.append(weights(self.step.model))
        return next(losses)

    monkeypatch.setattr(Run, "_validation_loss", validation_loss)
    steps, end, history = spied(monkeypatch, patience=3, max_epochs=99, average=average, validation=binary(5).x)
    assert [record["validation"] for record in history] == [5.0, 4.0, 4.5, 3.0, None, 3.0, 3.5]
    assert_same(end, measured[3])
    assert differ(end, measured[6])
    assert differ(measured[3], steps[4 * 4 - 1]) == (average is not None)  # an average is measured, and then is kept
    if average is None:
        assert_same(measured[6], steps[-1])


def test_validation_noise_is_the_same_each_epoch():
    _, history = run("VAE, many samples", learning_rate=STILL, max_epochs=3, validation=binary(30).x)
    assert len({record["validation"] for record in history}) == 1
    assert len({record["loss"] for record in history}) == 3


def test_watching_does_not_change_the_run():
    watched, history = run(validation=binary(5).x)
    alone, without = run()
    assert_same(watched, alone)
    assert [record["loss"] for record in history] == [record["loss"] for record in without]


def test_patience_needs_validation():
    with pytest.raises(ValueError, match="validation data with patience"):
        run(patience=2)


# --- the rest --------------------------------------------------------------------------------------


def test_a_model_is_ready_for_use_after_training():
    model = vae().eval()
    fit(model, ELBO(), binary(8).x, Settings(max_epochs=1, **EAGER))
    assert not model.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_devices_without_float64_get_rows_scaled_beforehand():
    x = torch.tensor([[1e6, 2.0], [1e6 + 1, 4.0]], dtype=torch.float64)
    scaling = Scaling(x.mean(0), 0.5)
    rows, none = Rows(x, weight=torch.ones(2, dtype=torch.float64)).without_float64(scaling)
    assert none == Scaling()
    assert {rows.x.dtype, rows.weight.dtype} == {torch.float32}
    assert torch.equal(none(rows.x), scaling(x))

"""The denoising objective changes what the encoder sees, and with an emphasis what counts, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from cases import CASES, EveryOtherLost, autoencoder, binary, make, real, table_model, vae
from isthmus.corruption import Blocks, FixedMasking, GaussianNoise, Masking, SaltAndPepper, UniformNoise
from isthmus.distributions import log_prob_per_dimension
from isthmus.heads import CategoricalHead, PointHead
from isthmus.model import Batch
from isthmus.objectives import ELBO, Denoising, DynamicBinarisation, Loss, Reconstruction
from training_cases import assert_same, differ, short_run

NOTHING = [Masking(0.0), FixedMasking(0.0), SaltAndPepper(0.0), UniformNoise(0.0), GaussianNoise(0.0),
           Blocks((1, 7, 5), 0.0)]  # fmt: skip


@pytest.mark.parametrize("corruption", NOTHING)
def test_denoising_without_noise_is_the_objective_itself(corruption):
    torch.manual_seed(0)
    plain, _ = short_run(model=autoencoder(), objective=Reconstruction())
    torch.manual_seed(0)
    denoising, _ = short_run(model=autoencoder(), objective=Denoising(Reconstruction(), corruption))
    assert_same(plain, denoising)


def test_denoising_trains_another_model_the_same_at_every_run():
    runs = []
    for objective in (Reconstruction(), *[Denoising(Reconstruction(), Masking((0.2, 0.6)))] * 2):
        torch.manual_seed(0)
        runs.append(short_run(model=autoencoder(), objective=objective)[0])
    assert differ(runs[0], runs[1])
    assert_same(runs[1], runs[2])


def test_the_loss_is_of_the_clean_rows():
    batch = binary(6)
    seen = Denoising(ELBO(), Masking(0.5)).prepare(batch)
    assert torch.equal(seen.target, batch.target)
    assert seen.feature_weight is None
    assert (seen.x <= batch.x).all()
    assert not torch.equal(seen.x, batch.x)


def test_a_function_is_a_corruption():
    batch = Denoising(ELBO(), lambda x: x + 1).prepare(binary(6))
    assert torch.equal(batch.x, batch.target + 1)


@dataclass(frozen=True)
class Count:
    """A penalty that reads what the encoder saw."""

    def __call__(self, trace, model):
        return Loss(trace.batch.x.sum(-1), terms={"seen": trace.batch.x.sum(-1)})


@pytest.mark.parametrize("emphasis", [(1.0, 1.0), (1.0, 0.3)])
def test_penalty_and_denoising_combine_in_either_order(emphasis):
    model, batch = vae(), binary(6)
    losses = []
    for objective in (
        Denoising(ELBO() + Count(), Masking(0.5), emphasis),
        Denoising(ELBO(), Masking(0.5), emphasis) + Count(),
    ):
        torch.manual_seed(3)
        losses.append(objective(model, Batch(batch.x, batch.x)))
    torch.testing.assert_close(losses[0].value, losses[1].value, rtol=0, atol=0)
    assert losses[0].terms.keys() == losses[1].terms.keys()


# --- emphasis ----------------------------------------------------------------------------------------

KEPT = torch.arange(35) % 2  # what `EveryOtherLost` leaves


def loss_and_gradient(objective, model, batch):
    """Loss of each example, and the gradient of their sum to what the decoder puts out."""
    outputs = []
    hook = model.decoder.head.project.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
    loss = objective(model, batch)
    hook.remove()
    return loss.value, torch.autograd.grad(loss.value.sum(), outputs)[0][0]


def test_emphasis_weighs_squared_errors_by_feature():
    """Value and gradient by hand: alpha on what was lost, beta on the rest; the Gaussian's constant as well."""
    model, batch = autoencoder().double(), Batch(*[real(6).x.double()] * 2)
    value, gradient = loss_and_gradient(Denoising(Reconstruction(), EveryOtherLost(), (3.0, 0.5)), model, batch)
    output = model.trace(batch._replace(x=batch.x * KEPT)).p.mean[0]
    weight = torch.where(KEPT == 0, 3.0, 0.5).double()
    constant = 0.5 * torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64))
    expected = (weight * (0.5 * (output - batch.target) ** 2 + constant)).sum(-1)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, weight * (output - batch.target), rtol=1e-10, atol=1e-12)


def test_full_emphasis_asks_for_nothing_of_what_is_clean():
    model, batch = vae().double(), Batch(*[binary(6).x.double()] * 2)
    torch.manual_seed(0)
    _, gradient = loss_and_gradient(Denoising(ELBO(), EveryOtherLost(), (1.0, 0.0)), model, batch)
    assert (gradient[:, KEPT == 1] == 0).all()
    assert (gradient[:, KEPT == 0] != 0).all()


def test_equal_weights_change_nothing_or_only_the_scale():
    model, batch = autoencoder(), real(6)
    losses = []
    for emphasis in ((1.0, 1.0), (1, 1), (2.0, 2.0)):
        torch.manual_seed(0)
        losses.append(Denoising(Reconstruction(), Masking(0.4), emphasis)(model, batch).value)
    torch.manual_seed(0)
    plain = Denoising(Reconstruction(), Masking(0.4))(model, batch).value
    assert torch.equal(losses[0], plain)
    assert torch.equal(losses[1], plain)
    torch.testing.assert_close(losses[2], 2 * plain, rtol=1e-6, atol=0)


def test_emphasis_leaves_the_rate_alone():
    model, batch = vae(), binary(6)
    terms = []
    for emphasis in ((1.0, 1.0), (0.5, 0.25)):
        torch.manual_seed(0)
        terms.append(Denoising(ELBO(), EveryOtherLost(), emphasis)(model, batch).terms)
    assert torch.equal(terms[0]["rate"], terms[1]["rate"])
    assert (terms[1]["distortion"] < 0.5 * terms[0]["distortion"]).all()
    assert (terms[1]["distortion"] > 0.25 * terms[0]["distortion"]).all()


def test_what_was_drawn_is_corrupted_even_where_it_was_zero_before():
    zeros = Batch(torch.zeros(4, 35), torch.zeros(4, 35))
    torch.manual_seed(0)
    weight = Denoising(Reconstruction(), FixedMasking(0.2), (1.0, 0.25)).prepare(zeros).feature_weight
    assert ((weight == 1).sum(1) == 7).all()
    assert ((weight == 0.25).sum(1) == 28).all()


def test_weights_of_one_denoising_in_another_multiply():
    inner = Denoising(Reconstruction(), EveryOtherLost(), (1.0, 0.5))
    batch = Denoising(inner, EveryOtherLost(), (1.0, 0.5)).prepare(real(2))
    assert torch.equal(batch.feature_weight, torch.where(KEPT == 0, 1.0, 0.25).expand(2, 35))


def test_emphasis_goes_with_dynamic_binarisation_in_either_order():
    grey = Batch(torch.full((4, 35), 0.5), torch.full((4, 35), 0.5))
    for objective in (
        Denoising(DynamicBinarisation(ELBO()), EveryOtherLost(), (1.0, 0.5)),
        DynamicBinarisation(Denoising(ELBO(), EveryOtherLost(), (1.0, 0.5))),
    ):
        seen = objective.prepare(grey)
        assert set(seen.target.flatten().tolist()) == {0.0, 1.0}
        assert torch.equal(seen.x, seen.target * KEPT)
        assert seen.feature_weight.min() == 0.5


@pytest.mark.parametrize("name", CASES)
def test_densities_of_dimensions_add_up_to_that_of_all(name):
    model, _, batch = make(name)
    trace = model.trace(batch(5), 2)
    if "categorical" in name:
        with pytest.raises(TypeError, match="Expected a likelihood of independent dimensions, got OneHotGroups"):
            log_prob_per_dimension(trace.p, batch(5).target)
        return
    each = log_prob_per_dimension(trace.p, batch(5).target)
    assert each.shape == (2, *batch(5).target.shape)
    torch.testing.assert_close(each.sum(-1), trace.log_likelihood, rtol=1e-5, atol=1e-5)


def test_a_likelihood_without_densities_of_dimensions_is_refused():
    model = table_model(PointHead(16, 3), CategoricalHead(16, 7, n_classes=5), None)
    batch = make("VAE, categorical").batch(4)
    assert Denoising(Reconstruction(), EveryOtherLost())(model, batch).value.isfinite().all()
    with pytest.raises(TypeError, match="OneHotGroups"):
        Denoising(Reconstruction(), EveryOtherLost(), (1.0, 0.5))(model, batch)


@pytest.mark.parametrize("emphasis", [(1.0, -1.0), (float("inf"), 1.0), (0.0, 0.0), (1.0,), (float("nan"), 1.0)])
def test_weights_out_of_range_are_refused(emphasis):
    with pytest.raises(ValueError, match="Expected two finite weights"):
        Denoising(Reconstruction(), Masking(), emphasis)


def test_emphasis_where_nothing_tells_corrupted_from_clean_is_refused():
    for noise in (GaussianNoise(), UniformNoise()):
        assert Denoising(Reconstruction(), noise).emphasis == (1, 1)
        with pytest.raises(ValueError, match="leaves none clean"):
            Denoising(Reconstruction(), noise, (1.0, 0.5))
    with pytest.raises(TypeError, match="says where it corrupts"):
        Denoising(Reconstruction(), lambda x: x, (1.0, 0.5))

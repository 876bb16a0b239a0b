"""ELBO and Reconstruction: what their arguments do, exactly."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

from cases import D, TwoLayers, autoencoder, binary, fixed_noise, make, vae
from isthmus.distributions import kl_per_dimension
from isthmus.model import Batch, LatentVariableModel
from isthmus.objectives import ELBO, Loss, Objective, Reconstruction, evidence_minus_posterior_kl

ROWS = torch.arange(8)


def loss(objective: Objective, model: LatentVariableModel, batch: Batch | None = None) -> Loss:
    return objective(model, batch or binary(8), fixed_noise(ROWS))


def test_reconstruction_is_minus_the_log_likelihood() -> None:
    model, batch = autoencoder(), binary(8)
    p = model.decoder(model.encoder(batch.x).mean)
    torch.testing.assert_close(loss(Reconstruction(), model).value, -p.log_prob(batch.target))


def test_elbo_is_distortion_plus_beta_times_rate() -> None:
    model, batch = vae(), binary(8)
    rate = kl_divergence(model.encoder(batch.x), model.prior(batch))
    for beta in (0.0, 1.0, 4.0):
        result = loss(ELBO(beta=beta), model)
        torch.testing.assert_close(result.terms["rate"], rate)
        torch.testing.assert_close(result.value, result.terms["distortion"] + beta * rate)
        assert result.batch == 0


def test_samples_average_the_distortion() -> None:
    model, batch = vae(), binary(8)
    trace = model.trace(batch, 5)
    torch.testing.assert_close(
        ELBO(n_samples=5).loss(trace, model).terms["distortion"], -trace.p.log_prob(batch.target).mean(0)
    )


def test_warm_up_rises_linearly_with_the_step_and_is_whole_outside_training() -> None:
    model, objective = vae(), ELBO(beta=2.0, warm_up=10)
    for step, weight in ((0, 0.0), (1, 0.2), (5, 1.0), (10, 2.0), (1000, 2.0), (None, 2.0)):
        batch = binary(8)._replace(step=None if step is None else torch.tensor(step))
        result = loss(objective, model, batch)
        torch.testing.assert_close(result.value, result.terms["distortion"] + weight * result.terms["rate"])


# --- several layers --------------------------------------------------------------------------------


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
def test_the_rates_of_layers_add_up(kl: str) -> None:
    model, batch = TwoLayers(), binary(8)
    trace = model.trace(batch, 3)
    first, second = trace.layers
    if kl == "analytic":
        expected = kl_divergence(first.q, first.prior).mean(0) + kl_divergence(second.q, second.prior).mean(0)
    else:
        expected = sum((q.log_prob(z) - p.log_prob(z)).mean(0) for q, z, p in trace.layers)
    torch.testing.assert_close(ELBO(n_samples=3, kl=kl).loss(trace, model).terms["rate"], expected)


def test_free_bits_average_over_samples_too() -> None:
    model, batch = TwoLayers(), binary(8)
    trace = model.trace(batch, 3)
    result = ELBO(n_samples=3, free_bits=0.5).loss(trace, model)
    kl = [kl_per_dimension(q, p).mean(0) for q, _, p in trace.layers]
    torch.testing.assert_close(result.terms["rate"], sum(part.sum(-1) for part in kl))
    torch.testing.assert_close(result.batch, sum((0.5 - part.mean(0)).clamp(min=0).sum() for part in kl))


def test_sampled_kl_is_one_minus_the_log_weights() -> None:
    model, batch = vae(), binary(8)
    trace = model.trace(batch, 6)
    value = ELBO(n_samples=6, kl="monte_carlo").loss(trace, model).value
    torch.testing.assert_close(value, -trace.log_weights.mean(0))


def test_without_an_encoder_the_rate_is_zero() -> None:
    model, _, batch = make("no encoder")
    for kl in ("auto", "monte_carlo"):
        assert not ELBO(kl=kl)(model, batch(8)).terms["rate"].any()


# --- free bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_free_bits_raise_each_dimension_s_mean_kl_to_lambda(weighted: bool) -> None:
    """Kingma et al. (2016), eq. 15: the sum over dimensions of max(lambda, mean KL), times beta."""
    model, batch = vae(), binary(8)
    weight = torch.linspace(0, 2, 8) if weighted else None
    batch = batch._replace(weight=weight)
    kl = kl_per_dimension(model.encoder(batch.x), model.prior(batch))
    mean = kl.mean(0) if weight is None else (kl * weight[:, None]).mean(0)
    level = mean.sort().values[1].item() + 1e-4  # above two of three dimensions, below the last
    assert (mean < level).sum() == 2

    plain, free = loss(ELBO(beta=3.0), model, batch), loss(ELBO(beta=3.0, free_bits=level), model, batch)
    torch.testing.assert_close(free.value, plain.value)  # an example's bound is what it was
    torch.testing.assert_close(
        free.total(weight) - plain.total(weight), 3.0 * (mean.clamp(min=level).sum() - mean.sum())
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_free_bits_cancel_the_prior_s_pressure_below_lambda_and_only_there(weighted: bool) -> None:
    model, batch = vae(), binary(8)
    batch = batch._replace(weight=torch.linspace(0, 2, 8) if weighted else None)
    head = model.encoder.head.project

    def gradient(objective: ELBO) -> torch.Tensor:
        result = loss(objective, model, batch)
        return torch.autograd.grad(result.total(batch.weight), head.weight)[0].reshape(2, D, -1)

    kl = kl_per_dimension(model.encoder(batch.x), model.prior(batch))
    mean = kl.mean(0) if batch.weight is None else (kl * batch.weight[:, None]).mean(0)
    level = mean.sort().values[1].item() + 1e-4
    free = gradient(ELBO(free_bits=level))
    below = mean < level
    torch.testing.assert_close(free[:, below], gradient(ELBO(beta=0.0))[:, below], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(free[:, ~below], gradient(ELBO())[:, ~below], rtol=1e-4, atol=1e-6)


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"kl": "monte_carlo"}, {"kl": "analytic"}, {"free_bits": 0.1}])
def test_a_deterministic_code_has_no_bound(options: dict) -> None:
    with pytest.raises(TypeError, match=r"use Reconstruction\(\), or a Gaussian head"):
        loss(ELBO(**options), autoencoder())


def test_a_code_without_prior_has_no_bound() -> None:
    model = vae()
    model.prior = None
    with pytest.raises(TypeError, match="StandardNormal"):
        loss(ELBO(), model)


def test_a_closed_form_that_is_missing_is_named() -> None:
    model, _, batch = make("VAE, mixture prior")
    with pytest.raises(TypeError, match="MixtureSameFamily; use kl='monte_carlo'"):
        ELBO(kl="analytic")(model, batch(8))
    with pytest.raises(TypeError, match="two diagonal Gaussians.*MixtureSameFamily"):
        ELBO(free_bits=0.1)(model, batch(8))


def test_the_third_form_is_for_one_layer() -> None:
    trace = TwoLayers().trace(binary(8), 2)
    with pytest.raises(ValueError, match="one latent layer, got 2"):
        evidence_minus_posterior_kl(trace, torch.zeros(8), trace.layers[1].q)


@pytest.mark.parametrize(
    "options",
    [
        {"beta": -1.0},
        {"beta": float("nan")},
        {"n_samples": 0},
        {"free_bits": -0.1},
        {"warm_up": -1},
        {"kl": "exact"},
        {"free_bits": 0.1, "kl": "monte_carlo"},
    ],
    ids=str,
)
def test_values_out_of_range_are_errors(options: dict) -> None:
    with pytest.raises(ValueError, match="Expected"):
        ELBO(**options)

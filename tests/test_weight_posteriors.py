"""Posteriors over weights against closed forms: conjugate regression, moments of noisy sums, mixtures of members."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from isthmus.estimators.laplace_networks import fit_laplace
from isthmus.estimators.mean_field_networks import fit_mean_field
from isthmus.estimators.network_training import Networks, NetworkTraining, PenalisedLikelihood
from isthmus.estimators.point_networks import fit_point_networks
from isthmus.inference.weights import (
    Classes,
    ConstantNoise,
    InputNoise,
    Network,
    WeightPosterior,
    dropped,
    linearised,
    log_probabilities,
    outputs_of,
    target_gaussians,
)
from isthmus.inference.weights.laplace import curvatures, jacobian
from isthmus.inference.weights.mean_field import kl_divergence, moments, noisy_sums
from isthmus.inference.weights.outputs import Outputs
from isthmus.training import NonFiniteError, Rows

PRECISION, NOISE = 2.0, 0.5


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def linear(generator):
    """Rows, targets, and the posterior of Bayesian linear regression: mean, precision, log evidence."""
    x = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    y = x @ torch.tensor([[1.0, -0.5], [0.3, 0.2], [0.0, 1.0]], dtype=torch.float64)
    y = y + 0.3 * torch.randn(40, 2, generator=generator, dtype=torch.float64)
    X = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    A = X.T @ X / NOISE**2 + PRECISION * torch.eye(4, dtype=torch.float64)
    mean = torch.linalg.solve(A, X.T @ y / NOISE**2)
    marginal = MultivariateNormal(torch.zeros(40).double(), X @ X.T / PRECISION + NOISE**2 * torch.eye(40).double())
    return x, y, X, mean, A, marginal.log_prob(y.T).sum()


def test_laplace_of_a_linear_network_is_conjugate_regression(linear, generator):
    x, y, X, mean, A, log_evidence = linear
    network, likelihood = Network((3, 2)), ConstantNoise(2)
    training = NetworkTraining(n_steps=500, learning_rate=0.1)
    fit = fit_laplace(network, likelihood, Rows(x, target=y), training, precision=PRECISION, noise=NOISE)
    torch.testing.assert_close(fit.vectors.reshape(4, 2), mean)
    covariance = fit.covariances[0].reshape(4, 2, 4, 2)
    for i in range(2):
        torch.testing.assert_close(covariance[:, i, :, i], torch.linalg.inv(A))
    torch.testing.assert_close(covariance[:, 0, :, 1], torch.zeros(4, 4).double())
    torch.testing.assert_close(fit.log_evidence[0], log_evidence)
    found = linearised(network, fit.vectors, fit.covariances, x)
    torch.testing.assert_close(found.mean[0], X @ mean)
    expected = (X @ torch.linalg.inv(A) * X).sum(1)
    torch.testing.assert_close(found.covariance[0, :, 0, 0], expected)
    posterior = WeightPosterior("laplace", fit.vectors, fit.noise, fit.covariances)
    _, factor = target_gaussians(likelihood, outputs_of(network, posterior, x, 10, 0))
    torch.testing.assert_close(factor[:, 0, 0, 0].square(), expected + NOISE**2)


def test_mean_field_of_a_linear_network_is_the_best_product_of_gaussians(linear, generator):
    """Its mean is the posterior's, its variances one over the diagonal of the precision (Bishop, 10.2)."""
    x, y, _, mean, A, log_evidence = linear
    training, fixed = NetworkTraining(n_steps=600, learning_rate=0.1), {"precision": PRECISION, "noise": NOISE}
    fit = fit_mean_field(Network((3, 2)), ConstantNoise(2), Rows(x, target=y), training, **fixed)
    torch.testing.assert_close(fit.mean.reshape(4, 2), mean)
    torch.testing.assert_close(torch.exp(-2 * fit.log_sd).reshape(4, 2), A.diagonal()[:, None].expand(4, 2))
    # The gap of the bound is KL(q || p), of which only the determinants remain.
    gap = 2 * 0.5 * (A.diagonal().log().sum() - torch.logdet(A))
    assert fit.bound == pytest.approx(float(log_evidence - gap), rel=1e-6)


def test_precisions_and_noise_are_where_the_evidence_is_largest(linear, generator):
    x, y, *_ = linear
    training, rows = NetworkTraining(n_steps=600, learning_rate=0.05), Rows(x, target=y[:, :1])
    fit = fit_laplace(Network((3, 1)), ConstantNoise(1), rows, training, n_rounds=40, each_input=False)
    alpha, noise = fit.log_precision[0].exp(), fit.noise[0].exp()

    def log_evidence(alpha, noise):
        kernel = x @ x.T / alpha[0] + 1 / alpha[1] + noise**2 * torch.eye(40)
        return float(MultivariateNormal(torch.zeros(40).double(), kernel).log_prob(y[:, 0]))

    best = log_evidence(alpha, noise)
    assert best == pytest.approx(float(fit.log_evidence), rel=1e-6)
    for change in (0.9, 1.1):
        assert log_evidence(alpha * torch.tensor([change, 1.0]), noise) < best
        assert log_evidence(alpha, noise * change) < best


def test_last_layer_laplace_is_conjugate_regression_on_the_features(linear, generator):
    x, y, *_ = linear
    network = Network((3, 5, 2), "tanh")
    training, fixed = NetworkTraining(n_steps=100, learning_rate=0.05), {"precision": PRECISION, "noise": NOISE}
    fit = fit_laplace(network, ConstantNoise(2), Rows(x, target=y), training, last_layer=True, **fixed)
    features = network.features(fit.vectors, x)[0]
    A = features.T @ features / NOISE**2 + PRECISION * torch.eye(6).double()
    weights = fit.vectors[0, -12:].reshape(6, 2)
    torch.testing.assert_close(weights, torch.linalg.solve(A, features.T @ y / NOISE**2))
    torch.testing.assert_close(fit.covariances[0].reshape(6, 2, 6, 2)[:, 1, :, 1], torch.linalg.inv(A))
    found = linearised(network, fit.vectors, fit.covariances, x)
    torch.testing.assert_close(found.covariance[0, :, 1, 1], (features @ torch.linalg.inv(A) * features).sum(1))


@pytest.mark.parametrize("likelihood", [ConstantNoise(2), InputNoise(1), Classes(2)])
def test_curvature_is_the_expected_hessian(likelihood, generator):
    """By the Fisher identity: the covariance of the score, which Gauss-Newton is with these likelihoods."""
    network = Network((2, 3, 2), "tanh")
    vector = network.initial(1, generator)[0].double()
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    noise = torch.full((likelihood.n_noise,), 0.0, dtype=torch.float64)
    J, outputs = jacobian(network, vector, x), network(vector, x)
    information = likelihood.curvature(outputs, noise)
    expected = torch.einsum("noi,nop,npj->ij", J, information, J)
    torch.testing.assert_close(curvatures(network, likelihood, vector, noise, x).sum(0), expected)
    if isinstance(likelihood, InputNoise):
        scale = outputs[:, 1].exp()
        expected = torch.diag_embed(torch.stack((scale**-2, torch.full_like(scale, 2.0)), -1))
        torch.testing.assert_close(information, expected)


def test_local_reparameterisation_has_the_moments_of_the_sums(generator):
    network = Network((3, 4))
    mean, log_sd = (torch.randn(2, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    loc, variance = moments(x, 0, network, mean, log_sd)
    # Sums are linear in independent weights: their variance is that of each weight, by its derivative squared.
    for m in range(2):
        J = jacobian(network, mean[m], x)
        torch.testing.assert_close(loc[m], network(mean[m], x))
        torch.testing.assert_close(variance[m], (J.square() * torch.exp(2 * log_sd[m])).sum(-1))


def test_all_estimators_have_these_moments_and_flipout_less_variance_than_shared_weights(generator):
    network, n_draws = Network((3, 2)), 2500
    mean, log_sd = (torch.randn(1, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    x = torch.randn(16, 3, generator=generator, dtype=torch.float64)
    loc, variance = moments(x, 0, network, mean, log_sd)
    spread = {}
    for estimator in ("local", "flipout", "shared"):
        draws = [noisy_sums(x, 0, network, mean, log_sd, estimator, generator) for _ in range(n_draws)]
        sums = torch.stack(draws)
        error = (variance / n_draws).sqrt()
        assert ((sums.mean(0) - loc).abs() < 5 * error).all()
        torch.testing.assert_close(sums.var(0), variance, rtol=0.15, atol=0.0)
        spread[estimator] = float(sums.mean(2).var(0).sum())  # of a mean over the batch
    expected = float(variance.sum(2).sum() / 16**2)
    assert spread["local"] == pytest.approx(expected, rel=0.1)
    assert spread["flipout"] == pytest.approx(expected, rel=0.1)
    assert spread["shared"] > 1.5 * spread["flipout"]


def test_the_divergence_is_torch_s(generator):
    mean, log_sd, log_precision = (torch.randn(3, 5, generator=generator) for _ in range(3))
    q, p = Normal(mean, log_sd.exp()), Normal(0.0, torch.exp(-0.5 * log_precision))
    torch.testing.assert_close(
        kl_divergence(mean, log_sd, log_precision), torch.distributions.kl_divergence(q, p).sum(1)
    )


def test_expected_likelihoods_are_those_of_draws(generator):
    mean, variance = (torch.rand(1, 6, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    y = torch.randn(6, 1, generator=generator, dtype=torch.float64)
    for likelihood, outputs, spread in (
        (InputNoise(1), mean, 0.1 * variance),
        (ConstantNoise(1), mean[..., :1], variance[..., :1]),
    ):
        noise = torch.full((1, likelihood.n_noise), -0.3).double()
        draws = outputs + spread.sqrt() * torch.randn(100_000, *outputs.shape[1:], generator=generator).double()
        values = likelihood.log_likelihood(draws, y, noise)
        error = values.std(0) / math.sqrt(100_000)
        assert ((values.mean(0) - likelihood.expected(outputs, spread, y, noise)[0]).abs() < 5 * error).all()


def test_dropout_is_unbiased_and_shared_draws_do_not_look_at_the_company(generator):
    rate = torch.tensor([0.0, 0.4])
    x = torch.ones(2, 2000, 50)
    out = dropped(rate, generator)(0, x)
    torch.testing.assert_close(out[0], x[0])
    assert float(out[1].mean()) == pytest.approx(1.0, abs=0.02)
    assert out[1].unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    shared = dropped(rate, generator, shared=True)(0, x)
    assert (shared[1] == shared[1, 0]).all()


def test_networks_on_one_axis_are_those_trained_alone(linear):
    x, y, *_ = linear
    network, likelihood, rows = Network((3, 4, 2), "tanh"), ConstantNoise(2), Rows(x, target=y)
    training = NetworkTraining(n_steps=50, seed=1)
    both = fit_point_networks(network, likelihood, rows, training, n_networks=2)
    starts = network.initial(2, torch.Generator().manual_seed(1)).to(x)
    for m in range(2):
        alone = Networks(network, starts[m : m + 1], x.new_full((1, 2), 0.3).log(), torch.ones(1, 1))
        training(alone, PenalisedLikelihood(likelihood, len(x), 50), rows)
        torch.testing.assert_close(both.vectors[m], alone.vectors[0].detach(), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(both.noise[m], alone.noise[0].detach(), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(network(both.vectors, x)[m], network(both.vectors[m], x))


def test_evened_rows_teach_means_alike_and_scales_as_the_likelihood_does(generator):
    """At beta = 1 the means' gradient is that of least squares; at 0 nothing is changed."""
    likelihood, targets = InputNoise(1), torch.randn(7, 1, generator=generator)
    outputs = torch.randn(1, 7, 2, generator=generator).requires_grad_()
    plain = likelihood.log_likelihood(outputs, targets, torch.zeros(1, 0))
    torch.testing.assert_close(likelihood.evened(outputs, targets, 0.0), plain)
    (found,) = torch.autograd.grad(likelihood.evened(outputs, targets, 1.0).sum(), outputs)
    (exact,) = torch.autograd.grad(plain.sum(), outputs)
    mean, variance = outputs[..., :1].detach(), torch.exp(2 * outputs[..., 1:].detach())
    torch.testing.assert_close(found[..., :1], (targets - mean) / variance.mean())
    torch.testing.assert_close(found[..., 1:], exact[..., 1:] * variance / variance.mean())


def test_an_ensemble_learns_large_targets_and_takes_them_for_no_noise(generator):
    """Targets over three orders of magnitude with noise of a twentieth of each."""
    x = torch.rand(150, 1, generator=generator) * 2 - 1
    y = torch.exp(3.5 * x)
    sd = y.std()
    noisy = (y + 0.05 * y * torch.randn(150, 1, generator=generator) - y.mean()) / sd
    network, likelihood = Network((1, 20, 2)), InputNoise(1)
    rows, training = Rows(x, target=noisy), NetworkTraining()
    fit = fit_point_networks(
        network, likelihood, rows, training, n_networks=2, precisions=(1.0, 100.0), lengths=(100, 500)
    )
    assert set(fit.held_out) == {(0.0, p, n) for p in (1.0, 100.0) for n in (100, 500)}
    mean, log_scale = likelihood.split(network(fit.vectors, x).mean(0))
    assert float((mean - (y - y.mean()) / sd).square().mean()) < 0.05**2
    assert float(torch.corrcoef(torch.stack((log_scale[:, 0], y[:, 0].log())))[0, 1]) > 0.5


def test_a_choice_is_by_held_out_rows(linear):
    x, y, *_ = linear
    rows, training = Rows(x, target=y), NetworkTraining(n_steps=300)
    fit = fit_point_networks(Network((3, 2)), ConstantNoise(2), rows, training, precisions=(0.1, 1e5))
    assert fit.precision == 0.1  # so strong a prior would leave nothing of the weights
    assert fit.held_out[0.0, 0.1, 300] > fit.held_out[0.0, 1e5, 300]


def test_probabilities_are_means_over_gaussian_logits():
    """Two classes: the mean of a logistic function under a Gaussian, by quadrature."""
    mean = torch.tensor([[[0.0, 1.0]]], dtype=torch.float64)
    covariance = torch.diag_embed(torch.tensor([[[0.5, 1.5]]], dtype=torch.float64))
    found = log_probabilities(Outputs(mean, covariance, torch.zeros(1, 0)), 200_000, 0).exp()
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    weight = Normal(1.0, math.sqrt(2.0)).log_prob(grid).exp()
    expected = float(torch.trapezoid(weight * torch.sigmoid(grid), grid))
    assert float(found[0, 1]) == pytest.approx(expected, abs=3e-3)
    assert float(found.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("widths", [(3,), (3, 0, 1)])
def test_bad_widths_are_refused(widths):
    with pytest.raises(ValueError, match="Expected at least two widths"):
        Network(widths)


def test_a_loss_that_is_not_finite_ends_training(linear):
    x, y, *_ = linear
    rows, training = Rows(x * 1e200, target=y * 1e200), NetworkTraining(n_steps=3)
    with pytest.raises(NonFiniteError, match="Expected a finite loss.*smaller learning_rate"):
        fit_point_networks(Network((3, 2)), ConstantNoise(2), rows, training)

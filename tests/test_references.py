"""Objectives against models whose likelihood is known: the linear-Gaussian model, PCA, probabilistic PCA."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, kl_divergence

from cases import linear_gaussian
from isthmus.distributions import kl_per_dimension, normal, reparameterise
from isthmus.heads import FixedGaussianHead, GaussianHead, PointHead
from isthmus.model import Batch, Conditional, LatentVariableModel, Trace, draw
from isthmus.nets import MLP
from isthmus.objectives import (
    ELBO,
    Objective,
    Reconstruction,
    evidence_minus_posterior_kl,
    joint_plus_entropy,
    reconstruction_minus_kl,
)
from isthmus.priors import StandardNormal

F, D, SCALE = 6, 2, 0.7


def quadrature(q: Distribution, n_samples: int) -> Tensor:
    """2 D points with which the mean of any quadratic function of a Gaussian is exact (so K is not free)."""
    eye = math.sqrt(q.event_shape[0]) * torch.eye(q.event_shape[0], dtype=torch.double)
    points = torch.cat((eye, -eye))[:, None]
    return reparameterise(q, points.expand(-1, *q.batch_shape, -1))


class Known:
    """A linear-Gaussian model, an x, its evidence and its posterior."""

    def __init__(self) -> None:
        self.weight, x = torch.randn(F, D, dtype=torch.double), torch.randn(1, F, dtype=torch.double)
        self.batch = Batch(x, x)
        covariance = self.weight @ self.weight.T + SCALE**2 * torch.eye(F, dtype=torch.double)
        self.log_evidence = MultivariateNormal(torch.zeros(F, dtype=torch.double), covariance).log_prob(x)
        precision = torch.eye(D, dtype=torch.double) + self.weight.T @ self.weight / SCALE**2
        loc = torch.linalg.solve(precision, self.weight.T @ x[0]) / SCALE**2
        self.posterior = MultivariateNormal(loc[None], precision_matrix=precision)
        self.loose = normal(loc[None] + 0.2, torch.full((1, D), 0.5, dtype=torch.double))
        full = torch.tensor([[[0.6, 0.0], [-0.3, 0.4]]], dtype=torch.double)
        self.loose_full = MultivariateNormal(loc[None] - 0.1, scale_tril=full)

    def trace(self, q: Distribution, n_samples: int, sample: Callable | None = None) -> Trace:
        model = linear_gaussian(self.weight, SCALE, q)
        return model.trace(self.batch, n_samples, *([sample] if sample else []))


@pytest.fixture
def known(seeded: None) -> Known:
    return Known()


@pytest.mark.parametrize("family", ["loose", "loose_full"])
def test_bounds_are_ordered(known: Known, family: str) -> None:
    """ELBO <= E[IWAE_k] <= log p(x), the latter strictly for a posterior that is wrong."""
    k = 10
    log_weights = known.trace(getattr(known, family), 20_000 * k).log_weights.reshape(20_000, k)
    elbo = -ELBO().loss(known.trace(getattr(known, family), 1, quadrature), nn.Identity()).value
    iwae = log_weights.logsumexp(1) - math.log(k)
    error = 5 * iwae.std() / math.sqrt(len(iwae))
    assert elbo + error < iwae.mean() < known.log_evidence - error


def test_every_bound_is_tight_at_the_exact_posterior(known: Known) -> None:
    log_weights = known.trace(known.posterior, 7).log_weights
    torch.testing.assert_close(log_weights, known.log_evidence.expand(7, 1))
    sampled = ELBO(n_samples=7, kl="monte_carlo").loss(known.trace(known.posterior, 7), nn.Identity())
    torch.testing.assert_close(-sampled.value, known.log_evidence)
    exact = ELBO().loss(known.trace(known.posterior, 1, quadrature), nn.Identity())
    torch.testing.assert_close(-exact.value, known.log_evidence)


@pytest.mark.parametrize("family", ["loose", "loose_full", "posterior"])
def test_the_three_forms_of_the_bound_are_equal(known: Known, family: str) -> None:
    """In expectation, which the quadrature takes exactly: log p(x|z) and log p(z) are quadratic in z."""
    trace = known.trace(getattr(known, family), 1, quadrature)
    bound = -ELBO().loss(trace, nn.Identity()).value
    torch.testing.assert_close(reconstruction_minus_kl(trace), bound)
    torch.testing.assert_close(joint_plus_entropy(trace), bound)
    torch.testing.assert_close(evidence_minus_posterior_kl(trace, known.log_evidence, known.posterior), bound)


@pytest.mark.parametrize("family", ["loose", "loose_full"])
def test_each_sample_s_weight_is_evidence_times_posterior_over_proposal(known: Known, family: str) -> None:
    q = getattr(known, family)
    trace = known.trace(q, 50)
    (layer,) = trace.layers
    expected = known.log_evidence + known.posterior.log_prob(layer.z) - q.log_prob(layer.z)
    torch.testing.assert_close(trace.log_weights, expected)


@pytest.mark.parametrize("family", ["loose", "loose_full"])
def test_sampled_bound_is_the_exact_one_in_expectation(known: Known, family: str) -> None:
    q = getattr(known, family)
    exact = -ELBO().loss(known.trace(q, 1, quadrature), nn.Identity()).value
    log_weights = known.trace(q, 100_000).log_weights
    error = 5 * log_weights.std() / math.sqrt(len(log_weights))
    assert (log_weights.mean() - exact).abs() < error


# --- closed-form KL --------------------------------------------------------------------------------


def _pairs() -> dict[str, tuple[Distribution, Distribution]]:
    torch.manual_seed(3)
    loc, other = torch.randn(2, 4, 3, dtype=torch.double)
    scale, other_scale = torch.rand(2, 4, 3, dtype=torch.double) + 0.3
    tril, other_tril = torch.randn(2, 4, 3, 3, dtype=torch.double).tril(-1) * 0.3 + torch.diag_embed(
        torch.rand(2, 4, 3, dtype=torch.double) + 0.5
    )
    diagonal, other_diagonal = normal(loc, scale), normal(other, other_scale)
    full, other_full = MultivariateNormal(loc, scale_tril=tril), MultivariateNormal(other, scale_tril=other_tril)
    return {
        "diagonal, diagonal": (diagonal, other_diagonal),
        "full, diagonal": (full, other_diagonal),
        "diagonal, full": (diagonal, other_full),
        "full, full": (full, other_full),
    }


def as_full(q: Distribution) -> MultivariateNormal:
    if isinstance(q, MultivariateNormal):
        return q
    return MultivariateNormal(q.mean, covariance_matrix=torch.diag_embed(q.variance))


@pytest.mark.parametrize("name", _pairs())
def test_closed_form_kl_is_the_sampled_one(name: str) -> None:
    q, p = _pairs()[name]
    z = q.sample(torch.Size((100_000,)))
    differences = q.log_prob(z) - p.log_prob(z)
    error = 5 * differences.std(0) / math.sqrt(len(z))
    assert ((differences.mean(0) - kl_divergence(q, p)).abs() < error).all()


@pytest.mark.parametrize("name", _pairs())
def test_closed_form_kl_is_torch_s_of_full_gaussians(name: str) -> None:
    q, p = _pairs()[name]
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(as_full(q), as_full(p)))


def test_kl_of_dimensions_adds_up() -> None:
    q, p = _pairs()["diagonal, diagonal"]
    torch.testing.assert_close(kl_per_dimension(q, p).sum(-1), kl_divergence(q, p))


def test_kl_of_a_full_gaussian_and_what_is_no_gaussian_is_not_guessed() -> None:
    full = _pairs()["full, full"][0]
    other = Independent(Laplace(torch.zeros(4, 3), torch.ones(4, 3)), 1)
    for q, p in ((full, other), (other, full)):
        with pytest.raises(NotImplementedError, match="Laplace"):
            kl_divergence(q, p)


# --- linear models ---------------------------------------------------------------------------------


def correlated(n: int) -> np.ndarray:
    return np.random.randn(n, F) @ np.diag([3.0, 2.0, 1.0, 0.5, 0.4, 0.3]) @ np.random.randn(F, F)


def minimise(model: LatentVariableModel, objective: Objective, x: Tensor, sample: Callable = draw) -> float:
    """Train to convergence on all data; the mean loss of an example."""
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=1000, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = objective(model, Batch(x, x), sample).total()
        total.backward()
        return total

    optimiser.step(closure)
    return float(closure().detach())


def test_a_linear_autoencoder_spans_the_subspace_of_pca() -> None:
    X = correlated(100)
    pca = PCA(D).fit(X)
    x = torch.from_numpy(X)
    encoder, decoder = Conditional(MLP(F), PointHead(F, D)), Conditional(MLP(D), FixedGaussianHead(D, F))
    model = LatentVariableModel(encoder, decoder, None).double()
    loss = minimise(model, Reconstruction(), x)

    basis, _ = torch.linalg.qr(model.decoder.head.project.weight.detach())
    torch.testing.assert_close(
        basis @ basis.T, torch.from_numpy(pca.components_.T @ pca.components_), rtol=0, atol=1e-5
    )
    squared_error = np.square(X - pca.inverse_transform(pca.transform(X))).sum(1).mean()
    assert loss == pytest.approx(0.5 * squared_error + 0.5 * F * math.log(2 * math.pi), rel=1e-9)


def test_a_linear_vae_reaches_the_likelihood_of_probabilistic_pca() -> None:
    """With the noise of probabilistic PCA, the bound is tight: its posterior has one diagonal covariance for all x.

    Tipping and Bishop (1999), eq. 8: the likelihood at the maximum, from the eigenvalues of the covariance.
    """
    X = correlated(100)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    noise = eigenvalues[D:].mean()
    encoder = Conditional(MLP(F), GaussianHead(F, D))
    decoder = Conditional(MLP(D), FixedGaussianHead(D, F, scale=math.sqrt(noise)))
    model = LatentVariableModel(encoder, decoder, StandardNormal(D)).double()
    loss = minimise(model, ELBO(), torch.from_numpy(X), quadrature)

    log_determinant = np.log(eigenvalues[:D]).sum() + (F - D) * math.log(noise)
    assert loss == pytest.approx(0.5 * (F * math.log(2 * math.pi) + log_determinant + F), rel=1e-6)

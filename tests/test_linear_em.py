"""EM of linear-Gaussian models: it never goes down, and it arrives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import isthmus
from estimator_cases import real_table
from isthmus import FactorAnalysis, ProbabilisticPCA
from isthmus.linear import (
    Covariance,
    Factors,
    LinearGaussian,
    covariance_of,
    em_step,
    expectation_maximisation,
    probabilistic_pca,
    probabilistic_pca_by_em,
)

X = load_digits().data
X = X[:, X.std(axis=0) > 0.5]  # without pixels that (nearly) never vary: (1797, 52), log-densities far from 0


def covariance(rows: np.ndarray) -> Covariance:
    centred = torch.from_numpy(rows - rows.mean(axis=0))
    share = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    return covariance_of([(centred[:50], share[:50]), (centred[50:], share[50:])], *rows.shape)


# --- EM ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("n", [1797, 40])  # more and fewer rows than features
@pytest.mark.parametrize("accelerate", [True, False])
def test_em_never_decreases_the_likelihood(isotropic, n, accelerate):
    data = covariance(X[:n])
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(3, data.n_features, dtype=torch.float64, generator=generator)
    found = expectation_maximisation(
        data, Factors(start, torch.ones(data.n_features, dtype=torch.float64)),
        isotropic=isotropic, max_iter=60, tolerance=0, accelerate=accelerate,
    )  # fmt: skip
    gains = np.diff(found.log_likelihoods)
    assert len(gains) >= 20
    assert gains.min() > -1e-10
    assert found.log_likelihoods[-1] > found.log_likelihoods[0] + 1
    # What is recorded is the likelihood, here of the full Gaussian, of the model that is returned.
    centred = torch.from_numpy(X[:n] - X[:n].mean(axis=0))
    full = torch.distributions.MultivariateNormal(
        torch.zeros(data.n_features, dtype=torch.float64),
        found.loadings.T @ found.loadings + torch.diag(found.noise),
    )
    assert float(full.log_prob(centred).mean()) == pytest.approx(found.log_likelihoods[-1], rel=1e-9)


def test_a_step_of_em_is_the_maximum_of_the_expected_likelihood():
    """No other loadings or noise make E[log p(x, z)] under the old posterior larger."""
    rows = real_table()
    data, centred = covariance(rows), torch.from_numpy(rows - rows.mean(axis=0))
    old = Factors(torch.from_numpy(np.random.RandomState(0).randn(2, 6)), torch.linspace(0.5, 2, 6).double())
    posterior = LinearGaussian.of_loadings(*old)
    z, spread = posterior.posterior_mean(centred), posterior.posterior_covariance

    def expected(loadings, log_noise):
        noise = log_noise.exp()
        error = (centred - z @ loadings).square().mean(dim=0) + torch.einsum("if,ij,jf->f", loadings, spread, loadings)
        return -0.5 * (log_noise + error / noise).sum()

    new = em_step(data, old)[0]
    parameters = [new.loadings.clone().requires_grad_(), new.noise.log().requires_grad_()]
    for gradient in torch.autograd.grad(expected(*parameters), parameters):
        np.testing.assert_allclose(gradient, 0, atol=1e-10)
    assert expected(*parameters) > expected(old.loadings, old.noise.log())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n", [1797, 40])
def test_em_of_probabilistic_pca_finds_the_closed_form(seed, n):
    data = covariance(X[:n])
    known, found = probabilistic_pca(data, 3), probabilistic_pca_by_em(data, 3, tolerance=1e-14, seed=seed)
    assert found.converged
    np.testing.assert_allclose(found.noise, known.noise, rtol=1e-8)
    np.testing.assert_allclose(found.loadings.T @ found.loadings, known.loadings.T @ known.loadings, atol=1e-5)
    np.testing.assert_allclose(found.loadings, known.loadings, atol=1e-3)  # turned and signed alike


def test_jumps_save_steps():
    data = covariance(X)
    fast, plain = (probabilistic_pca_by_em(data, 3, tolerance=1e-10, accelerate=jump) for jump in (True, False))
    assert fast.n_steps < 0.7 * plain.n_steps
    assert fast.log_likelihoods[-1] == pytest.approx(plain.log_likelihoods[-1], abs=1e-7)


def test_factors_that_made_the_data_are_found():
    """Of the covariance itself, so without sampling error; up to rotation, which the likelihood does not see."""
    generator = np.random.RandomState(0)
    loadings = torch.from_numpy(generator.randn(2, 9))
    noise = torch.from_numpy(generator.uniform(0.2, 2, 9))
    model = isthmus.linear.factor_analysis(
        Covariance(matrix=loadings.T @ loadings + torch.diag(noise)), 2, tolerance=1e-14
    )
    np.testing.assert_allclose(model.noise, noise, rtol=1e-4)
    np.testing.assert_allclose(model.loadings.T @ model.loadings, loadings.T @ loadings, atol=1e-3)


def test_em_that_is_not_done_warns():
    for model in (FactorAnalysis(3, max_iter=4), ProbabilisticPCA(3, method="em", max_iter=4)):
        with pytest.warns(ConvergenceWarning, match=r"Expected EM to gain less than .* use a larger max_iter") as told:
            model.fit(X)
        assert told[0].filename == __file__
        assert model.n_iter_ == 4

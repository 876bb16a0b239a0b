"""Mixtures of Bernoullis against enumeration of all images, a Bernoulli's closed form, and with values missing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import bernoulli
from scipy.stats import beta as beta_distribution
from sklearn.datasets import load_digits

from isthmus import BernoulliMixture
from isthmus.mixtures import Bernoullis, bernoulli_log_joint, fit_bernoullis, start_bernoullis

DIGITS = (load_digits().data > 7).astype(float)
ALL = np.array(list(itertools.product([0.0, 1.0], repeat=8)))


def some_model(n_components: int = 3, n_features: int = 8) -> Bernoullis:
    random = np.random.RandomState(0)
    weights = torch.from_numpy(random.dirichlet(np.ones(n_components)))
    return Bernoullis(weights, torch.from_numpy(random.uniform(0.05, 0.95, (n_components, n_features))))


def test_densities_are_scipy_s_and_sum_to_1_over_all_images():
    model = some_model()
    joint = bernoulli_log_joint(torch.from_numpy(ALL), model).numpy()
    exact = bernoulli.logpmf(ALL[:, None], model.means.numpy()).sum(axis=2) + np.log(model.weights.numpy())
    np.testing.assert_allclose(joint, exact, rtol=1e-12)
    assert logsumexp(joint) == pytest.approx(0, abs=1e-12)
    fitted = BernoulliMixture(4, random_state=0).fit(DIGITS[:, 18:26])
    assert logsumexp(fitted.score_samples(ALL)) == pytest.approx(0, abs=1e-9)


def test_what_is_missing_is_summed_out():
    """p(seen) and p(k|seen) are sums over all that the missing pixels could be."""
    model, image = some_model(), np.array([1, np.nan, 0, 0, np.nan, 1, np.nan, 1.0])
    possible = ALL[((ALL == image) | np.isnan(image)).all(axis=1)]
    assert len(possible) == 8
    exact = logsumexp(bernoulli_log_joint(torch.from_numpy(possible), model).numpy(), axis=0)
    found = bernoulli_log_joint(torch.from_numpy(image[None]), model).numpy()[0]
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    nothing = bernoulli_log_joint(torch.full((1, 8), torch.nan, dtype=torch.float64), model)[0]
    np.testing.assert_allclose(nothing.exp(), model.weights, rtol=1e-12)


def test_imputed_pixels_are_their_means_given_the_others():
    estimator = BernoulliMixture(3, random_state=0).fit(DIGITS[:, 18:26])
    image = np.array([1, np.nan, 0, 0, np.nan, 1, np.nan, 1.0])
    possible = ALL[((ALL == image) | np.isnan(image)).all(axis=1)]
    share = np.exp(estimator.score_samples(possible))
    np.testing.assert_allclose(estimator.impute(image[None])[0], share @ possible / share.sum(), rtol=1e-9)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_bound_never_falls_and_is_what_it_says(missing, dtype):
    X = DIGITS[:300].copy()
    if missing:
        X[np.random.RandomState(0).rand(*X.shape) < 0.3] = np.nan
    rows = torch.from_numpy(X).to(dtype)
    share = torch.ones(300, dtype=torch.float64)
    start = start_bernoullis(rows, 6, torch.Generator().manual_seed(0), share, 0.5)
    found = fit_bernoullis(rows, start, prior_count=0.5, tolerance=0, max_iter=40)
    assert np.diff(found.bounds).min() > -1e-5 * (dtype == torch.float32) - 1e-12
    assert found.bounds[-1] > found.bounds[0] + 0.1
    model = found.parameters
    likelihood = bernoulli_log_joint(rows.double(), model).logsumexp(dim=1).sum()
    log_prior = beta_distribution.logpdf(model.means.numpy(), 1.5, 1.5).sum()
    assert found.bounds[-1] == pytest.approx((float(likelihood) + log_prior) / 300, rel=1e-6)


def test_a_step_maximises_the_posterior_s_expected_logarithm():
    """The gradient of the bound is 0 where EM stays: with respect to means, and to weights that sum to 1."""
    rows = torch.from_numpy(DIGITS[:200, 10:30])
    start = start_bernoullis(rows, 3, torch.Generator().manual_seed(1), torch.ones(200, dtype=torch.float64), 0.5)
    found = fit_bernoullis(rows, start, prior_count=0.5, tolerance=1e-14, max_iter=3000).parameters
    logits = found.means.logit().requires_grad_()
    log_weights = found.weights.log().requires_grad_()
    means = logits.sigmoid()
    likelihood = bernoulli_log_joint(rows, Bernoullis(log_weights.softmax(0), means)).logsumexp(dim=1).sum()
    gradients = torch.autograd.grad(likelihood + 0.5 * (means.log() + (1 - means).log()).sum(), (logits, log_weights))
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-3


def test_one_component_is_counted():
    weight = np.random.RandomState(0).rand(len(DIGITS)) * 3
    model = BernoulliMixture(1, prior_count=2.0).fit(DIGITS, sample_weight=weight)
    expected = (weight @ DIGITS + 2) / (weight.sum() + 4)
    np.testing.assert_allclose(model.means_[0], expected, rtol=1e-6)
    assert model.weights_ == pytest.approx([1.0])
    n_parameters = DIGITS.shape[1]
    assert model.bic(DIGITS) == pytest.approx(-2 * len(DIGITS) * model.score(DIGITS) + n_parameters * math.log(1797))
    assert model.aic(DIGITS) == pytest.approx(-2 * len(DIGITS) * model.score(DIGITS) + 2 * n_parameters)


def test_whole_numbers_of_weight_are_repeated_rows():
    X, weight = DIGITS[:200], np.arange(200) % 3
    start = some_model(4, 64)
    weighted = fit_bernoullis(torch.from_numpy(X), start, weight=torch.from_numpy(weight), max_iter=7, tolerance=0)
    repeated = fit_bernoullis(torch.from_numpy(np.repeat(X, weight, axis=0)), start, max_iter=7, tolerance=0)
    np.testing.assert_allclose(weighted.parameters.means, repeated.parameters.means, rtol=1e-9)
    np.testing.assert_allclose(weighted.bounds, repeated.bounds, rtol=1e-9)


def test_nothing_is_impossible_and_grey_images_are_thresholded_or_refused():
    model = BernoulliMixture(5, random_state=0).fit(np.zeros((10, 4)))
    assert np.isfinite(model.score_samples(np.ones((1, 4)))).all()
    raw = load_digits().data
    with pytest.raises(ValueError, match=r"Expected data in \[0, 1\], got numbers in \[0, 16\]; use binarize"):
        BernoulliMixture(2).fit(raw)
    by_threshold = BernoulliMixture(5, binarize=7, random_state=0).fit(raw)
    of_bits = BernoulliMixture(5, random_state=0).fit(DIGITS)
    np.testing.assert_array_equal(by_threshold.means_, of_bits.means_)
    np.testing.assert_array_equal(by_threshold.score_samples(raw), of_bits.score_samples(DIGITS))
    pixels = (DIGITS.reshape(-1, 8, 8) * 255).astype(np.uint8)
    of_pixels = BernoulliMixture(5, random_state=0).fit(pixels)
    single = BernoulliMixture(5, random_state=0).fit(DIGITS.astype(np.float32))
    np.testing.assert_array_equal(of_pixels.means_, single.means_)
    drawn, labels = of_pixels.sample(50, random_state=1)
    assert drawn.shape == (50, 8, 8)
    assert set(np.unique(drawn)) == {0, 255}
    assert (np.diff(labels) >= 0).all()


@pytest.mark.parametrize("prior_count", [1e-10, 1e-18])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_a_prior_too_small_for_the_numbers_dtype_is_none_of_the_likelihood_s_business(dtype, prior_count):
    X = np.ones((60_000, 3), dtype=dtype) * (255 if dtype == np.uint8 else 1)
    X[:30_000, 1:] = 0
    model = BernoulliMixture(2, prior_count=prior_count, random_state=0).fit(X)
    assert model.score(X[29_990:30_010]) == pytest.approx(-math.log(2), abs=1e-6)


def test_draws_have_the_means_and_several_starts_are_no_worse():
    model = BernoulliMixture(3, random_state=0).fit(DIGITS[:, 18:26])
    drawn, labels = model.sample(20_000, random_state=0)
    np.testing.assert_allclose(np.bincount(labels) / 20_000, model.weights_, atol=0.015)
    np.testing.assert_allclose(drawn.mean(axis=0), model.weights_ @ model.means_, atol=0.02)
    bounds = [BernoulliMixture(8, random_state=3, n_init=n).fit(DIGITS[:500]).lower_bound_ for n in (1, 4)]
    assert bounds[1] >= bounds[0]
    other = BernoulliMixture(8, random_state=3, init_params="random_from_data").fit(DIGITS[:500])
    assert other.lower_bound_ > bounds[0] - 2


@pytest.mark.parametrize("parameters", [{"prior_count": 0.0}, {"n_components": 0}, {"init_params": "none"}])
def test_parameters_that_are_none(parameters):
    with pytest.raises(ValueError, match="Expected"):
        BernoulliMixture(**parameters).fit(DIGITS)

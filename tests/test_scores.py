"""What scores mean: bounds, units, agreement with PCA and scikit-learn, and finite numbers for any sensible data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn import decomposition

from estimator_cases import MAKE, QUICK, every_estimator, pixel_images, real_table
from isthmus import PCA, VAE, Autoencoder
from isthmus.estimators.code_prior import CodePrior
from isthmus.estimators.likelihoods import choose_scaling
from isthmus.evaluation import evaluate

LIKELIHOODS = ["bernoulli", "continuous_bernoulli", "gaussian", "fixed_gaussian", "discretised_logistic"]


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return real_table()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return pixel_images()


# --- a score is a function of the row --------------------------------------------------------------


@every_estimator
def test_a_row_s_code_and_score_do_not_depend_on_its_company(make, digits):
    model, X = make(3).fit(digits[:300]), digits[:700]
    codes, scores = model.transform(X), model.score_samples(X)
    decoded = model.inverse_transform(codes)
    assert isinstance(codes, np.ndarray)  # not a tensor, and so without gradient
    order = np.random.RandomState(0).permutation(700)
    for rows in (order, order[:1], order[:17], np.arange(300, 700), np.array([5, 5, 5])):
        np.testing.assert_array_equal(model.transform(X[rows]), codes[rows])
        np.testing.assert_array_equal(model.score_samples(X[rows]), scores[rows])
        np.testing.assert_array_equal(model.inverse_transform(codes[rows]), decoded[rows])
    assert model.score(X) == pytest.approx(scores.mean())


# --- VAE: a bound, in the data's units --------------------------------------------------------------


def test_importance_samples_tighten_the_bound_towards_the_evidence():
    """A linear VAE's evidence is Gaussian and known: the scores rise towards it and, on average, not above."""
    X = real_table(400)
    vae = VAE(3, hidden=(), likelihood="gaussian", max_epochs=30, learning_rate=0.01, batch_size=50, random_state=0)
    vae.fit(X)
    p = vae.model_.decoder(torch.zeros(1, 3))
    weight = torch.cat([vae.model_.decoder(row[None]).mean - p.mean for row in torch.eye(3)]).double()
    covariance = weight.T @ weight + torch.diag(p.variance[0].double())
    exact = torch.distributions.MultivariateNormal(p.mean[0].double(), covariance).log_prob(vae.to_tensor(X).double())
    evidence = exact.detach().numpy() - 6 * vae.log_scale_

    scores = [vae.score_samples(X, n_importance_samples=k).mean() for k in (0, 10, 100, 1000)]
    assert scores[0] < scores[1] < scores[2]
    assert scores[0] < evidence.mean() - 0.02
    assert scores[3] == pytest.approx(evidence.mean(), abs=0.01)
    with pytest.raises(ValueError, match="n_samples of at least 1"):
        vae.score_samples(X, n_importance_samples=-1)


@pytest.mark.parametrize("likelihood", ["gaussian", "fixed_gaussian"])
def test_scaling_data_by_c_shifts_densities_by_minus_f_log_c(likelihood, table):
    """A power of two rounds nothing: the same model, the same noise, and scores apart by F log c."""
    make = lambda X: VAE(2, likelihood=likelihood, **QUICK).fit(X)  # noqa: E731
    scores = make(table).score_samples(table)
    for c in (2.0**-40, 1024.0):
        np.testing.assert_allclose(
            make(c * table).score_samples(c * table), scores - 6 * math.log(c), rtol=0, atol=1e-9
        )
    # Any other factor rounds, and so changes the noise of each row; the mean hardly moves.
    k = {"n_importance_samples": 200}
    other = make(1000 * table).score_samples(1000 * table, **k).mean() + 6 * math.log(1000)
    assert other == pytest.approx(make(table).score_samples(table, **k).mean(), abs=0.01)


def test_densities_of_pixels_count_them_in_0_to_1(images):
    """uint8 under a Gaussian is the model of the same numbers as floats; its densities are those of pixels / 255."""
    scores = VAE(2, likelihood="gaussian", **QUICK).fit(images).score_samples(images)
    floats = images.astype(np.float32)
    as_floats = VAE(2, likelihood="gaussian", **QUICK).fit(floats).score_samples(floats)
    np.testing.assert_allclose(scores, as_floats + 64 * math.log(255), rtol=0, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "discretised_logistic"])
def test_scores_of_data_in_0_to_1_have_no_units(likelihood, images):
    floats = (images / 255).astype(np.float32)
    models = [VAE(2, likelihood=likelihood, **QUICK).fit(X) for X in (images, floats)]
    assert [model.log_scale_ for model in models] == [0.0, 0.0]
    np.testing.assert_array_equal(models[0].score_samples(images), models[1].score_samples(floats))


# --- autoencoder ------------------------------------------------------------------------------------


def test_a_linear_autoencoder_finds_the_subspace_of_pca(table):
    model = Autoencoder(
        2, hidden=(), likelihood="fixed_gaussian", max_epochs=1500, batch_size=len(table), learning_rate=0.1,
        schedule="cosine", random_state=0,
    ).fit(table)  # fmt: skip
    pca = PCA(2).fit(table)
    decoded = model.inverse_transform(np.vstack([np.zeros(2), np.eye(2)]))
    angles = subspace_angles((decoded[1:] - decoded[0]).T, pca.components_.T)
    assert np.degrees(angles.max()) < 0.1
    assert model.squared_error(table).mean() == pytest.approx(pca.squared_error(table).mean(), rel=1e-5)
    assert (model.squared_error(table).mean() >= pca.squared_error(table).mean() * (1 - 1e-7)).all()  # the optimum
    np.testing.assert_array_equal(model.score_samples(table), -model.squared_error(table))


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_fitted_prior_has_the_codes_moments(kind, table):
    model = Autoencoder(2, **QUICK).fit(table)
    with pytest.raises(ValueError, match=r"Expected a prior over the codes, got none: .* use fit_prior\(X\) first"):
        model.sample(3)
    codes = model.transform(table)
    drawn = model.fit_prior(table, kind, n_mixture=3).prior_.sample(20_000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.03 * codes.std())
    np.testing.assert_allclose(np.cov(drawn.T, ddof=0), np.cov(codes.T, ddof=0), atol=0.05 * codes.var())
    assert model.sample(5).shape == (5, 6)
    model.fit(table)  # the prior was one over another model's codes
    with pytest.raises(ValueError, match="fit_prior"):
        model.sample(3)


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_fitted_prior_has_no_unit_of_its_own(kind):
    """Codes far from zero, of sizes 1e-4 and 1e4, and one that never varies."""
    codes = np.random.RandomState(0).standard_normal((400, 3)) * [1e-4, 1e4, 0] + [1, -1e5, 2]
    prior = CodePrior.fit(codes, kind, 3)
    drawn = prior.sample(20_000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn[:, :2].std(axis=0), codes[:, :2].std(axis=0), rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(drawn[:, :2].T), np.corrcoef(codes[:, :2].T), atol=0.03)
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), rtol=0.01)
    np.testing.assert_allclose(drawn[:, 2], 2, atol=1e-5)


def test_a_vae_samples_from_its_prior_or_from_one_fitted_to_its_codes(table):
    vae = VAE(2, **QUICK).fit(table)
    drawn = vae._draw_codes(20_000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(2), atol=0.04)
    drawn = vae.fit_prior(table)._draw_codes(20_000, np.random.RandomState(0))
    np.testing.assert_allclose(np.cov(drawn.T, ddof=0), np.cov(vae.transform(table).T, ddof=0), atol=0.03)


# --- PCA --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 3, 6])
@pytest.mark.parametrize("n", [5, 120])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_pca_is_scikit_learn_s(n_components, n, offset):
    X = real_table()[:n] + offset
    n_components = min(n_components, n - 2)
    ours, theirs = PCA(n_components).fit(X), decomposition.PCA(n_components, svd_solver="full").fit(X)
    unit = 1e-9 if offset == 0 else 1e-5  # 1e6 with 16 digits
    np.testing.assert_allclose(
        ours.reconstruct(X), theirs.inverse_transform(theirs.transform(X)), rtol=1e-12, atol=unit
    )
    np.testing.assert_allclose(np.abs(ours.transform(X)), np.abs(theirs.transform(X)), atol=unit)
    if n > 6:
        np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=unit)
        np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=unit, atol=1e-12)


@pytest.mark.parametrize("n", [5, 120])
def test_no_other_noise_makes_pca_more_likely(n):
    """Eq. 8 of Tipping and Bishop is a maximum, also of fewer rows than features."""
    X = real_table()[:n]
    pca = PCA(2).fit(X)
    X = pca.mean_ + (X - pca.mean_) * math.sqrt(n / (n - 1))  # covariances count n - 1: here they are the rows' own
    best, noise = pca.score(X), pca.noise_variance_
    for factor in (0.8, 0.95, 1.05, 1.25):
        pca.noise_variance_ = factor * noise
        assert pca.score(X) < best


def test_pca_of_all_components_is_the_gaussian_of_the_data(table):
    expected = decomposition.PCA(6, svd_solver="full").fit(table).score_samples(table)
    np.testing.assert_allclose(PCA(6).fit(table).score_samples(table), expected, rtol=1e-9)
    flat = np.column_stack([table[:, :3], table[:, :3]])  # three directions have no variance
    with pytest.raises(ValueError, match="Expected data with variance.* use fewer n_components"):
        PCA(3).fit(flat).score_samples(flat)
    assert np.isfinite(PCA(2).fit(flat).score_samples(flat)).all()


def test_pca_samples_vary_along_the_components_alone(table):
    """Means of p(x|z) have the covariance W (Lambda - sigma^2 I) W^T: the noise is no part of them."""
    pca = PCA(1).fit(table)
    drawn, direction = pca.sample(50_000, random_state=0), pca.components_
    np.testing.assert_allclose(drawn.mean(axis=0), table.mean(axis=0), atol=0.05)
    variance = pca.explained_variance_[0] - pca.noise_variance_
    assert pca.noise_variance_ > 0.05 * variance  # enough to be seen
    np.testing.assert_allclose(np.cov(drawn.T), variance * direction.T @ direction, atol=0.02 * variance)


def test_pca_of_mnist_has_its_published_error(mnist):
    """13.87 per image with 30 components (Hinton and Salakhutdinov 2006), pixels in [0, 1], on the test images."""
    evaluation = evaluate(PCA(n_components=30).fit(mnist["x_train"]), mnist["x_test"])
    assert evaluation["squared_error"].value == pytest.approx(13.87, abs=0.005)
    assert evaluation["squared_error_per_feature"].value == pytest.approx(13.87 / 784, abs=0.005 / 784)


# --- likelihoods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Autoencoder", "VAE"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_trains(name, likelihood, images):
    model = MAKE[name](likelihood=likelihood, max_epochs=8, batch_size=20).fit(images)
    losses = [record["loss"] for record in model.history_]
    assert model.likelihood_ == likelihood
    assert losses[-1] < losses[0]
    back = model.reconstruct(images)
    assert back.max() > 1
    assert "gaussian" in likelihood or (back.min() >= 0 and back.max() <= 255)


def test_auto_is_bernoulli_in_0_to_1_and_gaussian_elsewhere(table, images):
    for X, names in (
        (images, ["bernoulli"] * 2),
        (images / 255, ["bernoulli"] * 2),
        (images > 100, ["bernoulli"] * 2),
        (np.clip(table, 0, np.nextafter(1, 2)), ["bernoulli"] * 2),  # as MinMaxScaler rounds
        (table, ["fixed_gaussian", "gaussian"]),
    ):
        settings = QUICK | {"max_epochs": 1}
        assert [Model(2, **settings).fit(X).likelihood_ for Model in (Autoencoder, VAE)] == names


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1])
def test_a_long_constant_column_has_no_scale(value):
    """Rounding in a mean of many rows must not pass for variance, which everything then is divided by."""
    assert choose_scaling("gaussian", np.full((60_000, 2), value)).scale == 1.0
    assert choose_scaling("gaussian", np.full((6, 2), value) * (1 + 1e-16 * np.arange(6)[:, None])).scale == 1.0


SHAPES = {
    "a constant column": lambda u: np.column_stack([u[:, :-1], np.full(len(u), 0.5)]),
    "all constant": lambda u: np.full_like(u, 0.3),
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "black and white": np.round,
}
UNITS = {
    "1e-12": lambda u: 1e-12 * u,
    "1e12": lambda u: 1e12 * u,
    "1e6 +- 1": lambda u: 1e6 + 2 * u - 1,
    "one huge column": lambda u: np.column_stack([u[:, :-1], 1e12 * u[:, -1]]),
    "constant far away": lambda u: np.full_like(u, 1e6 + 0.1),
}
CASES = [(likelihood, shape) for likelihood in LIKELIHOODS for shape in SHAPES]
CASES += [(likelihood, unit) for likelihood in ("gaussian", "fixed_gaussian") for unit in UNITS]


@pytest.mark.parametrize("name", ["Autoencoder", "VAE"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("likelihood", "data"), CASES)
def test_everything_stays_finite(name, likelihood, data, dtype):
    uniform = np.random.RandomState(0).random_sample((40, 5))
    X = np.rint((SHAPES | UNITS)[data](uniform) * 255) / 255 if data in SHAPES else UNITS[data](uniform)
    X = X.astype(dtype)
    model = MAKE[name](likelihood=likelihood, max_epochs=3, batch_size=20).fit(X)
    for values in (model.transform(X), model.reconstruct(X), model.score_samples(X), [model.history_[-1]["loss"]]):
        assert np.isfinite(values).all()
    if data in UNITS:  # what comes back is where the data are, not at zero or in other units
        spread = X.std() or 1.0
        assert np.abs(model.reconstruct(X) - X.mean(axis=0)).max() < 5 * spread + 1e-6 * np.abs(X).max()

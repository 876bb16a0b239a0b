"""Linear-Gaussian models against scikit-learn, the full Gaussian, and what theory says of their optima."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn import decomposition
from sklearn.datasets import load_digits

import isthmus
from estimator_cases import pixel_images, real_table
from isthmus import PCA, FactorAnalysis, ProbabilisticPCA
from isthmus.cli.main import main
from isthmus.data import Shards

X = load_digits().data
X = X[:, X.std(axis=0) > 0.5]  # without pixels that (nearly) never vary: (1797, 52), log-densities far from 0
MAKE = {
    "closed form": lambda n, **more: ProbabilisticPCA(n, **more),
    "EM": lambda n, **more: ProbabilisticPCA(n, method="em", tolerance=1e-13, **more),
    "factors": lambda n, **more: FactorAnalysis(n, tolerance=1e-13, **more),
}
each_model = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


# --- against scikit-learn --------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 4, 10])
def test_factor_analysis_is_scikit_learn_s(n_components):
    theirs = decomposition.FactorAnalysis(n_components, svd_method="lapack", tol=1e-10, max_iter=1000).fit(X)
    ours = MAKE["factors"](n_components).fit(X)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6)
    np.testing.assert_allclose(ours.score(X), theirs.score(X), rtol=1e-9)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-5)
    np.testing.assert_allclose(np.abs(ours.components_), np.abs(theirs.components_), atol=3e-4)
    np.testing.assert_allclose(np.abs(ours.transform(X)), np.abs(theirs.transform(X)), atol=2e-4)


@pytest.mark.parametrize("n_components", [1, 4, 51])
@pytest.mark.parametrize("method", ["closed_form", "em"])
def test_probabilistic_pca_is_scikit_learn_s_but_for_the_degrees_of_freedom(method, n_components):
    """They divide by n - 1; rows stretched by sqrt(n / (n - 1)) have the covariance that they take."""
    n = len(X)
    stretched = X.mean(axis=0) + (X - X.mean(axis=0)) * np.sqrt(n / (n - 1))
    theirs = decomposition.PCA(n_components, svd_solver="full").fit(X)
    ours = ProbabilisticPCA(n_components, method=method, tolerance=1e-13, max_iter=5000).fit(stretched)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-6)
    np.testing.assert_allclose(PCA(n_components).fit(X).score_samples(X), theirs.score_samples(X), rtol=1e-9)


# --- density and posterior --------------------------------------------------------------------------


def full_covariance(model) -> np.ndarray:
    return model.components_.T @ model.components_ + np.diag(np.broadcast_to(model.noise_variance_, X.shape[1]))


@each_model
def test_the_density_is_that_of_the_full_gaussian(make):
    model = make(4).fit(X)
    full = torch.distributions.MultivariateNormal(
        torch.from_numpy(model.mean_), torch.from_numpy(full_covariance(model))
    )
    np.testing.assert_allclose(model.score_samples(X), full.log_prob(torch.from_numpy(X)), rtol=1e-9)
    assert model.log_likelihoods_[-1] == pytest.approx(model.score(X), rel=1e-9)


@each_model
def test_the_posterior_is_that_of_the_joint_gaussian(make):
    """(z, x) has the covariance [[I, W], [W^T, S]]: z given x is W S^-1 (x - mean), with I - W S^-1 W^T."""
    model = make(4).fit(X)
    gain = np.linalg.solve(full_covariance(model), model.components_.T).T
    mean, deviation = model.posterior(X)
    np.testing.assert_allclose(mean, (X - X.mean(axis=0)) @ gain.T, atol=1e-9)
    np.testing.assert_allclose(np.eye(4) - gain @ model.components_.T, np.diag(deviation[0] ** 2), atol=1e-9)
    assert (deviation == deviation[0]).all()
    np.testing.assert_array_equal(model.transform(X), mean)
    decoded = model.inverse_transform(np.eye(4)) - model.inverse_transform(np.zeros((1, 4)))
    np.testing.assert_allclose(decoded, model.components_, atol=1e-12)


@each_model
def test_samples_are_of_the_model(make):
    model = make(2).fit(real_table())
    noise = np.diag(np.broadcast_to(model.noise_variance_, 6))
    signal = model.components_.T @ model.components_
    for with_noise, expected in ((True, signal + noise), (False, signal)):
        drawn = model.sample(100_000, random_state=0, noise=with_noise)
        np.testing.assert_allclose(drawn.mean(axis=0), model.mean_, atol=0.03)
        np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.01 * np.trace(expected))
    assert noise.max() > 0.02 * np.trace(signal)  # enough to be seen


def test_samples_of_pixels_have_noise_in_their_units():
    images = pixel_images()
    model = FactorAnalysis(2, tolerance=1e-4).fit(images)
    drawn = model.sample(4000, random_state=0, noise=True)
    assert drawn.shape == (4000, 8, 8)
    np.testing.assert_allclose(drawn.std(axis=0).mean(), images.std(axis=0).mean(), rtol=0.05)


def test_pca_and_probabilistic_pca_have_one_density_and_one_decoder():
    n = len(X)
    stretched = X.mean(axis=0) + (X - X.mean(axis=0)) * np.sqrt(n / (n - 1))
    pca, model = PCA(5).fit(X), ProbabilisticPCA(5).fit(stretched)
    np.testing.assert_allclose(model.score_samples(X), pca.score_samples(X), rtol=1e-9)
    np.testing.assert_allclose(model.sample(9, random_state=0), pca.sample(9, random_state=0), atol=1e-9)
    # Codes are projections, in units of the prior and shrunk by the share of noise.
    kept = pca.explained_variance_
    np.testing.assert_allclose(
        model.transform(X), pca.transform(X) * np.sqrt(kept - pca.noise_variance_) / kept, atol=1e-9
    )


@pytest.mark.parametrize("n_components", [1, 4, 6])
def test_the_closed_form_knows_its_likelihood(n_components):
    """Also where nothing is left for the noise but the density is finite: as many components as features."""
    model = ProbabilisticPCA(n_components).fit(real_table())
    assert model.log_likelihoods_ == [pytest.approx(model.score(real_table()), rel=1e-9)]


@pytest.mark.parametrize("n", [400, 40])  # more and fewer rows than features
@pytest.mark.parametrize("scale", [1e-4, 1e-5, 3e-6, 1e-6, 1e-7, 0.0])
def test_noise_that_rounding_hides_is_none_and_never_too_little(n, scale):
    """A density that is too high by a hundred nats, as few of the variances left out survive, would go unnoticed."""
    generator = np.random.RandomState(0)
    rows = generator.randn(n, 3) @ generator.randn(3, 50) + scale * generator.randn(n, 50)
    variances = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2 / n
    noise = variances[3:].sum() / 47
    constant = 50 * (np.log(2 * np.pi) + 1) + np.log(variances[:3]).sum()
    known = -0.5 * (constant + 47 * np.log(noise)) if scale else np.inf
    for model in (ProbabilisticPCA(3), PCA(3)):
        model.fit(rows)
        if scale < (2e-6 if n > 50 else 1e-6):
            with pytest.raises(ValueError, match="and so an infinite density"):
                model.score(rows)
        else:
            assert model.score(rows) == pytest.approx(known, abs=0.02)


# --- data of other kinds ----------------------------------------------------------------------------


@each_model
def test_blocks_and_weights_give_the_model_of_all_rows(make):
    weight = np.arange(len(X)) % 3
    rows = np.repeat(X, weight, axis=0)
    one = make(3).fit(rows)
    others = [make(3).fit(X, sample_weight=0.5 * weight), make(3).fit(Shards(rows, buffer_bytes=2**16))]
    others.append(make(3).fit(Shards(X, buffer_bytes=2**16), sample_weight=weight))
    for other in others:
        np.testing.assert_allclose(other.score_samples(X), one.score_samples(X), rtol=1e-7)
        np.testing.assert_allclose(np.abs(other.components_), np.abs(one.components_), atol=1e-4)


def test_factors_do_not_depend_on_units():
    unit = 10.0 ** np.random.RandomState(0).uniform(-6, 6, X.shape[1])
    one, other = MAKE["factors"](3).fit(X), MAKE["factors"](3).fit(X * unit + 7 * unit)
    np.testing.assert_allclose(other.components_, one.components_ * unit, rtol=1e-4, atol=1e-5 * unit.min())
    np.testing.assert_allclose(other.score_samples(X * unit + 7 * unit), one.score_samples(X) - np.log(unit).sum())


def test_data_without_variance():
    """Features that do not vary keep a little noise; data that do not vary at all have no density."""
    table = np.column_stack([real_table(), np.full(120, 3.7)])
    model = FactorAnalysis(2).fit(table)
    assert model.noise_variance_[-1] == pytest.approx(1e-6 * table.var(axis=0).mean(), rel=1e-6)
    assert np.isfinite(model.score_samples(table)).all()
    for model in (ProbabilisticPCA(2), ProbabilisticPCA(2, method="em"), FactorAnalysis(2)):
        model.fit(np.full((9, 4), 3.7))
        np.testing.assert_array_equal(model.transform(np.full((2, 4), 3.7)), np.zeros((2, 2)))
        with pytest.raises(ValueError, match="Expected data with variance along and outside the components"):
            model.score_samples(np.full((2, 4), 3.7))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tolerance": -1.0}, "Expected tolerance >= 0"),
        ({"max_iter": 0}, "Expected max_iter >= 1"),
        ({"noise_floor": 0.0}, r"Expected noise_floor in \(0, 1\)"),
        ({"n_components": 7}, r"Expected n_components <= min\(n_samples=120, n_features=6\), got 7"),
    ],
)
def test_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        FactorAnalysis(**parameters).fit(real_table())
    with pytest.raises(ValueError, match="Expected weights that count more than one row"):
        PCA(1).fit(real_table(), sample_weight=np.full(120, 0.001))


@each_model
def test_files_keep_what_was_learned(make, tmp_path):
    model = make(3).fit(X)
    again = isthmus.load(model.save(tmp_path))
    assert (again.log_likelihoods_, again.n_iter_) == (model.log_likelihoods_, model.n_iter_)
    np.testing.assert_array_equal(again.noise_variance_, model.noise_variance_)
    np.testing.assert_array_equal(again.posterior(X), model.posterior(X))


@pytest.mark.parametrize("name", ["factor-analysis", "probabilistic-pca"])
def test_on_the_command_line(name, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", name, "--data", "digits", "--n-components", "3", "--no-report", "--out", str(out)]) == 0
    assert main(["sample", str(out), "-n", "5", "--out", str(tmp_path / "x.npy")]) == 0
    assert np.load(tmp_path / "x.npy").shape == (5, 8, 8)
    measures = json.loads((out / "measures.json").read_text())
    assert "squared_error" in json.dumps(measures)
    capsys.readouterr()

"""What the tables of claims are made of: what they measure is known in these cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence

from isthmus.data import load_data
from isthmus.estimators import ProbabilisticPCA
from isthmus.reproduce import Job
from isthmus.reproduce.claims import halved, some_images, trained
from isthmus.reproduce.tables.capacity import N_TRUE, drawn_rows
from isthmus.reproduce.tables.noise_or_dropout import MODELS
from isthmus.reproduce.tables.redundancy import _arranged
from isthmus.reproduce.tables.sampling import frechet_distance
from isthmus.reproduce.tables.tight_bound import linear_vae, wrong_by


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job({}, 3, load_data("digits"), tmp_path)


def test_images_of_half_the_size_are_means_of_four_pixels(job):
    small = halved(job).data
    assert small.feature_shape == (4, 4)
    assert small.x_train[5, 1, 2] == pytest.approx(job.data.x_train[5, 2:4, 4:6].mean())
    x, y = some_images(job, 50)
    more, labels = some_images(job, 80)
    np.testing.assert_array_equal(more[:50], x)
    np.testing.assert_array_equal(labels[:50], y)


def test_a_run_has_about_so_many_steps_whatever_the_number_of_rows(job):
    for n_images in (40, 200):
        x, _ = some_images(job, n_images)
        model = trained(job, x, model="plain", n_steps=6, batch_size=100, n_components=2, hidden=())
        assert model.n_steps_ == 6


def test_masking_with_rescaling_is_dropout_of_inputs_to_the_bit(job):
    x, _ = some_images(job, 100)
    settings = {"n_steps": 10, "learning_rate": 0.01, "hidden": (8,), "n_components": 4}
    masked, dropped, plain = (
        trained(job, x, **MODELS[name](), **settings).transform(x)
        for name in ("rescaled-masking", "input-dropout", "plain")
    )
    np.testing.assert_array_equal(masked, dropped)
    assert np.abs(masked - plain).max() > 1e-3


@pytest.mark.parametrize("family", ["mean", "narrow", "wide"])
@pytest.mark.parametrize("kl", [0.0, 1.0, 8.0])
def test_encoders_are_wrong_by_as_much_as_is_asked_for(job, family, kl):
    rows = job.data.x_train.reshape(len(job.data.x_train), -1).astype("float64")
    estimator = ProbabilisticPCA(3).fit(rows)
    x = torch.from_numpy(rows[:5])
    exact, wrong = (linear_vae(estimator, *wrong_by(size, family, 3)).encoder(x) for size in (0.0, kl))
    mean, deviation = estimator.posterior(rows[:5])
    np.testing.assert_allclose(exact.mean.detach().numpy(), mean, atol=1e-12)
    np.testing.assert_allclose(exact.stddev.numpy(), deviation)
    np.testing.assert_allclose(kl_divergence(wrong, exact).detach().numpy(), kl, atol=1e-9)


def test_frechet_distance_of_gaussians_is_the_known_one():
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((1000, 2))
    noise = np.linalg.solve(np.linalg.cholesky(np.cov(noise.T)), (noise - noise.mean(0)).T).T  # exactly N(0, I)
    assert frechet_distance(noise, noise) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(noise, 3 * noise + [4.0, 0.0]) == pytest.approx(16 + 2 * (3 - 1) ** 2)
    flat = noise * [1.0, 0.0]  # a covariance that is singular
    assert frechet_distance(flat, noise) == pytest.approx(1)


def test_independent_pixels_keep_their_values_and_lose_their_neighbours(job):
    x = job.data.x_train.reshape(len(job.data.x_train), -1)
    alone, shuffled = _arranged(x, "independent"), _arranged(x, "shuffled")
    np.testing.assert_array_equal(np.sort(alone, 0), np.sort(x, 0))
    np.testing.assert_array_equal(np.sort(shuffled, 1), np.sort(x, 1))

    def related(rows: np.ndarray) -> float:
        return np.abs(np.corrcoef(rows[:, rows.std(0) > 0.1].T)).mean()

    assert related(alone) < related(x) / 2
    assert related(shuffled) == pytest.approx(related(x))


def test_drawn_rows_have_as_many_dimensions_as_they_should():
    variances = np.linalg.eigvalsh(np.cov(drawn_rows(20_000, 0).T))[::-1]
    np.testing.assert_allclose(variances[:N_TRUE], 1 + np.arange(N_TRUE, 0, -1) + 1, rtol=0.05)
    np.testing.assert_allclose(variances[N_TRUE:], 1, rtol=0.05)

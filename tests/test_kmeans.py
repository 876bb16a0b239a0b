"""k-means against scikit-learn's and by hand: starts, weights, empty clusters, rows that are alike, mini-batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import cluster
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning

from isthmus import KMeans
from isthmus.mixtures import closest, k_means, k_means_plus_plus, lloyd, mini_batch_step, squared_distances

BLOBS = make_blobs(600, 4, centers=6, random_state=0)[0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_lloyd_is_scikit_learn_s_from_the_same_start(offset, weighted):
    X = BLOBS + offset
    weight = np.random.RandomState(0).randint(0, 4, len(X)).astype(float) if weighted else None
    start = X[:6]
    theirs = cluster.KMeans(6, init=start, n_init=1, tol=0).fit(X, sample_weight=weight)
    ours = lloyd(
        torch.from_numpy(X),
        torch.from_numpy(start),
        weight=None if weight is None else torch.from_numpy(weight),
        tolerance=0,
    )
    assert ours.converged
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-9)
    np.testing.assert_allclose(ours.centers.numpy(), theirs.cluster_centers_, rtol=1e-9)
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)


def test_distances_lose_no_digits_to_a_large_mean():
    X = torch.from_numpy(BLOBS[:50]).float() + 1000
    exact = (X.double()[:, None] - X.double()[:5]).square().sum(dim=2)
    assert squared_distances(X, X[:5]).double().sub(exact).abs().max() < 1e-3 * exact.max() * 1e-2
    labels, distances = closest(X, X[:5])
    assert torch.equal(labels[:5], torch.arange(5))
    np.testing.assert_allclose(distances.double(), exact.min(dim=1).values, atol=1e-3)


def test_starts_are_far_apart_rows_and_of_weight():
    rows = torch.tensor([[0.0], [0.1], [50.0], [50.1], [100.0]])
    for seed in range(10):
        found = k_means_plus_plus(rows, 3, generator(seed))
        assert {round(x / 50) for x in found[:, 0].tolist()} == {0, 1, 2}
        weight = torch.tensor([1.0, 0, 1, 0, 1])
        assert set(k_means_plus_plus(rows, 3, generator(seed), weight)[:, 0].tolist()) == {0, 50, 100}
    with pytest.raises(ValueError, match="Expected 1 <= n_clusters <= 5 rows, got 6; use fewer"):
        k_means_plus_plus(rows, 6, generator())


def test_a_cluster_without_rows_goes_to_the_row_farthest_from_its_own():
    rows = torch.tensor([[0.0], [1.0], [2.0], [50.0], [51.0], [90.0]])
    found = lloyd(rows, torch.tensor([[0.0], [1000.0], [2000.0]]), tolerance=0)
    assert sorted(found.centers[:, 0].tolist()) == pytest.approx([1, 50.5, 90])


def test_whole_numbers_of_weight_are_repeated_rows():
    X, weight = torch.from_numpy(BLOBS), torch.arange(len(BLOBS)) % 3
    start = X[:6]
    weighted = lloyd(X, start, weight=weight.double(), tolerance=0)
    repeated = lloyd(X.repeat_interleave(weight, dim=0), start, tolerance=0)
    np.testing.assert_allclose(weighted.centers, repeated.centers, rtol=1e-12)
    assert weighted.inertia == pytest.approx(repeated.inertia, rel=1e-12)


def test_the_path_of_a_gpu_finds_what_scikit_learn_does():
    model = KMeans(6, random_state=0)
    model.fit(BLOBS)
    rows = torch.from_numpy(BLOBS)
    for init in ("k-means++", "random"):
        centers, labels, inertia, _ = KMeans(6, init=init, n_init=8)._by_lloyd(rows, None, generator())
        assert inertia == pytest.approx(model.inertia_, rel=1e-3)
        assert labels.shape == (600,)
        assert centers.shape == (6, 4)
    assert k_means(rows, 6, generator(), n_init=3).inertia == pytest.approx(model.inertia_, rel=1e-3)


def test_the_estimator_is_scikit_learn_s_on_a_cpu():
    model = KMeans(6, n_init=5, random_state=0).fit(BLOBS)
    theirs = cluster.KMeans(6, n_init=5, random_state=0).fit(BLOBS)
    assert model.inertia_ == pytest.approx(theirs.inertia_, rel=1e-6)
    assert model.score(BLOBS) == pytest.approx(-model.inertia_, rel=1e-9)
    np.testing.assert_array_equal(model.labels_, model.predict(BLOBS))
    distances = model.transform(BLOBS)
    exact = np.linalg.norm(BLOBS[:, None] - model.cluster_centers_, axis=2)
    np.testing.assert_allclose(distances, exact, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(model.squared_error(BLOBS), exact.min(axis=1) ** 2, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(model.reconstruct(BLOBS), model.cluster_centers_[model.labels_])
    assert model.counts_.sum() == 600


def test_mini_batches_come_near_and_centres_are_running_means():
    X = load_digits().data
    whole = KMeans(10, n_init=5, random_state=0).fit(X)
    small = KMeans(10, batch_size=200, random_state=0).fit(X)
    assert small.inertia_ < 1.03 * whole.inertia_
    assert small.score(X) == pytest.approx(-small.inertia_, rel=1e-6)
    rows = torch.tensor([[0.0], [2.0], [10.0]], dtype=torch.float64)
    centers, counts = mini_batch_step(rows, rows[[0, 2]], torch.zeros(2, dtype=torch.float64))
    centers, counts = mini_batch_step(torch.tensor([[4.0]], dtype=torch.float64), centers, counts)
    assert centers[:, 0].tolist() == [2, 10]
    assert counts.tolist() == [3, 1]


def test_partial_fit_goes_on_from_a_fit_and_from_a_file(tmp_path):
    from isthmus import load

    model = KMeans(6, random_state=0)
    for part in np.split(BLOBS, 6):
        model.partial_fit(part)
    assert model.counts_.sum() == 600
    assert -model.score(BLOBS) < 1.5 * KMeans(6, random_state=0).fit(BLOBS).inertia_
    again = load(model.save(tmp_path)).partial_fit(BLOBS[:50])
    np.testing.assert_array_equal(again.cluster_centers_, model.partial_fit(BLOBS[:50]).cluster_centers_)
    fitted = KMeans(6, random_state=0).fit(BLOBS)
    moved = fitted.cluster_centers_.copy()
    assert 0 < np.abs(fitted.partial_fit(BLOBS[:50] + 0.1).cluster_centers_ - moved).max() < 0.1
    with pytest.raises(ValueError, match="as many rows as clusters"):
        KMeans(6).partial_fit(BLOBS[:3])


@pytest.mark.parametrize("batch_size", [None, 4])
def test_rows_that_are_alike(batch_size):
    X = np.repeat([[0.0, 1.0], [5.0, 5.0]], 10, axis=0)
    with pytest.warns(ConvergenceWarning, match="got only 2 distinct centers; use fewer n_clusters"):
        model = KMeans(4, batch_size=batch_size, random_state=0).fit(X)
    assert model.inertia_ == 0
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("parameters", [{"n_clusters": 0}, {"n_init": 0}, {"max_iter": 0}, {"tol": -1.0},
                                        {"batch_size": 0}, {"init": "far"}, {"device": "tpu"}])  # fmt: skip
def test_parameters_that_are_none(parameters):
    with pytest.raises(ValueError, match="Expected"):
        KMeans(**parameters).fit(BLOBS)

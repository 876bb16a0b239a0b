"""Pareto-smoothed importance weights, against arviz and the known shape of known tails."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from isthmus.inference.psis import effective_sample_size, pareto_smooth


@pytest.fixture(scope="module")
def psislw():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arviz announces its own future when it is imported
        import arviz
    return arviz.psislw


def tails():
    """Log weights of many kinds: names and arrays."""
    random = np.random.RandomState(0)
    for n_draws in (26, 100, 101, 1000, 4001):
        for shape in (0.05, 0.3, 0.5, 0.7, 1.0, 1.5):
            yield f"pareto {shape}, {n_draws}", -shape * np.log(random.uniform(size=n_draws))
        yield f"normal, {n_draws}", random.normal(size=n_draws)
        yield f"wide normal, {n_draws}", 30 * random.normal(size=n_draws) - 1000
        yield f"narrow normal, {n_draws}", 1e-3 * random.normal(size=n_draws) + 1e3
        yield f"bounded, {n_draws}", np.log(random.uniform(size=n_draws))
        yield f"chi2, {n_draws}", -0.5 * random.normal(size=(n_draws, 5)).__pow__(2).sum(1)
        some = random.normal(size=n_draws)
        some[::3] = -np.inf
        yield f"zeros, {n_draws}", some
        yield f"ties, {n_draws}", np.round(random.normal(size=n_draws), 1)


CASES = dict(tails())


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_arviz(psislw, name):
    with np.errstate(all="ignore"):
        expected, expected_khat = psislw(CASES[name].copy())
    smoothed, khat = pareto_smooth(torch.from_numpy(CASES[name]))
    np.testing.assert_allclose(khat.item(), float(expected_khat), rtol=0, atol=1e-6)
    smoothed, order = (
        smoothed.numpy(),
        np.sort if "ties" in name else np.asarray,
    )  # which of equal ones is first is open
    np.testing.assert_allclose(order(smoothed), order(expected), rtol=0, atol=1e-6)
    assert np.exp(smoothed).sum().item() == pytest.approx(1)


def test_columns_are_smoothed_each_by_itself():
    columns = torch.from_numpy(np.random.RandomState(1).standard_t(3, size=(500, 2, 3)))
    smoothed, khat = pareto_smooth(columns)
    assert smoothed.shape == (500, 2, 3)
    assert khat.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            alone, alone_khat = pareto_smooth(columns[:, i, j])
            assert torch.equal(smoothed[:, i, j], alone)
            assert torch.equal(khat[i, j], alone_khat)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_khat_finds_the_shape_of_a_pareto_tail(shape):
    log_weights = -shape * torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log()
    khat = pareto_smooth(log_weights)[1].item()
    n_tail = 3 * math.sqrt(200_000)
    assert abs(khat - shape) < 3 * (1 + shape) / math.sqrt(n_tail)  # the maximum-likelihood estimate's error


def test_weights_that_do_not_differ_have_no_tail():
    for log_weights in (torch.zeros(100), torch.full((100,), -1e4, dtype=torch.float64)):
        smoothed, khat = pareto_smooth(log_weights + 1e-9 * torch.arange(100) / 100)
        assert khat.item() == 0
        assert smoothed.exp().numpy() == pytest.approx(0.01)


@pytest.mark.parametrize("n_draws", [1, 2, 5, 20])
def test_few_draws_tell_nothing(n_draws):
    log_weights = torch.arange(n_draws, dtype=torch.float64)
    smoothed, khat = pareto_smooth(log_weights)
    assert khat.item() == (0 if n_draws == 1 else math.inf)
    assert torch.allclose(smoothed, log_weights.log_softmax(0))


def test_one_draw_with_all_the_weight_is_not_trusted():
    log_weights = torch.full((1000,), -math.inf)
    log_weights[3] = 5.0
    smoothed, khat = pareto_smooth(log_weights)
    assert khat.item() == math.inf
    assert smoothed[3].item() == 0
    assert effective_sample_size(log_weights).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("log_weights", "message"),
    [
        (torch.tensor([0.0, math.nan]), "1 of 2 that are NaN"),
        (torch.tensor([0.0, math.inf]), r"NaN or \+inf"),
        (torch.full((10,), -math.inf), "-inf for all draws"),
        (torch.zeros(0), r"shape \(0,\)"),
        (torch.tensor(1.0), r"shape \(\)"),
        (torch.zeros(3, dtype=torch.int64), "int64"),
    ],
)
def test_what_are_no_log_weights(log_weights, message):
    with pytest.raises(ValueError, match=message):
        pareto_smooth(log_weights)


def test_effective_sample_size():
    weights = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = weights.sum(0) ** 2 / weights.square().sum(0)
    assert torch.allclose(effective_sample_size(weights.log() + 700), expected)
    assert effective_sample_size(torch.zeros(7)).item() == pytest.approx(7)


def test_float32_keeps_its_type_and_its_input():
    log_weights = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    before = log_weights.clone()
    smoothed, khat = pareto_smooth(log_weights)
    assert smoothed.dtype == khat.dtype == torch.float32
    assert torch.equal(before, log_weights)
    assert khat.item() == pytest.approx(pareto_smooth(log_weights.double())[1].item(), abs=1e-4)

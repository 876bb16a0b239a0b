"""The noise of scores: standard normal, and a function of nothing but seed, row, layer, sample and dimension."""

import numpy as np
import pytest
import torch
from scipy import stats

from isthmus.distributions import normal
from isthmus.evaluation.noise import RowNoise, row_keys, standard_normal


def posterior(n: int, d: int = 3):
    return normal(torch.zeros(n, d), torch.ones(n, d))


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    return torch.randn(40, 7, generator=torch.Generator().manual_seed(0))


def test_noise_is_standard_normal():
    # 100 x 100 x 100; limits at four standard errors of the moments of 1e6 independent normals
    noise = standard_normal(torch.arange(100), 100, 100).flatten().numpy()
    n = len(noise)
    assert abs(noise.mean()) < 4 / n**0.5
    assert abs(noise.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((noise**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    # and the tails, which the test of Kolmogorov and Smirnov hardly sees
    expected = n * 2 * stats.norm.sf(4)
    assert abs((np.abs(noise) > 4).sum() - expected) < 4 * expected**0.5


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["samples", "rows", "dimensions"])
@pytest.mark.parametrize("power", [1, 2], ids=["values", "squares"])
def test_neighbours_are_independent(axis: int, power: int):
    """Also between counters that differ in one bit, where a weak mixer fails first."""
    noise = standard_normal(torch.arange(64), 64, 64) ** power
    for distance in (1, 2, 4, 8, 16, 32):
        n = 64 - distance
        first, second = noise.narrow(axis, 0, n).flatten(), noise.narrow(axis, distance, n).flatten()
        correlation = np.corrcoef(first.numpy(), second.numpy())[0, 1]
        assert abs(correlation) < 4.5 / len(first) ** 0.5


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": -1}, {"seed": 2**64 - 2}, {"layer": 1}, {"layer": 5}])
def test_seeds_and_layers_are_independent(other: dict):
    keys = torch.arange(50)
    first, second = standard_normal(keys, 40, 30).flatten(), standard_normal(keys, 40, 30, **other).flatten()
    assert abs(np.corrcoef(first.numpy(), second.numpy())[0, 1]) < 4 / len(first) ** 0.5


def test_every_value_is_new():
    """No two of 3e5 counters (row, sample, dimension) share their noise."""
    noise = torch.cat([standard_normal(torch.arange(30), 100, 50, layer=layer).flatten() for layer in range(2)])
    assert len(noise.unique()) == len(noise)


def test_keys_see_values_and_positions():
    x = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [0.0, 1.0, 2.0001], [-0.0, 1.0, 2.0]])
    keys = row_keys(x)
    assert keys[0] == keys[3]
    assert len(set(keys.tolist())) == 3
    assert torch.equal(row_keys(x.double()), keys)
    assert torch.equal(row_keys(torch.arange(3, dtype=torch.uint8)[None]), row_keys(torch.arange(3.0)[None]))
    assert len(row_keys(torch.zeros(3, 1))) == 3
    assert row_keys(torch.zeros(1, 3)) != row_keys(torch.zeros(1, 4))


def test_keys_of_many_similar_rows_differ():
    bits = (torch.arange(2**12)[:, None] >> torch.arange(12)) & 1
    assert len(row_keys(bits.float()).unique()) == 2**12


def test_a_row_has_the_same_noise_in_any_batch_and_order(rows: torch.Tensor):
    z = RowNoise(row_keys(rows), seed=3)(posterior(40), 5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert torch.equal(RowNoise(row_keys(rows[order]), seed=3)(posterior(40), 5), z[:, order])
    assert torch.equal(RowNoise(row_keys(rows[7:8]), seed=3)(posterior(1), 5), z[:, 7:8])
    assert not torch.equal(RowNoise(row_keys(rows), seed=4)(posterior(40), 5), z)


def test_samples_can_be_drawn_piece_by_piece(rows: torch.Tensor):
    keys = row_keys(rows)
    z = RowNoise(keys)(posterior(40), 6)
    pieces = [RowNoise(keys, first_sample=first)(posterior(40), 2) for first in (0, 2, 4)]
    assert torch.equal(torch.cat(pieces), z)


def test_layers_differ_and_upper_ones_follow_the_samples_below(rows: torch.Tensor):
    keys = row_keys(rows)
    upper = normal(torch.zeros(4, 40, 2), torch.ones(4, 40, 2))  # one posterior for each sample below

    def both(first: int, n: int):
        sample = RowNoise(keys, first_sample=first)
        return sample(posterior(40, 2), n), sample(normal(upper.mean[:n], upper.stddev[:n]), 1)[0]

    z, z_upper = both(0, 4)
    assert z.shape == z_upper.shape == (4, 40, 2)
    assert not torch.isclose(z, z_upper).any()
    pieces = [both(0, 2), both(2, 2)]
    assert torch.equal(torch.cat([piece[1] for piece in pieces]), z_upper)
    with pytest.raises(ValueError, match="n_samples=1"):
        RowNoise(keys)(upper, 2)


def test_samples_follow_their_posterior(rows: torch.Tensor):
    q = normal(torch.full((40, 2), 3.0, dtype=torch.double), torch.full((40, 2), 0.5, dtype=torch.double))
    z = RowNoise(row_keys(rows))(q, 500)
    assert z.dtype == torch.double
    assert stats.kstest(((z - 3) / 0.5).flatten().numpy(), "norm").pvalue > 1e-3

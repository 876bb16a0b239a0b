"""Corruptions do what they are named after, to the strength that was asked for, and to each example by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from isthmus import processes
from isthmus.corruption import (
    Blocks,
    FixedMasking,
    GaussianNoise,
    Masking,
    Rescaled,
    SaltAndPepper,
    UniformNoise,
)
from isthmus.corruption.base import draw_normal, draw_uniform
from isthmus.processes import Part
from training_cases import compiles

N, SHAPE = 4000, (2, 3, 5)
F = 30
X = 0.1 + 0.8 * torch.rand(N, F, generator=torch.Generator().manual_seed(0))  # neither zeros nor ones

KINDS = {
    "masking": Masking(0.3),
    "fixed masking": FixedMasking(0.3),
    "salt and pepper": SaltAndPepper(0.3),
    "blocks": Blocks(SHAPE, 0.3),
    "gaussian": GaussianNoise(0.2),
    "uniform": UniformNoise(0.5),
    "rescaled": Rescaled(Masking(0.3), torch.linspace(0.2, 0.9, F), 0.5),
    "rescaled noise": Rescaled(GaussianNoise(0.2), torch.linspace(0.2, 0.9, F), 0.5),
}
RANGES = {
    "masking": Masking((0.1, 0.5)),
    "fixed masking": FixedMasking((0.1, 0.5)),
    "salt and pepper": SaltAndPepper((0.1, 0.5)),
    "blocks": Blocks(SHAPE, (0.1, 0.5)),
    "gaussian": GaussianNoise((0.1, 0.5)),
    "uniform": UniformNoise((0.1, 0.5)),
}
NOTHING = {
    "masking": Masking(0.0),
    "fixed masking": FixedMasking(0.0),
    "salt and pepper": SaltAndPepper(0.0),
    "blocks": Blocks(SHAPE, 0.0),
    "gaussian": GaussianNoise(0.0),
    "uniform": UniformNoise(0.0),
    "masking, of a range": Masking((0.0, 0.0)),
}
every_kind = pytest.mark.parametrize("corruption", KINDS.values(), ids=KINDS)
every_range = pytest.mark.parametrize("corruption", RANGES.values(), ids=RANGES)


def seeded(corruption, x=X, seed=0):
    """Corrupted rows, and where."""
    torch.manual_seed(seed)
    return corruption.draw(x)


# --- what holds for all of them ----------------------------------------------------------------------


@pytest.mark.parametrize("corruption", NOTHING.values(), ids=NOTHING)
def test_no_noise_leaves_rows_to_the_bit(corruption):
    far = 10 * X - 4  # beyond the ends that some of them have
    for x in (X, far):
        assert torch.equal(corruption(x), x)
        assert torch.equal(Rescaled(corruption, torch.linspace(0.1, 0.9, F), 0.7)(x), x)


@pytest.mark.parametrize("corruption", [*KINDS.values(), *RANGES.values()])
def test_noise_is_a_function_of_the_seed(corruption):
    assert torch.equal(seeded(corruption)[0], seeded(corruption)[0])
    assert not torch.equal(seeded(corruption)[0], seeded(corruption, seed=1)[0])


@pytest.mark.parametrize("corruption", [*KINDS.values(), *RANGES.values()])
def test_an_example_s_noise_knows_nothing_of_the_other_examples(corruption):
    others = X.clone()
    others[:7] = 0.5
    others[8:] = 0.25
    assert torch.equal(seeded(corruption)[0][7], seeded(corruption, others)[0][7])


@pytest.mark.parametrize("corruption", [*KINDS.values(), *RANGES.values()])
def test_a_process_s_part_of_a_batch_is_corrupted_as_in_the_whole_of_it(corruption, monkeypatch):
    whole, where = seeded(corruption, X[:9])
    for part in (Part(0, 5, 9, 2), Part(5, 9, 9, 2)):
        monkeypatch.setattr(processes, "_part", part)
        rows = seeded(corruption, X[part.rows])
        assert torch.equal(rows[0], whole[part.rows])
        assert torch.equal(rows[1], where[part.rows])


@every_kind
def test_where_says_which_features_were_corrupted(corruption):
    corrupted, where = seeded(corruption)
    assert where.dtype == torch.bool
    assert torch.equal(where, corrupted != X)  # no value of X is one that corruption puts in its place
    assert torch.equal(corrupted, (torch.manual_seed(0), corruption(X))[1])
    assert where.all() == corruption.everywhere


@pytest.mark.parametrize("corruption", [*KINDS.values(), *RANGES.values()])
def test_double_precision_stays(corruption):
    assert corruption(X[:5].double()).dtype == torch.float64
    assert corruption(X[:5]).dtype == torch.float32


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("kinds", [KINDS, RANGES], ids=["numbers", "ranges"])
def test_compiled_in_one_graph_equals_eager(kinds):
    def corrupt(x):
        return [corruption.draw(x) for corruption in kinds.values()]

    compiled = torch.compile(corrupt, fullgraph=True, dynamic=False, options={"fallback_random": True})
    torch.manual_seed(3)
    expected = corrupt(X[:8])
    torch.manual_seed(3)
    for (rows, where), (their_rows, their_where) in zip(compiled(X[:8]), expected, strict=True):
        torch.testing.assert_close(rows, their_rows, rtol=1e-6, atol=1e-6)
        assert torch.equal(where, their_where)


# --- what is lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("corruption", [Masking(0.3), SaltAndPepper(0.3)])
def test_each_feature_is_lost_independently_with_its_probability(corruption):
    lost = seeded(corruption)[1].double()
    five_errors = 5 * (0.3 * 0.7 / lost.numel()) ** 0.5
    assert abs(lost.mean() - 0.3) < five_errors
    numbers = lost.sum(1)  # binomial: mean n p, variance n p (1 - p)
    assert numbers.var().item() == pytest.approx(F * 0.3 * 0.7, rel=0.15)


@pytest.mark.parametrize(("fraction", "number"), [(0.3, 9), (0.25, 8), (0.01, 0), (0.999, 30)])
def test_fixed_masking_loses_the_same_number_in_each_example(fraction, number):
    assert number == round(fraction * F)
    corrupted, lost = seeded(FixedMasking(fraction))
    assert (lost.sum(1) == number).all()
    assert torch.equal(corrupted == 0, lost)


def test_fixed_masking_chooses_every_set_of_features_alike():
    lost = seeded(FixedMasking(0.4), torch.ones(20_000, 5))[1].numpy()
    counts = [(lost[:, list(pair)].all(1)).sum() for pair in combinations(range(5), 2)]
    assert sum(counts) == 20_000
    statistic = sum((count - 2000) ** 2 / 2000 for count in counts)
    assert statistic < chi2.isf(1e-4, df=9)


def test_fixed_masking_is_exact_where_its_noise_has_ties(monkeypatch):
    monkeypatch.setattr("isthmus.corruption.base.batch_uniform", torch.zeros_like)
    assert (FixedMasking(0.3).draw(X)[1].sum(1) == 9).all()


def test_salt_and_pepper_are_equally_many():
    corrupted, replaced = seeded(SaltAndPepper(0.3, low=-1.0, high=2.0))
    assert set(corrupted[replaced].tolist()) == {-1.0, 2.0}
    share = (corrupted[replaced] == 2).double().mean().item()
    assert share == pytest.approx(0.5, abs=5 * 0.5 / int(replaced.sum()) ** 0.5)


# --- noise -------------------------------------------------------------------------------------------


def test_gaussian_noise_has_its_scale_and_no_bias():
    noise = (seeded(GaussianNoise(0.2))[0] - X).double()
    assert abs(noise.mean()) < 5 * 0.2 / (N * F) ** 0.5
    assert noise.std().item() == pytest.approx(0.2, rel=5 / (2 * N * F) ** 0.5)
    assert (noise**4).mean().item() == pytest.approx(3 * 0.2**4, rel=5 * (96 / (9 * N * F)) ** 0.5)


def test_uniform_noise_is_the_lectures_listing():
    torch.manual_seed(0)
    expected = torch.clamp(X + torch.rand_like(X) / 2, 0, 1)
    assert torch.equal(seeded(UniformNoise(0.5))[0], expected)
    assert (expected == 1).any()


# --- strengths drawn for each example -----------------------------------------------------------------


@pytest.mark.parametrize("draw", [draw_uniform, draw_normal])
def test_drawn_strengths_are_uniform_between_their_ends(draw):
    torch.manual_seed(0)
    strengths, noise = draw((0.1, 0.5), torch.zeros(N, 3), 7)
    assert strengths.shape == (N, 1)
    assert noise.shape == (N, 7)
    assert abs(np.corrcoef(strengths[:, 0], noise[:, 0])[0, 1]) < 5 / N**0.5
    assert strengths.min() >= 0.1
    assert strengths.max() < 0.5
    quarters = torch.histc(strengths, 4, 0.1, 0.5).numpy()
    assert ((quarters - N / 4) ** 2 / (N / 4)).sum() < chi2.isf(1e-4, df=3)
    assert draw(0.3, X, 7)[0] == 0.3


def measured(corruption, x):
    """How strongly each example was corrupted: share of features lost, or the noise's own scale."""
    corrupted, where = seeded(corruption, x)
    if isinstance(corruption, GaussianNoise):
        return (corrupted - x).std(1).numpy()
    if isinstance(corruption, UniformNoise):
        return (corrupted - x).amax(1).numpy()
    return where.double().mean(1).numpy()


@every_range
def test_each_example_has_a_strength_of_its_own(corruption):
    shape = (1, 40, 50)
    corruption = replace(corruption, shape=shape) if isinstance(corruption, Blocks) else corruption
    found = measured(corruption, torch.full((1500, 2000), 0.25))
    # Of 2,000 features a strength is known to about 0.01, and those of uniform (0.1, 0.5) have these moments.
    assert found.mean() == pytest.approx(0.3, abs=5 * 0.4 / 12**0.5 / 1500**0.5 + 0.001)
    assert found.std() == pytest.approx(0.4 / 12**0.5, rel=0.06)
    assert found.min() == pytest.approx(0.1, abs=0.03)
    assert found.max() == pytest.approx(0.5, abs=0.05)


def test_fixed_masking_of_a_range_loses_whole_numbers_alike():
    numbers = seeded(FixedMasking((0.1, 0.5)))[1].sum(1)
    assert set(numbers.tolist()) == set(range(3, 16))
    inner = torch.bincount(numbers)[4:15].double()
    assert ((inner - N / 12) ** 2 / (N / 12)).sum() < chi2.isf(1e-4, df=11)


# --- units and refusals ------------------------------------------------------------------------------


def test_rescaled_masking_is_black_where_black_is_not_zero():
    mean, scale = torch.linspace(0.2, 0.9, F), 0.5
    pixels = X.double()
    corrupted, lost = seeded(Rescaled(Masking(0.3), mean, scale), (pixels - mean) / scale)
    back = corrupted * scale + mean
    torch.testing.assert_close(back, torch.where(lost, 0.0, pixels))
    assert lost.any()


@pytest.mark.parametrize("strength", [1.0, -0.1, float("nan"), (0.5, 0.1), (0.1, 1.0), (0.1,), "a lot", None, True])
@pytest.mark.parametrize("make", [Masking, FixedMasking, SaltAndPepper, lambda strength: Blocks(SHAPE, strength)])
def test_fractions_out_of_range_are_refused(make, strength):
    with pytest.raises(ValueError, match=r"Expected a fraction in \[0, 1\)"):
        make(strength)


@pytest.mark.parametrize("strength", [-1.0, float("inf"), float("nan"), (0.5, 0.1), (1, 2, 3)])
@pytest.mark.parametrize("make", [GaussianNoise, UniformNoise])
def test_scales_out_of_range_are_refused(make, strength):
    with pytest.raises(ValueError, match=r"Expected a scale in \[0, infinity\)"):
        make(strength)


@pytest.mark.parametrize("make", [SaltAndPepper, UniformNoise])
def test_ends_that_do_not_ascend_are_refused(make):
    with pytest.raises(ValueError, match="Expected a low end"):
        make(low=1.0, high=0.0)

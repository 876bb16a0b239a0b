"""Corruptions do what they are named after; a denoising objective changes what the encoder sees, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from cases import autoencoder, binary, vae
from isthmus.corruption import GaussianNoise, Masking
from isthmus.model import Batch
from isthmus.objectives import ELBO, Denoising, Loss, Reconstruction
from training_cases import assert_same, differ, short_run

N, F = 4000, 30
X = 0.5 + torch.rand(N, F, generator=torch.Generator().manual_seed(0))  # no zeros


def test_masking_loses_each_feature_independently_with_its_probability():
    torch.manual_seed(0)
    lost = (Masking(0.3)(X) == 0).double()
    five_errors = 5 * (0.3 * 0.7 / lost.numel()) ** 0.5
    assert abs(lost.mean() - 0.3) < five_errors
    numbers = lost.sum(1)  # binomial: mean n p, variance n p (1 - p)
    assert numbers.var().item() == pytest.approx(F * 0.3 * 0.7, rel=0.15)


def test_masking_leaves_what_it_does_not_lose():
    kept = Masking(0.3)(X)
    assert torch.equal(kept[kept != 0], X[kept != 0])


def test_gaussian_noise_has_its_scale_and_no_bias():
    torch.manual_seed(0)
    noise = (GaussianNoise(0.2)(X) - X).double()
    assert abs(noise.mean()) < 5 * 0.2 / (N * F) ** 0.5
    assert noise.std().item() == pytest.approx(0.2, rel=5 / (2 * N * F) ** 0.5)


@pytest.mark.parametrize("make", [lambda: Masking(1.0), lambda: Masking(-0.1), lambda: GaussianNoise(-1.0),
                                  lambda: GaussianNoise(float("inf")), lambda: Masking(float("nan"))])  # fmt: skip
def test_strengths_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="Expected a"):
        make()


@pytest.mark.parametrize("corruption", [Masking(0.0), GaussianNoise(0.0)])
def test_denoising_without_noise_is_the_objective_itself(corruption):
    torch.manual_seed(0)
    plain, _ = short_run(model=autoencoder(), objective=Reconstruction())
    torch.manual_seed(0)
    denoising, _ = short_run(model=autoencoder(), objective=Denoising(Reconstruction(), corruption))
    assert_same(plain, denoising)


def test_denoising_trains_another_model_the_same_at_every_run():
    runs = []
    for objective in (Reconstruction(), *[Denoising(Reconstruction(), Masking(0.5))] * 2):
        torch.manual_seed(0)
        runs.append(short_run(model=autoencoder(), objective=objective)[0])
    assert differ(runs[0], runs[1])
    assert_same(runs[1], runs[2])


def test_the_loss_is_of_the_clean_rows():
    batch = binary(6)
    seen = Denoising(ELBO(), Masking(0.5)).prepare(batch)
    assert torch.equal(seen.target, batch.target)
    assert (seen.x <= batch.x).all()
    assert not torch.equal(seen.x, batch.x)


@dataclass(frozen=True)
class Count:
    """A penalty that reads what the encoder saw."""

    def __call__(self, trace, model):
        return Loss(trace.batch.x.sum(-1), terms={"seen": trace.batch.x.sum(-1)})


def test_penalty_and_denoising_combine_in_either_order():
    model, batch = vae(), binary(6)
    losses = []
    for objective in (Denoising(ELBO() + Count(), Masking(0.5)), Denoising(ELBO(), Masking(0.5)) + Count()):
        torch.manual_seed(3)
        losses.append(objective(model, Batch(batch.x, batch.x)))
    torch.testing.assert_close(losses[0].value, losses[1].value, rtol=0, atol=0)
    assert losses[0].terms.keys() == losses[1].terms.keys()

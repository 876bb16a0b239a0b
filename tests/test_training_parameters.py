"""Each parameter of training reaches what it is for: settings, objective, layers, held-out rows, resumed runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from estimator_cases import MAKE, QUICK, every_network, real_table
from isthmus import VAE, Autoencoder
from isthmus.evaluation.likelihood import bound
from isthmus.files import UnreadableFile
from isthmus.objectives import ELBO, Reconstruction
from isthmus.training import Rows, Schedule, Settings

TABLE = real_table()


@every_network
def test_settings_are_the_parameters(make):
    model = make(
        max_epochs=3, batch_size=7, learning_rate=0.5, schedule="cosine", warm_up=4, clip_norm=2.0, weight_average=0.9,
        patience=6, precision="bf16", device="cpu", compile=False,
    )  # fmt: skip
    assert model._settings(11) == Settings(
        max_epochs=3, batch_size=7, learning_rate=0.5, schedule=Schedule("cosine", 4), clip_norm=2.0, average=0.9,
        patience=6, precision="bf16", device="cpu", compile=False, seed=11,
    )  # fmt: skip
    assert make(schedule="stepwise")._settings(0).schedule == Schedule("stepwise")
    own = Schedule("stepwise", warm_up=3, milestones=(0.2,))
    assert make(schedule=own, warm_up=50)._settings(0).schedule is own


def test_objectives_are_the_parameters():
    assert Autoencoder()._objective() == Reconstruction()
    vae = VAE(n_samples=3, free_bits=0.5, kl_warm_up=7)
    assert vae._objective() == ELBO(n_samples=3, free_bits=0.5, warm_up=7)
    assert VAE(n_samples=2, gradient="score")._objective() == ELBO(n_samples=2, gradient="score")
    assert VAE()._objective() == ELBO()


@every_network
def test_the_decoder_mirrors_the_encoder(make):
    model = make(hidden=(8, 4), activation="tanh").fit(TABLE)

    def widths(net: torch.nn.Module) -> list[tuple[int, int]]:
        return [(m.in_features, m.out_features) for m in net.modules() if isinstance(m, torch.nn.Linear)]

    assert widths(model.model_.encoder.net) == [(6, 8), (8, 4)]
    assert widths(model.model_.decoder) == [(2, 4), (4, 8), (8, 6)]
    assert {type(m).__name__ for m in model.model_.modules()} >= {"Tanh"}
    assert "ReLU" not in {type(m).__name__ for m in model.model_.modules()}


def test_validation_is_the_loss_of_the_rows_given():
    model = Autoencoder(2, **QUICK).fit(TABLE, validation=(other := real_table(300)[200:]))
    unit = math.exp(2 * model.log_scale_)
    expected = 0.5 * model.squared_error(other).mean() / unit + 3 * math.log(2 * math.pi)
    assert model.history_[-1]["validation"] == pytest.approx(expected, rel=1e-5)
    # What is watched does not change what is learned.
    np.testing.assert_array_equal(model.transform(TABLE), Autoencoder(2, **QUICK).fit(TABLE).transform(TABLE))


@every_network
def test_patience_holds_rows_out_and_stops(make):
    model = make(patience=1, validation_fraction=0.25)
    x, weight = torch.arange(40.0)[:, None], torch.arange(40.0)
    train, held_out = model._split(Rows(x, weight=weight), None, seed=0)
    assert (len(train.x), len(held_out.x)) == (30, 10)
    assert sorted(torch.cat([train.x, held_out.x]).flatten().tolist()) == list(range(40))
    assert torch.equal(train.weight, train.x[:, 0])
    assert not torch.equal(model._split(Rows(x), None, seed=1)[0].x, train.x)
    counted = np.arange(len(TABLE)) % 3 > 0  # rows of weight 0 are neither trained on nor held out
    weighted = make(patience=1, validation_fraction=0.25, max_epochs=3).fit(TABLE, sample_weight=counted)
    alone = make(patience=1, validation_fraction=0.25, max_epochs=3).fit(TABLE[counted])
    assert weighted.history_[-1]["validation"] == pytest.approx(alone.history_[-1]["validation"], rel=1e-6)
    stopped = make(patience=1, max_epochs=400, learning_rate=0.3, validation_fraction=0.25).fit(TABLE)
    assert stopped.n_iter_ == len(stopped.history_) < 400


@every_network
def test_a_resumed_run_is_the_same_run(make, tmp_path):
    # k falls over a share of all epochs: of a shorter run it falls faster.
    same = {"annealing": 0.0} if make is MAKE["KSparseAutoencoder"] else {}
    whole = make(max_epochs=4, **same).fit(TABLE)
    make(max_epochs=2, **same).fit(TABLE, folder=tmp_path)
    resumed = make(max_epochs=4, **same).fit(TABLE, folder=tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.transform(TABLE), whole.transform(TABLE))
    assert [record["loss"] for record in resumed.history_] == [record["loss"] for record in whole.history_]


@every_network
def test_a_run_without_a_chosen_seed_resumes_with_its_own(make, tmp_path):
    make(random_state=None, patience=9, max_epochs=2).fit(TABLE, folder=tmp_path, resume=True)  # none there: begins
    first = make(random_state=None, patience=9, max_epochs=2).fit(TABLE, folder=tmp_path)
    resumed = make(random_state=None, patience=9, max_epochs=3).fit(TABLE, folder=tmp_path, resume=True)
    assert resumed.history_[:2] == first.history_
    assert resumed.n_iter_ == 3
    seed = resumed._seed(tmp_path)
    assert seed != make(random_state=None)._seed(None)
    with pytest.raises(UnreadableFile, match="seed"):
        make(random_state=1, patience=9).fit(TABLE, folder=tmp_path, resume=True)


def test_the_posterior_is_the_one_that_the_bound_counts():
    vae = VAE(2, **QUICK).fit(TABLE)
    mean, deviation = vae.posterior(TABLE)
    np.testing.assert_array_equal(mean, vae.transform(TABLE))
    rate = 0.5 * (mean**2 + deviation**2 - 1 - 2 * np.log(deviation)).sum(axis=1)
    np.testing.assert_allclose(rate, bound(vae.model_, vae.to_tensor(TABLE)).rate, rtol=1e-4)


@every_network
def test_frozen_weights_of_an_own_module_stay(make):
    encoder = torch.nn.Linear(6, 5).requires_grad_(False)
    model = make(encoder=encoder).fit(TABLE)
    assert torch.equal(model.model_.encoder.net.own.weight, encoder.weight)

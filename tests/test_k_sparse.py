"""The k-sparse autoencoder: exactly k units, chosen rightly, and none of them left to die."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cases import D, F, H, real, table_model
from isthmus import Autoencoder, KSparseAutoencoder, load
from isthmus.heads import FixedGaussianHead, TopKHead, top_k_mask
from isthmus.objectives import Reconstruction
from isthmus.training import Settings, fit

DIGITS = load_digits().data[:400] / 16
QUICK = {"hidden": (), "max_epochs": 3, "batch_size": 50, "random_state": 0}


@pytest.mark.parametrize("k", [1, 3, 9, 10])
def test_the_mask_holds_the_k_largest(k):
    scores = torch.randn(4, 7, 10, generator=torch.Generator().manual_seed(0))
    mask = top_k_mask(scores, torch.tensor(k))
    smallest_kept = scores.masked_fill(~mask, np.inf).amin(-1)
    largest_lost = scores.masked_fill(mask, -np.inf).amax(-1)
    assert (mask.sum(-1) == k).all()
    assert (smallest_kept > largest_lost).all()


def test_the_mask_holds_k_where_all_are_equal():
    assert (top_k_mask(torch.zeros(3, 8), 5).sum(-1) == 5).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_mask_is_of_any_precision(dtype):
    scores = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    kept = scores.masked_fill(~top_k_mask(scores, 3), -np.inf).sort(descending=True).values[:, :3]
    assert torch.equal(kept, scores.sort(descending=True).values[:, :3])


@pytest.mark.parametrize(("alpha", "kept"), [(1.0, 5), (2.5, 12), (100.0, 32)])
def test_codes_have_alpha_k_numbers(alpha, kept):
    model = KSparseAutoencoder(32, k=5, alpha=alpha, **QUICK).fit(DIGITS)
    assert set((model.transform(DIGITS) != 0).sum(axis=1)) == {kept}


def test_units_that_are_not_kept_are_zero_without_a_sign():
    code = TopKHead(4, 10, k=3).eval()(torch.randn(50, 4)).mean
    assert (code == 0).any()
    assert not torch.signbit(code[code == 0]).any()  # -0.0 in a table of codes looks like a small number


@pytest.mark.parametrize("annealing", [0.0, 0.5])
def test_with_all_units_it_is_an_autoencoder(annealing):
    """Bit for bit: the same weights, the same losses, the same codes."""
    plain = Autoencoder(16, **QUICK).fit(DIGITS)
    sparse = KSparseAutoencoder(16, k=16, annealing=annealing, **QUICK).fit(DIGITS)
    assert [record["loss"] for record in sparse.history_] == [record["loss"] for record in plain.history_]
    for name, parameter in plain.model_.named_parameters():
        assert torch.equal(parameter, dict(sparse.model_.named_parameters())[name])
    np.testing.assert_array_equal(sparse.transform(DIGITS), plain.transform(DIGITS))


def test_only_kept_units_get_a_gradient():
    head = TopKHead(4, 6, k=2)
    with torch.no_grad():
        head.project.bias.copy_(torch.tensor([9.0, 0.0, 8.0, -1.0, 0.0, 0.0]))
        head.project.weight.mul_(0.01)
    head(torch.randn(3, 4)).mean.sum().backward()
    assert head.project.weight.grad.any(dim=1).tolist() == [True, False, True, False, False, False]


def test_k_falls_linearly_in_training():
    head = TopKHead(4, 20, k=5, annealing_steps=10)
    features = torch.randn(8, 4)
    counts = [int((head(features).mean != 0).sum(dim=1).unique()) for _ in range(13)]
    assert counts == [round(20 - 1.5 * step) for step in range(10)] + [5, 5, 5]
    assert set((head.eval()(features).mean != 0).sum(dim=1).tolist()) == {5}


def test_annealing_ends_within_the_training():
    model = KSparseAutoencoder(16, k=4, annealing=0.5, **QUICK).fit(DIGITS)
    head = model.model_.encoder.head
    assert int(head.steps) == 3 * 8
    assert head.annealing_steps == 12


def test_evaluation_changes_nothing():
    head = TopKHead(4, 6, k=2).eval()
    before = {name: buffer.clone() for name, buffer in head.named_buffers()}
    head(torch.randn(3, 4))
    assert all(torch.equal(buffer, before[name]) for name, buffer in head.named_buffers())


def test_a_dead_unit_is_found_and_revived():
    """A unit far below all others is kept by no example, until its advantage has grown by what it is short of."""
    torch.manual_seed(0)
    head = TopKHead(4, 8, k=2)
    with torch.no_grad():
        head.project.bias[3] = -9.0
    features, died, revived = torch.randn(64, 4), False, False
    for _ in range(1000):
        kept = head(features).mean[:, 3] != 0
        died |= bool(head.dead[3])
        revived |= died and bool(kept.any())
    assert died
    assert revived
    assert not head.dead[3]
    assert head.advantage[3] > 1


def test_reviving_leaves_fewer_units_unused_and_rebuilds_better(monkeypatch):
    import isthmus.heads.top_k as top_k

    settings = {"k": 5, "annealing": 0.0, "max_epochs": 100, "hidden": (), "random_state": 0}
    with_revival = KSparseAutoencoder(100, **settings).fit(DIGITS)
    monkeypatch.setattr(top_k, "REVIVAL", 0.0)
    without = KSparseAutoencoder(100, **settings).fit(DIGITS)
    unused = [int((model.unit_use(DIGITS) == 0).sum()) for model in (with_revival, without)]
    assert unused[0] < 0.5 * unused[1]
    assert with_revival.squared_error(DIGITS).mean() < without.squared_error(DIGITS).mean()


def test_dead_units_are_reported():
    model = KSparseAutoencoder(32, k=1, annealing=0.0, **QUICK).fit(DIGITS)
    assert all(0 <= record["dead_units"] <= 32 for record in model.history_)
    assert model.unit_use(DIGITS).sum() == pytest.approx(1)  # one unit a row
    head = model.model_.encoder.head
    head.duty[:] = 1 / 32
    head.duty[[4, 7]] = 0
    assert model.dead_units_.tolist() == [4, 7]
    assert model._facts()["dead units"] == "2"


def test_facts_are_of_the_model_that_was_trained():
    model = KSparseAutoencoder(32, k=4, alpha=2.0, **QUICK).fit(DIGITS).set_params(k=9)
    assert model._facts()["active units a row"] == "8"
    assert set((model.transform(DIGITS) != 0).sum(axis=1)) == {8}


def test_files_keep_what_the_head_has_learned(tmp_path):
    model = KSparseAutoencoder(32, k=3, **QUICK).fit(DIGITS)
    model.model_.encoder.head.advantage[5] = 100.0
    again = load(model.save(tmp_path))
    np.testing.assert_array_equal(again.transform(DIGITS), model.transform(DIGITS))
    assert (again.transform(DIGITS)[:, 5] != 0).all()


def annealed():
    torch.manual_seed(0)
    return table_model(TopKHead(H, D, k=1, annealing_steps=9), FixedGaussianHead(H, F), None)


def test_a_resumed_run_goes_on_with_k_and_the_advantages(tmp_path):
    x, whole, parts = real(32).x, annealed(), annealed()
    fit(whole, Reconstruction(), x, Settings(max_epochs=6, batch_size=16, device="cpu"))
    for epochs in (3, 6):
        settings = Settings(max_epochs=epochs, batch_size=16, device="cpu")
        fit(parts, Reconstruction(), x, settings, folder=tmp_path, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(parts.state_dict()[name], tensor), name
    assert int(whole.encoder.head.steps) == 12


def test_a_run_does_not_go_on_with_another_k(tmp_path):
    KSparseAutoencoder(16, k=4, **QUICK).fit(DIGITS, folder=tmp_path)
    with pytest.raises(ValueError, match="resume"):
        KSparseAutoencoder(16, k=5, **QUICK | {"max_epochs": 4}).fit(DIGITS, folder=tmp_path, resume=True)
    again = KSparseAutoencoder(16, k=4, **QUICK | {"max_epochs": 4}).fit(DIGITS, folder=tmp_path, resume=True)
    assert again.n_iter_ == 4


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
def test_one_compiled_step_serves_every_k():
    models = annealed(), annealed()
    for model, compile in zip(models, (False, True), strict=True):
        settings = Settings(max_epochs=6, batch_size=16, compile=compile, device="cpu")
        fit(model, Reconstruction(), real(32).x, settings)
    for name, tensor in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"k": 0}, "1 <= k <= n_components=8, got 0"), ({"k": 9}, "got 9"), ({"alpha": 0.5}, "alpha >= 1, got 0.5"),
     ({"annealing": 1.5}, "in \\[0, 1\\], got 1.5")],
)  # fmt: skip
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        KSparseAutoencoder(8, **{"k": 4} | parameters).fit(DIGITS)


@pytest.mark.parametrize("k", [(0, None), (7, None), (3, 9)])
def test_the_head_wants_k_units(k):
    with pytest.raises(ValueError, match="Expected 1 <= k <= 6 units"):
        TopKHead(4, 6, k[0], k_test=k[1])

"""Optimisers: torch's own, step by step; updates that are committed or not; settings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim._muon import _zeropower_via_newtonschulz

from isthmus.training import Settings
from isthmus.training.optimizers import SGD, Adam, Muon, Optimizer
from isthmus.training.optimizers.muon import orthogonalised

SHAPES = [(7, 5), (5,), (), (0, 3), (4, 6), (5, 7), (3, 2, 4, 4)]
MAKE = {
    "adam": Adam,
    "sgd": SGD,
    "sgd without momentum": lambda parameters, decay=0.0: SGD(parameters, decay, momentum=0.0),
    "muon": Muon,
}
each = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def parameters(dtype=torch.float32, shapes=SHAPES) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in shapes]


# --- one update after another ------------------------------------------------------------------------


def assert_alike(ours: Optimizer, reference: list[torch.optim.Optimizer], theirs: list[nn.Parameter], tolerance: float):
    """The same parameters after each of 50 steps of unlike gradients and learning rates."""
    for step in range(50):
        gradients = [torch.randn_like(parameter) * 10 ** (step % 5 - 3) for parameter in theirs]
        rate = 1e-2 * (1 + step % 3)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        for optimizer in reference:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        ours.update(gradients, rate, torch.zeros(()))
        for parameter, other in zip(ours.parameters, theirs, strict=True):
            torch.testing.assert_close(parameter, other.detach(), rtol=10 * tolerance, atol=tolerance)
    assert ours.committed == 50


def groups(theirs: list[nn.Parameter], decay: float) -> list[dict]:
    """Vectors without decay, as torch wants them told apart."""
    vectors, matrices = ([p for p in theirs if (p.dim() > 1) == deep] for deep in (False, True))
    return [{"params": vectors, "weight_decay": 0.0}, {"params": matrices, "weight_decay": decay}]


precisions = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])


@precisions
def test_adam_with_decay_is_torch_s_adamw(dtype, tolerance):
    theirs = parameters(dtype)
    reference = torch.optim.AdamW(groups(theirs, 0.3), foreach=False)
    assert_alike(Adam(parameters(dtype), 0.3), [reference], theirs, tolerance)


@precisions
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torch_s(dtype, tolerance, momentum):
    theirs = parameters(dtype)
    reference = torch.optim.SGD(theirs, momentum=momentum, foreach=False)
    assert_alike(SGD(parameters(dtype), momentum=momentum), [reference], theirs, 10 * tolerance)


def test_muon_is_torch_s_for_matrices_and_adam_for_vectors(monkeypatch):
    """In float32, in which sums in another order do not matter."""
    monkeypatch.setattr("isthmus.training.optimizers.muon._type_of_products", lambda device: torch.float32)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    shapes = [shape for shape in SHAPES if len(shape) < 3]
    theirs = parameters(shapes=shapes)
    vectors, matrices = groups(theirs, 0.3)
    muon = torch.optim.Muon([matrices], adjust_lr_fn="match_rms_adamw")
    reference = [torch.optim.Adam([vectors], foreach=False), muon]
    assert_alike(Muon(parameters(shapes=shapes), 0.3), reference, theirs, 1e-5)


def test_kernels_of_convolutions_move_as_matrices():
    kernel, gradient = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    whole, flat = Muon([kernel]), Muon([kernel.flatten(1).clone()])
    whole.update([gradient], 1e-2, torch.zeros(()))
    flat.update([gradient.flatten(1)], 1e-2, torch.zeros(()))
    assert torch.equal(whole.parameters[0].flatten(1), flat.parameters[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matrices_become_nearly_orthogonal_each_for_itself(dtype):
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(2, n, 8)).Q for n in (8, 20))
    matrices = left @ torch.diag(torch.linspace(0.02, 1.0, 8)) @ right.mT * torch.tensor([1e-3, 1e3])[:, None, None]
    ours = orthogonalised(matrices.to(dtype))
    assert ours.dtype == dtype
    values = torch.linalg.svdvals(ours.float())
    assert 0.6 < values.min() < values.max() < 1.3
    turned = left.mT @ ours.float() @ right  # the same singular vectors
    assert (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).abs().max() < 0.05
    for matrix, one in zip(matrices, ours, strict=True):
        theirs = _zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)
        torch.testing.assert_close(one.float(), theirs.float(), rtol=0, atol=0.02)


def test_muon_moves_a_matrix_as_far_as_adam():
    torch.manual_seed(0)
    for shape in ((40, 30), (30, 40), (8, 200)):
        moved = []
        for make in (Adam, Muon):
            optimizer = make([torch.zeros(shape)])
            optimizer.update([torch.randn(shape)], 1e-2, torch.zeros(()))
            moved.append(float(optimizer.parameters[0].square().mean().sqrt()))
        assert moved[0] == pytest.approx(1e-2, rel=1e-3)
        assert 0.1 < moved[1] / moved[0] < 0.25  # Adam's later steps are 0.2 to 0.4 of its first


@each
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_failed_update_changes_nothing(make, decay):
    optimizer = make(parameters(), decay)
    gradients = [torch.randn_like(parameter) for parameter in optimizer.parameters]
    optimizer.update(gradients, 1e-2, torch.zeros(()))
    before = [tensor.clone() for tensor in (*optimizer.parameters, *optimizer.state().values())]
    for wrong in (math.nan, math.inf):
        optimizer.update([torch.full_like(gradient, wrong) for gradient in gradients], 1e-2, torch.ones(()))
        after = [*optimizer.parameters, *optimizer.state().values()]
        assert all(map(torch.equal, before, after))


@each
def test_decay_shrinks_only_matrices(make):
    optimizer, free = make(parameters(), 0.3), make(parameters())
    before = [parameter.clone() for parameter in optimizer.parameters]
    zeros = [torch.zeros_like(parameter) for parameter in before]
    for each in (optimizer, free):
        each.update(zeros, 0.1, torch.zeros(()))
    for old, new, same in zip(before, optimizer.parameters, free.parameters, strict=True):
        torch.testing.assert_close(new, old * (0.97 if old.dim() > 1 else 1.0), rtol=1e-6, atol=0)
        assert torch.equal(same, old)


# --- settings and parameters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "lion"}, "Expected optimizer 'adam', 'sgd' or 'muon', got 'lion'"),
        ({"momentum": 1.0}, r"Expected momentum in \[0, 1\), got 1\.0"),
        ({"momentum": -0.1}, "Expected momentum"),
        ({"momentum": math.nan}, "Expected momentum"),
        ({"weight_decay": -1.0}, "Expected a finite weight_decay >= 0, got -1.0"),
        ({"weight_decay": math.inf}, "Expected a finite weight_decay"),
        (
            {"weight_decay": 10.0, "learning_rate": 0.1},
            r"weight_decay < 1.*use a smaller weight_decay",
        ),
        ({"optimizer": "muon", "sharded": True}, "'adam' or 'sgd' with sharded=True, got 'muon'.*use one of those"),
    ],
)
def test_settings_that_can_not_be_are_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        Settings(**changes)


def test_numbers_are_numbers():
    assert Settings(momentum=0, weight_decay=1).momentum == 0.0
    for name in ("momentum", "weight_decay"):
        with pytest.raises(TypeError, match=f"Expected {name} as a number, got '0.1'"):
            Settings(**{name: "0.1"})

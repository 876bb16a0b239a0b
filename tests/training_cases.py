"""Models, objectives and comparisons that the tests of training share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from isthmus.objectives import ELBO, Loss, Objective

EAGER = {"compile": False, "device": "cpu"}


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **(tolerance or {"rtol": 0, "atol": 0}), msg=name)


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)


@dataclass(frozen=True)
class Wrong(Objective):
    """The ELBO, but NaN at one step."""

    at: int = 7
    objective: Objective = ELBO()

    def loss(self, trace, model):
        loss = self.objective.loss(trace, model)
        if trace.batch.step is None:
            return loss
        zero = (trace.batch.step != self.at).to(loss.value.dtype)
        extra = (1 - zero) / zero  # 0 / 1, at the step 1 / 0
        return Loss(loss.value + extra, terms={**loss.terms, "ratio": loss.value.detach() * 0 + extra})


class Counter(nn.Module):
    """Counts in a buffer how often it ran, and changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return x

"""Gradients of a penalty with respect to a model's weights, held against finite differences."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from isthmus.model import Batch, LatentVariableModel
from isthmus.objectives import Penalty

__all__ = ["agree_with_finite_differences"]


class _Penalised(nn.Module):
    """A penalty's total as a module, whose parameters can be given from outside."""

    def __init__(self, model: LatentVariableModel, penalty: Penalty) -> None:
        super().__init__()
        self.model, self.penalty = model, penalty

    def forward(self, batch: Batch) -> torch.Tensor:
        torch.manual_seed(0)
        return self.penalty(self.model.trace(batch), self.model).total(batch.weight)


def agree_with_finite_differences(model: LatentVariableModel, penalty: Penalty, batch: Batch) -> bool:
    """Whether they do, along random directions of all weights of the encoder, in float64."""
    penalised = _Penalised(model.double(), penalty)
    names = [name for name, _ in penalised.named_parameters() if name.startswith("model.encoder")]
    values = [penalised.get_parameter(name).detach().requires_grad_() for name in names]
    doubled = Batch(*(part.double() if part is not None and part.is_floating_point() else part for part in batch))

    def total(*tensors: torch.Tensor) -> torch.Tensor:
        return functional_call(penalised, dict(zip(names, tensors, strict=True)), (doubled,))

    return torch.autograd.gradcheck(total, values, fast_mode=True)

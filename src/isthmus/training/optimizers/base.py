"""What a training step asks of an optimiser: an update that is committed or not, and its state by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["Optimizer"]


class Optimizer(ABC):
    r"""Moves parameters against their gradients, in place.

    Weight decay is decoupled from the gradient: before each update, :math:`w \leftarrow (1 - \eta\lambda) w` with the
    learning rate :math:`\eta`, for parameters of two dimensions or more. Biases and other vectors don't shrink.

    Args:
        parameters: to be moved, on one device.
        weight_decay: lambda.

    Attributes:
        moments: running averages of the gradients, lists of tensors by what they are.
        committed: number of updates made, a 0-d float32 tensor.

    References:
        Loshchilov, Hutter (2019). Decoupled weight decay regularization. ICLR.
    """

    name: ClassVar[str]
    """As users choose it; tensors in a checkpoint begin with it."""

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float = 0.0) -> None:
        self.parameters = [parameter.detach() for parameter in parameters]
        self.weight_decay = weight_decay
        self.moments: dict[str, list[Tensor]] = {}
        self.committed = torch.zeros((), device=self.parameters[0].device)
        self._shrinking = [parameter for parameter in self.parameters if parameter.dim() > 1]

    def update(self, gradients: Sequence[Tensor], learning_rate: float, failed: Tensor) -> None:
        """Commit one update, unless `failed` (0-d float32) is 1: then nothing changes."""
        good = 1 - failed
        self.committed += good
        if self.weight_decay and self._shrinking:
            # Without looking at `failed`, for which an accelerator would have to wait; times 1 nothing changes.
            precise = good.to(torch.promote_types(self._shrinking[0].dtype, torch.float32))
            shrink = 1 - learning_rate * self.weight_decay * precise
            torch._foreach_mul_(self._shrinking, shrink)  # type: ignore[attr-defined]
        self._move(list(gradients), learning_rate, failed)

    @abstractmethod
    def _move(self, gradients: list[Tensor], learning_rate: float, failed: Tensor) -> None:
        """Move parameters and moments, unless `failed` is 1; `committed` counts this update already."""

    def state(self) -> dict[str, Tensor]:
        """Everything that it remembers between updates, by name, to be saved and copied into."""
        tensors = {f"{self.name}.committed": self.committed}
        for kind, moments in self.moments.items():
            tensors |= {f"{self.name}.{kind}.{i}": moment for i, moment in enumerate(moments)}
        return tensors

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave, of the same names and shapes."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

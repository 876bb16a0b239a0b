"""Adam as one fused kernel, which commits a step or leaves everything as it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Adam"]


class Adam:
    """torch's fused Adam kernel without `Optimizer.step`'s bookkeeping, a third of a small step's time.

    The kernel is private to torch: the tests hold it against `torch.optim.Adam`.

    Attributes:
        means, squares: running moments of the gradients.
        committed: number of updates made, a 0-d float32 tensor shared by all parameters.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.parameters = [parameter.detach() for parameter in parameters]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.committed = torch.zeros((), device=self.parameters[0].device)
        self.betas = betas

    def update(self, gradients: Sequence[Tensor], learning_rate: float, failed: Tensor) -> None:
        """Commit one update, unless `failed` (0-d float32) is 1: then nothing changes."""
        self.committed += 1 - failed
        torch._fused_adam_(  # type: ignore[attr-defined]
            self.parameters, list(gradients), self.means, self.squares, [], [self.committed] * len(self.parameters),
            lr=learning_rate, beta1=self.betas[0], beta2=self.betas[1], weight_decay=0.0, eps=1e-8,
            amsgrad=False, maximize=False, found_inf=failed,
        )  # fmt: skip

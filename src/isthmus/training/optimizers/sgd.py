"""Gradient descent with momentum as one fused kernel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    r"""Steps along the gradients of the past, each of which counts less the older it is (the heavy ball).

    .. math:: b \leftarrow \mu b + g, \qquad w \leftarrow w - \eta\, b

    What most published networks before 2015 were trained with. Its learning rate depends on the scale of the loss, and
    is to be searched for. torch's fused kernel is private: the tests hold it against `torch.optim.SGD`.

    Args:
        parameters, weight_decay: see `Optimizer`.
        momentum: mu, in [0, 1); with 0, plain gradient descent.

    References:
        Polyak (1964). Some methods of speeding up the convergence of iteration methods.
    """

    name = "sgd"

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float = 0.0, momentum: float = 0.9) -> None:
        super().__init__(parameters, weight_decay)
        self.momentum = momentum
        if momentum:
            self.moments = {"momentum": [torch.zeros_like(parameter) for parameter in self.parameters]}

    def _move(self, gradients: list[Tensor], learning_rate: float, failed: Tensor) -> None:
        torch._fused_sgd_(  # type: ignore[attr-defined]
            self.parameters, gradients, self.moments.get("momentum", []),
            weight_decay=0.0, momentum=self.momentum, lr=learning_rate, dampening=0.0, nesterov=False, maximize=False,
            is_first_step=False, found_inf=failed,
        )  # fmt: skip

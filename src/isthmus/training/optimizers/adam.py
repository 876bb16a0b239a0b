"""Adam as one fused kernel, which commits a step or leaves everything as it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Optimizer

__all__ = ["Adam", "move_by_adam"]


class Adam(Optimizer):
    r"""Steps along the running mean of the gradients, each coordinate in units of its own root mean square.

    .. math:: w \leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \epsilon)

    with decays 0.9 of m and 0.999 of v and :math:`\epsilon = 10^{-8}`. The default: it trains most networks without a
    search for a learning rate.

    References:
        Kingma, Ba (2015). Adam: a method for stochastic optimization. ICLR.
    """

    name = "adam"

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float = 0.0) -> None:
        super().__init__(parameters, weight_decay)
        self.moments = {kind: [torch.zeros_like(p) for p in self.parameters] for kind in ("mean", "square")}

    def _move(self, gradients: list[Tensor], learning_rate: float, failed: Tensor) -> None:
        move_by_adam(self.parameters, gradients, self.moments, self.committed, learning_rate, failed)


def move_by_adam(
    parameters: list[Tensor], gradients: list[Tensor], moments: dict[str, list[Tensor]], committed: Tensor,
    learning_rate: float, failed: Tensor,
) -> None:  # fmt: skip
    """One update by Adam, with torch's fused kernel and without `Optimizer.step`'s bookkeeping.

    That bookkeeping is a third of a small step's time. The kernel is private to torch: the tests hold it against
    `torch.optim.Adam`.

    Args:
        parameters, gradients: lists of one length.
        moments: "mean" and "square", such lists as well.
        committed: number of updates, this one included, 0-d.
        learning_rate: of this update.
        failed: 0-d; where it is 1 nothing changes.
    """
    torch._fused_adam_(  # type: ignore[attr-defined]
        parameters, gradients, moments["mean"], moments["square"], [], [committed] * len(parameters),
        lr=learning_rate, beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8,
        amsgrad=False, maximize=False, found_inf=failed,
    )  # fmt: skip

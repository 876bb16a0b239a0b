"""The head of a k-sparse code: of each example only the k largest activations are kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..distributions import Point
from ..processes import batch_mean
from .base import Projection
from .point import PointHead

__all__ = ["TopKHead", "top_k_mask"]

DUTY_DECAY = 0.95
"""Of the running share of examples in which a unit is kept: a memory of some twenty steps."""

RARE = 0.1
"""A unit is favoured while it is kept in less than this share of the examples in which it would be in its turn."""

DEAD = 0.01
"""A unit is dead that is kept in less than this share of them."""

REVIVAL = 0.02
"""By how much a rare unit's advantage grows in a step, in root mean squares of all activations."""


@torch.library.custom_op("isthmus::top_k_mask", mutates_args=())
def _top_k_mask(scores: Tensor, k: Tensor) -> Tensor:
    n_kept = int(k)  # inside one operation: k may change from step to step, and no graph is compiled anew
    n_units = scores.shape[-1]
    if n_kept >= n_units:
        return torch.ones_like(scores, dtype=torch.bool)
    if scores.device.type == "cpu" and scores.dtype != torch.bfloat16:  # which NumPy does not have
        # On a CPU NumPy selects with vector instructions, in a fifth of the time for 25 of 1000.
        smallest = np.partition(scores.numpy(), n_units - n_kept, axis=-1)[..., n_units - n_kept, None]
        mask = scores >= torch.from_numpy(smallest)
        if int(mask.count_nonzero()) * n_units == n_kept * scores.numel():  # else some are equal, or not numbers
            return mask
    kept = scores.topk(n_kept, dim=-1, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, kept, value=True)


@_top_k_mask.register_fake
def _(scores: Tensor, k: Tensor) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def top_k_mask(scores: Tensor, k: Tensor | int) -> Tensor:
    """Which are the k largest of the last dimension: exactly k of them, also where some are equal.

    Args:
        scores: (..., D).
        k: how many, a number or a 0-d tensor, which may differ from call to call of a compiled graph.

    Returns:
        True for those, (..., D); no gradient passes.

    Example:
        >>> top_k_mask(torch.tensor([3.0, 1.0, 2.0, 2.0]), 2).sum()
        tensor(2)
    """
    return _top_k_mask(scores.detach(), torch.as_tensor(k))


class TopKHead(PointHead):
    r"""A deterministic code of which the k largest are kept, :math:`z = h \odot [h + b \in \mathrm{top}_k(h + b)]`.

    Use it for sparse codes whose sparsity is exactly known. While it trains, k falls linearly from all units to its
    value, so that units find their work before others crowd them out. A unit that is hardly ever kept would die, as no
    gradient reaches it. So it is given an advantage :math:`b_j \ge 0` in the choice, and in the choice alone, which
    grows with every step until the examples that it suits best keep it and it learns, and shrinks again from there:
    kept are the k largest of :math:`h + b`, with their values h. Training alone changes the advantages, most are 0.

    Args:
        n_features: width of the features.
        n_outputs: dimension D of the code.
        k: units kept in training.
        k_test: units kept in evaluation, alpha k in the paper; None is k.
        annealing_steps: steps of training over which k falls from D to its value.
        activation: before the choice; see `PointHead`.
        project: see `Head`.

    Attributes:
        duty: running share of training examples in which each unit was kept, (D,).
        advantage: b, what is added to each activation for the choice, (D,).

    Raises:
        ValueError: k or k_test below 1 or above the dimension of the code.

    References:
        Makhzani, Frey (2014). k-Sparse autoencoders. ICLR, sec. 2 and 4.2.1 (annealing of k).
        Wang et al. (2024). Auxiliary-loss-free load balancing strategy for mixture-of-experts. arXiv:2408.15664
            (an additive bias that corrects how often a unit is chosen).

    Example:
        >>> head = TopKHead(4, 10, k=3).eval()
        >>> (head(torch.randn(5, 4)).mean != 0).sum(dim=1)
        tensor([3, 3, 3, 3, 3])
    """

    duty: Tensor
    advantage: Tensor
    steps: Tensor
    spread: Tensor

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        k: int,
        *,
        k_test: int | None = None,
        annealing_steps: int = 0,
        activation: Callable[[Tensor], Tensor] | None = None,
        project: Projection | None = None,
    ) -> None:
        super().__init__(n_features, n_outputs, activation=activation, project=project)
        self.k, self.k_test, self.annealing_steps = k, k if k_test is None else k_test, annealing_steps
        if not 1 <= min(self.k, self.k_test) <= max(self.k, self.k_test) <= n_outputs:
            raise ValueError(f"Expected 1 <= k <= {n_outputs} units, got k={self.k} and k_test={self.k_test}.")
        self.register_buffer("duty", torch.full((n_outputs,), k / n_outputs))
        self.register_buffer("advantage", torch.zeros(n_outputs))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))  # of training, seen by this head
        self.register_buffer("spread", torch.ones(()))

    @property
    def dead(self) -> Tensor:
        """Units that hardly any training example kept of late, (D,) booleans."""
        return self.duty < DEAD * self.k / self.n_outputs

    def forward(self, features: Tensor) -> Point:
        """The code."""
        activations = super().forward(features).mean
        kept = top_k_mask(activations + self.advantage, self._k_now() if self.training else self.k_test)
        if self.training:
            self._watch(activations.detach(), kept)
        return Point(torch.where(kept, activations, 0.0))  # a product would leave -0.0 of negative ones

    def extra_repr(self) -> str:
        """What a checkpoint knows this head again by: a run does not go on with another k."""
        return f"k={self.k}, k_test={self.k_test}"

    def _k_now(self) -> Tensor | int:
        if not self.annealing_steps:
            return self.k
        done = (self.steps / self.annealing_steps).clamp(max=1.0)
        return (self.n_outputs + (self.k - self.n_outputs) * done).round().long()

    @torch.no_grad()
    def _watch(self, activations: Tensor, kept: Tensor) -> None:
        """Update what is known of the units; the choice in this step was made by what was known before."""
        self.duty.lerp_(batch_mean(kept.flatten(0, -2).to(self.duty.dtype)), 1 - DUTY_DECAY)
        step = REVIVAL * self.spread
        self.advantage.add_(torch.where(self.duty < RARE * self.k / self.n_outputs, step, -step)).clamp_(min=0)
        square = batch_mean(activations.flatten(0, -2).to(self.spread.dtype).square()).mean()
        self.spread.copy_(square.sqrt())
        self.steps.add_(1)

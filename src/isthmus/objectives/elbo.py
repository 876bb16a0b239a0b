"""The evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.distributions import kl_divergence

from ..model import Trace
from .base import Loss, Objective

__all__ = ["ELBO"]


@dataclass(frozen=True)
class ELBO(Objective):
    r"""Negative evidence lower bound."""

    beta: float = 1.0
    n_samples: int = 1

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The negative bound of each example."""
        rate = sum(kl_divergence(layer.q, layer.prior) for layer in trace.layers)
        return Loss(trace.distortion + self.beta * rate, terms={"distortion": trace.distortion, "rate": rate})

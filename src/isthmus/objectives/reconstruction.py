"""The objective of a plain autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..model import Trace
from .base import Loss, Objective

__all__ = ["Reconstruction"]


@dataclass(frozen=True)
class Reconstruction(Objective):
    r"""Distortion alone, :math:`-\log p(x \mid z = f(x))`, in nats summed over features.

    With a Bernoulli head it is the cross-entropy, with a fixed-variance Gaussian head the squared error in units
    of twice the variance, plus the Gaussian's constant.
    """

    n_samples: int = 1

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The distortion of each example."""
        distortion = trace.distortion
        return Loss(distortion, terms={"distortion": distortion})

"""The objective of models without a latent variable: classifiers, regression, density networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..model import Trace
from .base import Loss, Objective

__all__ = ["NegativeLogLikelihood"]


@dataclass(frozen=True)
class NegativeLogLikelihood(Objective):
    r"""What a conditional distribution misses, :math:`-\log p(y \mid x)`, in nats.

    Use it with a `Conditional` and `Rows.target`: classes, one-hot, under a `CategoricalHead` (a target of zeros alone
    is unknown and costs nothing), or real targets under a Gaussian one.

    References:
        Bishop (2006). Pattern recognition and machine learning, sec. 5.2.

    Example:
        >>> import torch
        >>> from isthmus.heads import CategoricalHead
        >>> from isthmus.model import Batch, Conditional
        >>> classifier = Conditional(nn.Identity(), CategoricalHead(3, 1, n_classes=4))
        >>> batch = Batch(torch.zeros(2, 3), target=torch.eye(4)[[0, 2]])
        >>> NegativeLogLikelihood()(classifier, batch).value.shape
        torch.Size([2])
    """

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """-log p(target|x) of each example."""
        if trace.layers:
            raise TypeError("Expected a Conditional, got a model with latent variables; use Reconstruction or ELBO.")
        return Loss(-trace.log_likelihood)

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

    Where scales are learned beside means, a row whose mean is not learned yet is taken for a noisy one, which hardly
    counts, and is never learned. `means_first` weighs rows by their variance at first, geometric mean over targets, so
    that all count alike for the means; the weights, of mean one, go over into the likelihood itself.

    Args:
        means_first: training steps over which that goes on; 0 for none. Losses of rows held out are never weighed.

    References:
        Bishop (2006). Pattern recognition and machine learning, sec. 5.2.
        Seitzer et al. (2022). On the pitfalls of heteroscedastic uncertainty estimation with probabilistic neural
        networks. ICLR.

    Example:
        >>> import torch
        >>> from isthmus.heads import CategoricalHead
        >>> from isthmus.model import Batch, Conditional
        >>> classifier = Conditional(nn.Identity(), CategoricalHead(3, 1, n_classes=4))
        >>> batch = Batch(torch.zeros(2, 3), target=torch.eye(4)[[0, 2]])
        >>> NegativeLogLikelihood()(classifier, batch).value.shape
        torch.Size([2])
    """

    means_first: int = 0

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """-log p(target|x) of each example."""
        if trace.layers:
            raise TypeError("Expected a Conditional, got a model with latent variables; use Reconstruction or ELBO.")
        value, step = -trace.log_likelihood, trace.batch.step
        if step is None or not self.means_first:
            return Loss(value)
        beta = (1 - step.to(value.dtype) / self.means_first).clamp(min=0)
        log_variance = trace.p.variance.detach().log().mean(-1)
        return Loss(value * len(value) * (beta * log_variance).softmax(0))

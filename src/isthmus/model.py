"""The core, to be read first: a batch goes in, a trace of distributions comes out.

Shapes: `B` examples, `K` Monte-Carlo samples, `D` latent dimensions, `F` features (images are flattened at the
border). `log_prob` sums over the event and never over the batch; everything is in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .distributions import Point, log_prob_per_dimension, reparameterise
from .nets import Dropout, in_turn
from .processes import batch_normal, batch_part, n_processes, rank

__all__ = ["Batch", "Conditional", "LatentVariableModel", "Layer", "Sampler", "Trace", "draw"]

Sampler = Callable[[Distribution, int], Tensor]
"""Draws K reparameterised samples, (K, B, D), from a posterior of batch shape (B,)."""


def draw(q: Distribution, n_samples: int) -> Tensor:
    """K reparameterised samples from the global generator, the same in any number of processes: the default `Sampler`.

    Of posteriors that `isthmus.distributions.reparameterise` does not know, each process draws its own.
    """
    if batch_part() is None or isinstance(q, Point):  # a point takes no noise, in any number of processes
        return q.rsample(torch.Size((n_samples,)))
    shape = torch.Size((n_samples,)) + q.batch_shape + q.event_shape
    noise = batch_normal(q.mean, shape, dim=-1 - len(q.event_shape))
    try:
        return reparameterise(q, noise)
    except TypeError:  # other noise in each process, and all generators stay alike
        return [q.rsample(torch.Size((n_samples,))) for _ in range(n_processes())][rank()]


class Batch(NamedTuple):
    """What one step sees.

    Attributes:
        x: what the encoder sees, (B, F).
        target: what is scored, (B, F).
        condition: labels or side information, (B, C), or None.
        weight: sample weights with mean 1 over the data, (B,), or None.
        step: number of the training step, a 0-d tensor for schedules inside objectives; None outside training.
        feature_weight: how much each feature's log-likelihood counts, (B, F), or None, where all count alike.
    """

    x: Tensor
    target: Tensor
    condition: Tensor | None = None
    weight: Tensor | None = None
    step: Tensor | None = None
    feature_weight: Tensor | None = None


class Layer(NamedTuple):
    """One latent layer: its posterior, the samples drawn from it, and its prior (None for a deterministic code)."""

    q: Distribution  # batch shape (B,), or (K, B) above the first layer of a hierarchy
    z: Tensor  # (K, B, D)
    prior: Distribution | None


class Trace(NamedTuple):
    """All that one forward pass computed; objectives read it and run nothing again.

    Layers are in the order in which they are drawn: posteriors of later ones may depend on samples of earlier ones.
    """

    batch: Batch
    layers: tuple[Layer, ...]
    p: Distribution  # p(x|z), batch shape (K, B); without a latent variable p(target|x), batch shape (B,)
    hidden: tuple[Tensor, ...] = ()  # the encoder's activations, layer by layer, (B, width)

    @property
    def log_likelihood(self) -> Tensor:
        """log p(x|z) of each sample, (K, B); with weights of features, the weighted sum of theirs."""
        weight = self.batch.feature_weight
        if weight is None:
            return self.p.log_prob(self.batch.target)
        return (weight * log_prob_per_dimension(self.p, self.batch.target)).sum(-1)

    @property
    def distortion(self) -> Tensor:
        """Estimate of -E_q[log p(x|z)], (B,)."""
        log_likelihood = self.log_likelihood
        return -(log_likelihood[0] if len(log_likelihood) == 1 else log_likelihood.mean(0))  # a mean of one costs time

    @property
    def log_weights(self) -> Tensor:
        """log p(x, z) - log q(z|x) of each sample, (K, B); their exponentials estimate p(x) without bias."""
        log_w = self.log_likelihood
        for q, z, prior in self.layers:
            if q is prior:  # a model without encoder: both cancel
                continue
            # A deterministic code has no density: its log_prob says so in a TypeError.
            log_w = log_w - q.log_prob(z) + (prior.log_prob(z) if prior is not None else 0.0)
        return log_w


def _activations(net: nn.Module, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Features of a net, and the output of each of its blocks; the last one is the features, but for dropout."""
    outputs = []
    for block in in_turn(net):
        x = block(x)
        if not isinstance(block, Dropout):  # a unit is as active as it was before it is left out
            outputs.append(x)
    return x, tuple(outputs) or (x,)


class Conditional(nn.Module):
    """A conditional distribution: net, then head.

    Args:
        net: tensor (..., n_inputs) -> features. The outputs of an `nn.Sequential`'s blocks are kept as the hidden
            activations that penalties read, but for those of `isthmus.nets.Dropout`; any other module is one block.
        head: features -> `torch.distributions.Distribution`.
    """

    def __init__(self, net: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.net, self.head = net, head

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Distribution:
        """The distribution of the output given x and, joined to it, the condition."""
        return self.with_hidden(x, condition)[0]

    def with_hidden(self, x: Tensor, condition: Tensor | None = None) -> tuple[Distribution, tuple[Tensor, ...]]:
        """The same, with the activations of the net's blocks."""
        if condition is not None:
            x = torch.cat((x, condition.expand(*x.shape[:-1], -1)), dim=-1)
        features, hidden = _activations(self.net, x)
        return self.head(features), hidden

    def trace(self, batch: Batch, n_samples: int = 1, sample: Sampler = draw) -> Trace:
        """One forward pass of a model without a latent variable, such as a classifier: no layers, and p(target|x)."""
        p, hidden = self.with_hidden(batch.x, batch.condition)
        return Trace(batch, (), p, hidden)


class LatentVariableModel(nn.Module):
    r"""A latent-variable model :math:`p(x, z) = p(z)\,p(x|z)` with an amortised posterior :math:`q(z|x)`.

    Args:
        encoder: x -> q(z|x); None means q is the prior.
        decoder: z -> p(x|z).
        prior: batch -> p(z); None for a deterministic code.
    """

    def __init__(self, encoder: Conditional | None, decoder: Conditional, prior: nn.Module | None) -> None:
        super().__init__()
        if encoder is None and prior is None:
            raise ValueError("Expected an encoder or a prior, got neither; use a prior to draw codes from.")
        self.encoder, self.decoder, self.prior = encoder, decoder, prior

    def trace(self, batch: Batch, n_samples: int = 1, sample: Sampler = draw) -> Trace:
        """One forward pass with K samples of z; hierarchical models override it and add layers."""
        prior = self.prior(batch) if self.prior is not None else None
        q, hidden = prior, ()
        if self.encoder is not None:
            q, hidden = self.encoder.with_hidden(batch.x, batch.condition)
        z = sample(q, n_samples)  # type: ignore[arg-type]  # never None: see __init__
        return Trace(batch, (Layer(q, z, prior),), self.decoder(z, batch.condition), hidden)  # type: ignore[arg-type]

"""Gradients by way of samples, apart from those straight to a posterior's parameters: what estimators are made of.

Of a hierarchy with several layers of codes, posteriors and samples are sequences in the order in which they are drawn:
the posterior of a later layer may depend on samples of earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["Posteriors", "Samples", "log_prob_of", "own_log_prob", "path_log_prob", "scale_path_gradient"]

Posteriors = Distribution | Sequence[Distribution]
"""A posterior, or those of the layers of a hierarchy."""

Samples = Tensor | Sequence[Tensor]
"""Samples from it, (K, ..., D), or those of each layer."""


def log_prob_of(q: Posteriors, z: Samples) -> Tensor:
    """Log q(z) of each sample, nats, (K, ...); of a hierarchy the sum over its layers, which is that of all together.

    Raises:
        ValueError: not as many posteriors as samples.
    """
    posteriors, samples = _layers(q, z)
    log_q = posteriors[0].log_prob(samples[0])
    for posterior, sample in zip(posteriors[1:], samples[1:], strict=True):
        log_q = log_q + posterior.log_prob(sample)
    return log_q


def path_log_prob(q: Posteriors, z: Samples) -> Tensor:
    r""":math:`\log q(z)` with its gradient to z only, and none to q's own parameters.

    At the true posterior :math:`\log p(x, z) - \log q(z)` is constant in z, and a gradient that only comes by way of z
    is exactly 0 for every sample: the estimator sticks the landing. What is left out has expectation 0.

    Args:
        q: a posterior whose parameters do not depend on z; of a hierarchy those of its layers, in the order in which
            they are drawn, each of which may depend on samples of earlier layers.
        z: samples from it, (K, ..., D), or those of each layer.

    Returns:
        Nats, (K, ...).

    Raises:
        ValueError: layers in another order.

    References:
        Roeder, Wu, Duvenaud (2017). Sticking the landing: simple, lower-variance gradient estimators for variational
            inference. NeurIPS, eq. 7.
        Bauer, Mnih (2021). Generalized doubly reparameterized gradient estimators. ICML (hierarchies).

    Example:
        >>> from isthmus.distributions import normal
        >>> mean = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> q = normal(mean, torch.ones(2))
        >>> torch.autograd.grad(path_log_prob(q, q.rsample((5,))).sum(), mean)[0].abs().sum() > 0  # by way of z
        tensor(True)
        >>> path_log_prob(q, torch.zeros(5, 2)).requires_grad
        False
    """
    log_q = log_prob_of(q, z)
    return log_q.detach() + _path(log_q, *_layers(q, z))


def own_log_prob(q: Posteriors, z: Samples) -> Tensor:
    """Log q(z) with its gradient to q's own parameters only, the score: what `path_log_prob` leaves out."""
    posteriors, samples = _layers(q, z)
    if len(samples) == 1:
        return posteriors[0].log_prob(samples[0].detach())
    log_q = log_prob_of(q, z)  # parameters of a layer depend on samples of others
    return log_q - _path(log_q, posteriors, samples)


def scale_path_gradient(bound: Tensor, z: Samples, factor: Tensor | float) -> Tensor:
    """The same bound, whose gradient by way of z is multiplied by a factor of each sample; others are left alone.

    Examples are taken not to touch each other, as they do in batch normalisation.

    Args:
        bound: of each example, (...), a function of z.
        z: samples, (K, ..., D), or those of each layer.
        factor: 0 removes the path, 1 leaves it; (K, ...).

    Returns:
        Nats, (...).
    """
    samples = (z,) if isinstance(z, Tensor) else tuple(z)
    factor = factor.detach().unsqueeze(-1) if isinstance(factor, Tensor) else factor
    paths = [_along((factor - 1.0) * slope, z, 1).sum(0) for slope, z in filter(None, _slopes(bound, samples))]
    return sum(paths, start=bound)


def _path(value: Tensor, posteriors: tuple[Distribution, ...], samples: tuple[Tensor, ...]) -> Tensor | float:
    """Zero, with the gradient of value by way of samples."""
    slopes = _slopes(value, samples)
    n_events = [len(posterior.event_shape) for posterior in posteriors]
    return sum((_along(*found, n) for found, n in zip(slopes, n_events, strict=True) if found is not None), start=0.0)


def _slopes(value: Tensor, samples: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor] | None]:
    """For each layer, the derivative of value's sum to its samples, those of others held still, and the samples.

    From the last layer to the first: what goes by way of later samples is taken off, so that it is counted once.
    """
    found: list[tuple[Tensor, Tensor] | None] = [None] * len(samples)
    if not (value.requires_grad and torch.is_grad_enabled()):
        return found
    rest = value.sum()
    for i in range(len(samples) - 1, -1, -1):
        if not samples[i].requires_grad:
            continue
        slope = _derivative(rest, samples[i])
        if slope is None:  # a decoder that does not read its code
            continue
        found[i] = slope, samples[i]
        if i:
            _check_order(samples[:i], samples[i])
            rest = rest - (slope * samples[i]).sum()
    return found


def _derivative(value: Tensor, sample: Tensor) -> Tensor | None:
    """Of value to samples; only what lies between the two is walked."""
    # Of that nothing is needed again, but the compiler can't know.
    (slope,) = torch.autograd.grad(value, sample, retain_graph=True, allow_unused=True)
    return None if slope is None else slope.detach()


def _check_order(earlier: tuple[Tensor, ...], sample: Tensor) -> None:
    if any(other.requires_grad and _derivative(other.sum(), sample) is not None for other in earlier):
        raise ValueError(
            "Expected layers in the order in which they are drawn, got samples that depend on those of a later layer; "
            "put layers that are drawn first into the trace first."
        )


def _along(slope: Tensor, sample: Tensor, n_event: int) -> Tensor:
    """Zero, with this gradient to samples."""
    return (slope * (sample - sample.detach())).sum(tuple(range(-n_event, 0)))


def _layers(q: Posteriors, z: Samples) -> tuple[tuple[Distribution, ...], tuple[Tensor, ...]]:
    if isinstance(q, Distribution):
        posteriors: tuple[Distribution, ...] = (q,)
    else:
        posteriors = tuple(q)
    samples = (z,) if isinstance(z, Tensor) else tuple(z)
    if not len(posteriors) == len(samples) > 0:
        raise ValueError(f"Expected samples of each layer, got {len(samples)} for {len(posteriors)} posteriors.")
    return posteriors, samples

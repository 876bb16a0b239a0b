"""Adam along a cosine, for tensors that hold many small networks at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import torch
from torch import Tensor

from .likelihoods import InputNoise, OutputLikelihood
from .network import Network, Perturb

__all__ = ["descend", "row_batches", "train_networks"]


def descend(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, n_steps: int, learning_rate: float
) -> list[float]:
    """Minimise a loss by Adam, in place; the step size falls along a cosine to zero, so that noise dies out.

    Args:
        loss: of the parameters as they are; summed over networks, which do not disturb each other: Adam's steps do not
            depend on the size of a gradient.
        parameters: leaf tensors that require gradients.
        n_steps: steps.
        learning_rate: largest change of a parameter in a step.

    Returns:
        The losses, one a step.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99))
    losses = []
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * learning_rate * (1 + math.cos(math.pi * step / n_steps))
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"Expected a finite loss, got {losses[-1]} in step {step + 1}; use a smaller learning_rate."
            )
    return losses


def row_batches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor | slice]:
    """Row numbers of batches without end, in a new order each time round; all rows where a batch holds them."""
    while True:
        if batch_size >= n:
            yield slice(None)
            continue
        order = torch.randperm(n, generator=generator)
        yield from (order[i : i + batch_size] for i in range(0, n - batch_size + 1, batch_size))


def train_networks(
    network: Network,
    likelihood: OutputLikelihood,
    x: Tensor,
    y: Tensor,
    vectors: Tensor,
    noise: Tensor,
    precision: Tensor,
    *,
    generator: torch.Generator,
    n_steps: int,
    learning_rate: float,
    batch_size: int,
    learn_noise: bool = True,
    perturb: Perturb | None = None,
    means_first: bool = False,
) -> tuple[Tensor, Tensor, list[float]]:
    r"""Most probable weights of M networks at once, :math:`\min -\log p(y|x, w) + \frac12 \sum_j \alpha_j w_j^2`.

    Args:
        network: the architecture.
        likelihood: of its outputs.
        x: rows (n, inputs).
        y: targets (n, ...).
        vectors: where to start, (M, P).
        noise: log-scales of the noise, (M, n_noise).
        precision: of the prior of each weight, (M, P) or what broadcasts to it.
        generator: of the order of rows.
        n_steps: see `descend`.
        learning_rate: likewise.
        batch_size: rows a step.
        learn_noise: whether noise is learned too, by maximum likelihood.
        perturb: see `Network`.
        means_first: where noise depends on the input, weigh rows by its variance at first, which goes over into the
            likelihood itself by the middle of the steps; see `InputNoise.evened`.

    Returns:
        Weights (M, P), noise (M, n_noise), and the losses.
    """
    vectors, noise = vectors.clone().requires_grad_(), noise.clone().requires_grad_(learn_noise)
    batches, n = row_batches(len(x), batch_size, generator), len(x)

    steps = count()

    def loss() -> Tensor:
        rows, beta = next(batches), 1 - 2 * next(steps) / n_steps
        outputs = network(vectors, x[rows], perturb)
        if means_first and beta > 0 and isinstance(likelihood, InputNoise):
            fit = likelihood.evened(outputs, y[rows], beta)
        else:
            fit = likelihood.log_likelihood(outputs, y[rows], noise)
        return 0.5 * (precision * vectors.square()).sum() - fit.sum() * (n / fit.shape[-1])

    learned = [vectors, noise] if learn_noise and noise.numel() else [vectors]
    losses = descend(loss, learned, n_steps=n_steps, learning_rate=learning_rate)
    return vectors.detach(), noise.detach(), losses

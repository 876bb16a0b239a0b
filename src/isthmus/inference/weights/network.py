"""Fully connected networks as functions of one vector of weights, and many of them at once on a leading axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["ACTIVATIONS", "Network", "Perturb"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
}
"""Activations of hidden units by name."""

Perturb = Callable[[int, Tensor], Tensor]
"""What is done to the input of each layer, by its number: dropout, for instance."""


@dataclass(frozen=True)
class Network:
    r"""A fully connected network, :math:`f(x) = W_L a(\dots a(W_1 x + b_1)) + b_L`, of a flat vector of weights.

    Use it where weights are random variables: densities, curvatures and perturbations are of one vector. Vectors may
    have a leading axis of M networks, which then are evaluated at once.

    Args:
        widths: inputs, hidden layers, outputs; two of them are a linear map.
        activation: of hidden units.

    Raises:
        ValueError: fewer than two widths, or one below 1, or an unknown activation.

    Example:
        >>> network = Network((3, 5, 1))
        >>> network.n_parameters, network(torch.zeros(4, 26), torch.zeros(7, 3)).shape
        (26, torch.Size([4, 7, 1]))
    """

    widths: tuple[int, ...]
    activation: str = "relu"

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"Expected at least two widths >= 1, got {self.widths}.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"Expected activation as one of {', '.join(ACTIVATIONS)}, got {self.activation!r}.")

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        return list(pairwise(self.widths))

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.sizes)

    @property
    def n_last(self) -> int:
        """Weights and biases of the last layer, which stand last in the vector."""
        inputs, outputs = self.sizes[-1]
        return (inputs + 1) * outputs

    def layers(self, vector: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights (..., inputs, outputs) and biases (..., outputs) of each layer, as views of vectors (..., P)."""
        lengths = [length for inputs, outputs in self.sizes for length in (inputs * outputs, outputs)]
        parts = vector.split(lengths, -1)  # at once: each slice alone has a gradient of all weights
        return [
            (weight.unflatten(-1, size), bias)
            for size, weight, bias in zip(self.sizes, parts[::2], parts[1::2], strict=True)
        ]

    def activate(self, sums: Tensor) -> Tensor:
        """Hidden units of their weighted sums."""
        return ACTIVATIONS[self.activation](sums)

    def __call__(self, vector: Tensor, x: Tensor, perturb: Perturb | None = None) -> Tensor:
        """Outputs.

        Args:
            vector: weights, (P,) or (M, P).
            x: rows, (n, inputs), the same for all networks, or (M, n, inputs).
            perturb: what is done to the input of each layer.

        Returns:
            (n, outputs), or (M, n, outputs).
        """
        *hidden, (weight, bias) = self.layers(vector)
        for i, (w, b) in enumerate(hidden):
            x = self.activate(_affine(x if perturb is None else perturb(i, x), w, b))
        return _affine(x if perturb is None else perturb(len(hidden), x), weight, bias)

    def features(self, vector: Tensor, x: Tensor) -> Tensor:
        """The last hidden layer and a one for the bias, (..., n, width + 1): the outputs are a linear map of them."""
        for w, b in self.layers(vector)[:-1]:
            x = self.activate(_affine(x, w, b))
        return torch.cat((x, torch.ones_like(x[..., :1])), -1)

    def initial(self, n_networks: int, generator: torch.Generator) -> Tensor:
        """Random weights (M, P), of variance 2 / inputs for ReLU units and 1 / inputs for others; biases are zero."""
        parts = []
        for inputs, outputs in self.sizes:
            gain = 2.0 if self.activation == "relu" and len(parts) < 2 * (len(self.sizes) - 1) else 1.0
            noise = torch.randn(n_networks, inputs * outputs, generator=generator, device=generator.device)
            parts += [math.sqrt(gain / inputs) * noise, torch.zeros(n_networks, outputs, device=noise.device)]
        return torch.cat(parts, 1)

    def groups(self, each_input: bool = False) -> Tensor:
        """Numbers (P,) of groups that share a prior: each layer's weights, each layer's biases.

        Args:
            each_input: the first layer's weights in a group for each input, so that the posterior finds out which
                inputs matter (automatic relevance determination).
        """
        numbers, n_groups = [], 0
        for i, (inputs, outputs) in enumerate(self.sizes):
            rows = torch.arange(inputs) if each_input and i == 0 else torch.zeros(inputs, dtype=torch.long)
            numbers += [n_groups + rows.repeat_interleave(outputs)]
            n_groups += int(rows.max()) + 1
            numbers += [torch.full((outputs,), n_groups)]
            n_groups += 1
        return torch.cat(numbers)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W + b, in one pass over memory where there are several networks."""
    if weight.ndim != 3:
        return x @ weight + bias.unsqueeze(-2)
    return torch.baddbmm(bias.unsqueeze(-2), x.expand(len(weight), *x.shape[-2:]), weight)

"""The contractive penalty: codes that hardly move where inputs do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..model import Conditional, LatentVariableModel, Trace
from ..processes import batch_uniform
from .base import Loss
from .jacobian import one_layer_norm, pulled_back

__all__ = ["Contractive"]


@dataclass(frozen=True)
class Contractive:
    r"""Penalty on the squared norm of the encoder's Jacobian, :math:`\lambda \|\partial f(x) / \partial x\|_F^2`.

    Use it for codes that keep only those directions of the data that reconstruction needs. Taken at what the encoder
    saw, so that with `Denoising` it is at the corrupted input.

    For one layer, :math:`f(x) = a(W x + b)`, it is exact, :math:`\sum_j a'(z_j)^2 \|W_j\|^2`, and nearly free. For
    deeper encoders it is estimated without bias: the units of the code are dealt out to `n_directions` groups, each
    group gets random signs :math:`s`, and :math:`E_s \|s^T J\|^2` is the sum of its units' squared gradients. With as
    many groups as units nothing is random any more, and it is exact. Fully connected encoders whose activations are
    sigmoid, tanh, ReLU, leaky ReLU or the identity need one more pass through their layers for each group; others
    (convolutions, own networks, further activations) run again under automatic differentiation.

    Weights of the encoder that shrink while those of the decoder grow lower it without changing what the model does;
    a sigmoid code or tied weights keep it honest, as in the paper, which has both.

    Args:
        weight: lambda, in nats for a Jacobian of squared norm 1, inputs and codes being in the model's units.
        n_directions: groups of the estimator for deep encoders: its variance falls with them, its cost rises.

    Raises:
        ValueError: values out of range.

    References:
        Rifai, Vincent, Muller, Glorot, Bengio (2011). Contractive auto-encoders: explicit invariance during feature
            extraction. ICML, eq. 6 (the objective), eq. 9 (closed form for one layer).
        Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines.

    Example:
        >>> from isthmus.objectives import Reconstruction
        >>> objective = Reconstruction() + Contractive(weight=0.1)
        >>> objective.penalties[0].n_directions
        1
    """

    weight: float = 1.0
    n_directions: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"Expected a weight >= 0, got {self.weight}.")
        if self.n_directions < 1:
            raise ValueError(f"Expected n_directions >= 1, got {self.n_directions}.")

    def __call__(self, trace: Trace, model: nn.Module) -> Loss:
        """The penalty of each example; the term "contraction" is the squared norm without its weight."""
        encoder = cast(LatentVariableModel, model).encoder
        if encoder is None:
            raise ValueError("Expected a model with an encoder for the contractive penalty, got none.")
        norm = self._squared_norm(trace, encoder)
        return Loss(self.weight * norm, terms={"contraction": norm})

    def _squared_norm(self, trace: Trace, encoder: Conditional) -> Tensor:
        (x, _, condition, *_), code = trace.batch, trace.layers[0].q.mean
        norm = one_layer_norm(encoder, code, x.shape[-1])
        if norm is not None:
            return norm
        directions, outputs = self._directions(code), (*trace.hidden, code)
        create_graph = torch.is_grad_enabled()
        return pulled_back(encoder, x, condition, outputs, directions, create_graph=create_graph).square().sum((0, -1))

    def _directions(self, code: Tensor) -> Tensor:
        """Random signs of the units, group by group, (n_groups, B, D); of groups of one unit, signs do not matter."""
        n_units = code.shape[-1]
        n_groups = min(self.n_directions, n_units)
        numbers = torch.arange(n_units, device=code.device) % n_groups
        groups = (numbers == torch.arange(n_groups, device=code.device)[:, None]).to(code.dtype)[:, None]
        if n_groups == n_units:
            return groups.expand(-1, len(code), -1)
        return groups * torch.where(batch_uniform(code.detach()) < 0.5, -1.0, 1.0).to(code.dtype)

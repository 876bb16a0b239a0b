"""Muon: matrices move along the orthogonal matrix nearest to their momentum, everything else by Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .adam import move_by_adam
from .base import Optimizer

__all__ = ["Muon", "orthogonalised"]

MOMENTUM = 0.95
"""Of matrices, with Nesterov's look ahead, as published."""


class Muon(Optimizer):
    r"""Steps of matrices along :math:`O \approx UV^\top`, where :math:`USV^\top` is their momentum's singular values.

    .. math:: b \leftarrow \mu b + (1 - \mu) g, \quad O = \mathrm{NewtonSchulz}(\mu b + (1 - \mu) g), \quad
        w \leftarrow w - 0.2 \sqrt{\max(\text{rows}, \text{columns})}\; \eta\, O

    All directions of a matrix move alike, also those in which its gradients are small. The factor makes an update as
    large as Adam's, so that Adam's learning rate suits. Kernels of convolutions count as matrices (outputs, the rest);
    biases and other vectors move by Adam. It often needs fewer epochs than Adam; a step costs 15
    products of matrices of the weights' size, which a GPU hides and a CPU doesn't.

    References:
        Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein (2024). Muon: an optimizer for hidden layers in neural
        networks.
        Liu, Su, and others (2025). Muon is scalable for LLM training. arXiv 2502.16982.
    """

    name = "muon"

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float = 0.0) -> None:
        super().__init__(parameters, weight_decay)
        self._vectors = [i for i, parameter in enumerate(self.parameters) if parameter.dim() < 2]
        self._matrices = [i for i, parameter in enumerate(self.parameters) if parameter.dim() > 1]
        vectors = [self.parameters[i] for i in self._vectors]
        self.moments = {
            "momentum": [torch.zeros_like(self.parameters[i]) for i in self._matrices],
            "mean": [torch.zeros_like(vector) for vector in vectors],
            "square": [torch.zeros_like(vector) for vector in vectors],
        }
        self._products = _type_of_products(self.committed.device)

    def _move(self, gradients: list[Tensor], learning_rate: float, failed: Tensor) -> None:
        vectors, their_gradients = ([those[i] for i in self._vectors] for those in (self.parameters, gradients))
        move_by_adam(vectors, their_gradients, self.moments, self.committed, learning_rate, failed)
        # A choice, and no product with 0: what failed may be NaN.
        good = failed == 0
        ahead: dict[tuple[int, ...], list[Tensor]] = {}
        for i, momentum in zip(self._matrices, self.moments["momentum"], strict=True):
            gradient = gradients[i]
            momentum.copy_(torch.where(good, momentum.lerp(gradient, 1 - MOMENTUM), momentum))
            matrix = _wide(gradient.lerp(momentum, MOMENTUM))
            ahead.setdefault(tuple(matrix.shape), []).append(matrix.to(self._products))
        # Matrices of one shape together: a GPU does them at once.
        moves = {shape: iter(orthogonalised(torch.stack(those))) for shape, those in ahead.items()}
        for i in self._matrices:
            parameter = self.parameters[i]
            flat = parameter.flatten(1)
            move = next(moves[tuple(sorted(flat.shape))])
            move = (move if _is_wide(flat) else move.T).reshape(parameter.shape).to(parameter.dtype)
            scale = 0.2 * math.sqrt(max(flat.shape)) * learning_rate
            parameter.copy_(torch.where(good, parameter.sub(move, alpha=scale), parameter))


def orthogonalised(matrices: Tensor) -> Tensor:
    r"""Wide matrices :math:`USV^\top` with their singular values brought near 1, by five steps of Newton and Schulz.

    .. math:: X \leftarrow 3.4445\, X - 4.7750\, (XX^\top) X + 2.0315\, (XX^\top)^2 X

    The coefficients are those published with Muon: small singular values grow as fast as can be, and all end between
    about 0.7 and 1.2, which serves as well as 1.

    Args:
        matrices: (count, rows, columns), rows <= columns.

    Returns:
        The same shape and type.
    """
    matrices = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = matrices @ matrices.mT
        gram = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        matrices = torch.baddbmm(matrices, gram, matrices, beta=3.4445)
    return matrices


def _is_wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _wide(tensor: Tensor) -> Tensor:
    """As a matrix with no more rows than columns."""
    matrix = tensor.flatten(1)
    return matrix if _is_wide(matrix) else matrix.T


def _type_of_products(device: torch.device) -> torch.dtype:
    """bfloat16, which is precise enough for Newton and Schulz, where the device has it; else float32."""
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported()
    else:
        has_it = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if has_it else torch.float32

"""How far codes move where inputs do."""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributions import at_least_float32
from ..model import LatentVariableModel
from ..objectives.jacobian import one_layer_norm, pulled_back
from .chunks import device_of, evaluating, map_rows

__all__ = ["jacobian_norm"]

BLOCK = 2**24
"""Numbers of a block of gradients: 64 MB."""


def jacobian_norm(model: LatentVariableModel, x: Tensor, condition: Tensor | None = None) -> Tensor:
    r"""Frobenius norm of the encoder's Jacobian at each row, :math:`\|\partial f(x) / \partial x\|_F`, exactly.

    How much a code (or the mean of q(z|x)) moves where the input moves a little in a random direction. Contractive and
    denoising autoencoders make it small. It scales with the code, so compare codes of one range, such as sigmoid ones.

    Args:
        model: with an encoder.
        x: rows in the model's units, (n, F).
        condition: what the encoder sees beside x, (n, C), or None.

    Returns:
        Units of the code per unit of the model's input, (n,).

    Raises:
        ValueError: a model without encoder.

    References:
        Rifai et al. (2011). Contractive auto-encoders. ICML, sec. 5.2 (mean norms of trained models).

    Example:
        >>> from isthmus.heads import FixedGaussianHead, PointHead
        >>> from isthmus.model import Conditional
        >>> encoder = Conditional(torch.nn.Identity(), PointHead(6, 2))
        >>> decoder = Conditional(torch.nn.Identity(), FixedGaussianHead(2, 6))
        >>> norm = jacobian_norm(LatentVariableModel(encoder, decoder, None), torch.zeros(3, 6))
        >>> torch.allclose(norm, encoder.head.project.weight.norm().expand(3))
        True
    """
    encoder = model.encoder
    if encoder is None:
        raise ValueError("Expected a model with an encoder, got none.")

    def norms(x: Tensor, condition: Tensor | None) -> Tensor:
        with torch.inference_mode(mode=False), torch.no_grad():  # of whose tensors nothing can be differentiated
            x, condition = x.clone(), None if condition is None else condition.clone()
            q, hidden = encoder.with_hidden(x, condition)
            code = at_least_float32(q.mean)
            squares = one_layer_norm(encoder, code, x.shape[-1])
            if squares is None:
                squares = torch.zeros_like(code[:, 0])
                for units in torch.eye(code.shape[-1]).to(code).split(max(1, BLOCK // x.numel())):
                    directions = units[:, None].expand(-1, len(x), -1)
                    squares += pulled_back(encoder, x, condition, (*hidden, code), directions).square().sum((0, -1))
            return squares.sqrt()

    with evaluating(model):
        return map_rows(norms, x, condition, device=device_of(model))[0]

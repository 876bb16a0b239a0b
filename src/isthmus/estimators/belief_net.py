"""Rows drawn from a deep belief net: restricted Boltzmann machines on top of each other, as one model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..boltzmann import RestrictedBoltzmannMachine
from ..heads import FixedGaussianHead
from ..model import LatentVariableModel
from ..nets import blocks_of

__all__ = ["belief_net_rows"]


@torch.no_grad()
def belief_net_rows(model: LatentVariableModel, n_samples: int, n_steps: int) -> Tensor:
    r"""Rows from :math:`p(x, h_1, \dots, h_L) = p(x|h_1) \cdots p(h_{L-2}|h_{L-1})\, p(h_{L-1}, h_L)`.

    The top two layers are an RBM, whose units are drawn at the end of Gibbs chains that begin at random; the others are
    drawn downwards, each given the one above.

    Args:
        model: RBMs `unrolled`, and not trained since: then the layers' weights are both ways the same.
        n_samples: rows.
        n_steps: of each chain.

    Returns:
        Means of p(x|h_1) in the model's units, (n_samples, n_features), by the global random generator.

    References:
        Hinton, Osindero, Teh (2006). A fast learning algorithm for deep belief nets. Neural Computation 18.
    """
    encoder: Any = model.encoder
    decoder: Any = model.decoder
    downwards: list[Any] = [*(block.head for block in blocks_of(decoder.net)), decoder.head]
    weights, back = encoder.head.project, downwards[0].project
    top = RestrictedBoltzmannMachine(
        weights.in_features,
        weights.out_features,
        visible="gaussian" if isinstance(downwards[0], FixedGaussianHead) else "bernoulli",
        hidden="gaussian" if encoder.head.activation is None else "bernoulli",
    ).to(weights.weight)
    top.weights.load_state_dict(weights.state_dict())
    top.visible_bias.copy_(back.bias)
    v = top.sample_visible(weights.bias.new_zeros(n_samples, weights.out_features))
    h = top.sample_hidden(top.gibbs(v, n_steps - 1))
    for head in downwards[:-1]:
        h = torch.bernoulli(head(h).mean)
    return downwards[-1](h).mean

"""The networks that benchmarks train, and the way of weights from one library into another.

Weights travel as a list of arrays in one order: the encoder's layers, its mean, its log-variance, the decoder's layers,
its logits; each weight before its bias.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from isthmus.distributions import normal
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.heads.base import Head
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP, ConvDecoder, ConvEncoder
from isthmus.priors import StandardNormal

D, H, K = 784, 512, 20
IMAGE, CHANNELS = (1, 28, 28), (16, 32)


class LogVarianceHead(Head):
    """The posterior as pythae and the tutorials have it, without Isthmus' floor: weights mean the same in all."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs, 2)

    def forward(self, features: Tensor) -> Distribution:
        """N(mean, exp(log-variance))."""
        mean, log_variance = self.project_to_parameters(features)
        return normal(mean, (0.5 * log_variance).exp())


def vae(network: str = "mlp", posterior: type[nn.Module] = GaussianHead) -> LatentVariableModel:
    """784-512-20 and back ("mlp"), or two convolutions and back ("conv"), always from the same random weights."""
    torch.manual_seed(0)
    if network == "mlp":
        encoder, decoder, project = MLP(D, (H,)), MLP(K, (H,)), None
    else:
        encoder, decoder = ConvEncoder(IMAGE, CHANNELS), ConvDecoder(K, IMAGE, CHANNELS)
        project = decoder.project
    likelihood = BernoulliHead(decoder.n_features, D, project=project)
    return LatentVariableModel(
        Conditional(encoder, posterior(encoder.n_features, K)), Conditional(decoder, likelihood), StandardNormal(K)
    )


def tensors_of(model: LatentVariableModel) -> list[np.ndarray]:
    """A model's weights in the common order."""
    encoder, decoder = model.encoder, model.decoder
    parts = [encoder.head.project.weight.chunk(2), encoder.head.project.bias.chunk(2)]
    head = [tensor for pair in zip(*parts, strict=True) for tensor in pair]
    every = [*encoder.net.parameters(), *head, *decoder.net.parameters(), *decoder.head.parameters()]
    return [tensor.detach().numpy() for tensor in every]


def with_tensors(model: LatentVariableModel, arrays: list[np.ndarray]) -> LatentVariableModel:
    """The model with weights in the common order."""
    n = len(list(model.encoder.net.parameters()))
    mean, bias, log_variance, log_bias = arrays[n : n + 4]
    arrays = [*arrays[:n], np.concatenate([mean, log_variance]), np.concatenate([bias, log_bias]), *arrays[n + 4 :]]
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array))
    return model.eval()

"""The plain autoencoder: squeeze rows through a narrow code and get them back."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from torch import nn

from ..heads import PointHead
from ..model import LatentVariableModel
from ..nets import activation_module
from ..objectives import Objective, Reconstruction
from .network import BaseAutoencoder

__all__ = ["Autoencoder"]


@dataclass(eq=False, repr=False)
class Autoencoder(BaseAutoencoder):
    r"""Autoencoder: a code f(x) from which p(x | z = f(x)) gives x back.

    Minimises :math:`-\log p(x \mid f(x))`, in nats summed over features: the cross-entropy for data in [0, 1], half
    the squared error (in the model's units) otherwise. Use it for compact features and for reconstruction errors;
    for samples, or for a likelihood, use `VAE`. With `hidden=()` and `likelihood="fixed_gaussian"` it is linear, and
    its code spans the subspace of PCA.

    Args:
        n_components: dimension of the code.
        code_activation: of the code: with "sigmoid" each unit is an activity in [0, 1].
        tied: the decoder's weights are the encoder's, transposed: half as many, and no scale to trade between the two.
        hidden, activation, encoder, decoder, likelihood, max_epochs, batch_size, learning_rate, ...: see
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch, in nats.
        prior_: distribution of the codes, once `fit_prior` was called.

    References:
        Rumelhart, Hinton, Williams (1986). Learning internal representations by error propagation.
        Hinton, Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = Autoencoder(n_components=4, hidden=(32,), max_epochs=1, random_state=0).fit(X)
        >>> model.transform(X).shape, model.fit_prior(X).sample(3).shape
        ((1797, 4), (3, 64))
    """

    _: KW_ONLY
    code_activation: Literal["identity", "relu", "leaky_relu", "sigmoid", "tanh"] = "identity"
    tied: bool = False

    real_likelihood: ClassVar[str] = "fixed_gaussian"

    def _model(self, n_features: int) -> LatentVariableModel:
        encoder = self._encoder(n_features, self._code_head)
        return LatentVariableModel(encoder, self._decoder(n_features, encoder if self.tied else None), prior=None)

    def _code_head(self, n_features: int, n_components: int) -> nn.Module:
        """From the encoder's features to the code."""
        return PointHead(n_features, n_components, activation=self._activation_of_code())

    def _activation_of_code(self) -> nn.Module | None:
        """A fresh module, None where the code is as its map gives it."""
        return None if self.code_activation == "identity" else activation_module(self.code_activation)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        own = self.encoder is not None or self.decoder is not None
        if self.tied and (own or self.architecture != "mlp" or self.sharded):
            raise ValueError(
                "Expected fully connected layers in one piece for tied weights, got own networks, convolutions or "
                "sharded=True; use tied=False."
            )

    def _objective(self) -> Objective:
        return Reconstruction()

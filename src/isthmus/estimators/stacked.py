"""The stacked autoencoder: layers trained one after the other, then unrolled and fine-tuned as a whole."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..evaluation.chunks import device_of
from ..model import LatentVariableModel
from ..objectives import Objective
from ..training import Rows, Scaling, Settings
from ..training.stream import Stream
from .architecture import hidden_widths
from .autoencoder import Autoencoder
from .belief_net import belief_net_rows
from .common import random_generator, seeded_noise
from .network import BaseAutoencoder
from .parameters import fits
from .pretraining import LayerKind, checked_layers, layer_records, make_layers, one_per_layer, train_layers
from .unrolled import unrolled

__all__ = ["StackedAutoencoder"]

GIBBS_STEPS = 1000
"""In the top layer of a deep belief net, before a sample is taken."""


@dataclass(eq=False, repr=False)
class StackedAutoencoder(Autoencoder):
    r"""Deep autoencoder that is trained layer by layer, then unrolled and fine-tuned as a whole.

    Layer l learns :math:`h_l = e_l(h_{l-1})` from the codes of the one below, :math:`\min E[-\log p_l(h_{l-1} \mid
    d_l(h_l))]`, while what is below stays as it is. Then :math:`d_1 \circ \dots \circ d_L \circ e_L \circ \dots \circ
    e_1` is trained on rows, in nats summed over features, as an `Autoencoder`. Use it for deep and narrow networks of
    sigmoid units, which training alone leaves at the mean of the data, and for few or noisy rows; ReLU networks of
    today's size seldom need it.

    Codes of sigmoid units count as probabilities for the layer above, which minimises their cross-entropy; other codes
    are reconstructed by squared error, through the activation that they came from.

    With `layer="rbm"` and a real code it is Hinton and Salakhutdinov's autoencoder (RBMs, the top one with Gaussian
    hidden units); with `layer="rbm"`, `code_activation="sigmoid"` and `fine_tune=False` a deep belief net, which
    `sample` draws from: by Gibbs steps in the top RBM, then downwards.

    Args:
        n_components: dimension of the code, the top layer's.
        hidden: widths of the other layers, from the data upwards: (1000, 500, 250) and 30 components make four layers.
        layer: what is trained in each place: "autoencoder", "denoising", "sparse", "contractive", "k-sparse" or "rbm",
            each with its defaults; in Python also an estimator, whose own parameters (corruption, learning_rate, ...)
            count, but for widths, activations, likelihood and what is a parameter here; a tuple has one for each layer.
        layer_epochs: passes over the data to train each layer.
        fine_tune: train the whole for max_epochs afterwards.
        activation: of the codes of all layers but the top one: "sigmoid", "relu", "leaky_relu" or "tanh"; RBMs have
            "sigmoid".
        code_activation: of the top layer's code.
        tied: decoders have the weights of their encoders, transposed, in each layer and in fine-tuning. RBMs have it so
            in any case while they are layers.
        dropout: rate at which units of all codes but the top one's are left out in fine-tuning, on either side.
        max_epochs, learning_rate, patience, ...: of fine-tuning; see `BaseAutoencoder`.
        batch_size: examples a step, of layers and in fine-tuning.

    Attributes:
        model_: the trained `LatentVariableModel`.
        layers_: for each layer its kind, its widths, and its history, one record an epoch, in nats.
        history_: one record an epoch of fine-tuning, in nats.

    References:
        Hinton, Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.
        Bengio, Lamblin, Popovici, Larochelle (2007). Greedy layer-wise training of deep networks. NIPS 19.
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = StackedAutoencoder(8, hidden=(32, 16), layer="denoising", layer_epochs=1, max_epochs=1).fit(X)
        >>> model.transform(X).shape, [layer["widths"] for layer in model.layers_]
        ((1797, 8), [[64, 32], [32, 16], [16, 8]])
    """

    _: KW_ONLY
    layer: LayerKind | tuple[LayerKind, ...] = "autoencoder"
    layer_epochs: int = 20
    fine_tune: bool = True
    activation: Literal["sigmoid", "relu", "leaky_relu", "tanh"] = "sigmoid"

    def _model(self, n_features: int) -> LatentVariableModel:
        layers = self._layers(n_features)
        widths = self._widths(n_features)
        models = [layer._model(width) for layer, width in zip(layers, widths, strict=False)]
        return unrolled(models, tied=self.tied, dropout=self.dropout)

    def _widths(self, n_features: int) -> tuple[int, ...]:
        return (n_features, *hidden_widths(self), self.n_components)

    def _layers(self, n_features: int, seed: int = 0, likelihood: str | None = None) -> list[BaseAutoencoder]:
        """The layers, unfitted, for data of this likelihood; None is that of the data that it was fitted to."""
        widths = self._widths(n_features)
        return make_layers(
            one_per_layer(self.layer, len(widths) - 1),
            widths,
            (*[self.activation] * len(hidden_widths(self)), self.code_activation),
            likelihood=likelihood or self.likelihood_,
            scaling=getattr(self, "scaling_", Scaling()),
            title=type(self).__name__,
            seed=seed,
            max_epochs=self.layer_epochs,
            tied=self.tied,
            binarisation=self.binarisation,
            batch_size=self.batch_size,
            precision=self.precision,
            device=self.device,
            compile=self.compile,
            verbose=self.verbose,
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.encoder is not None or self.decoder is not None or self.architecture != "mlp" or self.sharded:
            raise ValueError(
                "Expected fully connected layers in one piece for layer-wise training, got own networks, convolutions "
                "or sharded=True; use Autoencoder."
            )
        if self.dropout and not self.fine_tune:
            raise ValueError(
                f"Expected fine_tune=True with dropout, which is in fine-tuning alone, got dropout={self.dropout} and "
                "fine_tune=False; use dropout=0."
            )
        if self.layer_epochs < 1:
            raise ValueError(f"Expected layer_epochs >= 1, got {self.layer_epochs}.")
        self._layers(1, likelihood="bernoulli" if self.likelihood == "auto" else self.likelihood)  # checked there

    def _train(
        self, objective: Objective, train: Rows | Stream, held_out: Rows | None, settings: Settings,
        folder: str | Path | None, resume: bool,
    ) -> list[dict[str, Any]]:  # fmt: skip
        layers = self._layers(self.n_features_in_, settings.seed)
        train_layers(
            layers,
            train.shards if isinstance(train, Stream) else self._shaped(train.x.numpy()),
            sample_weight=None if train.weight is None else train.weight.numpy(),
            validation=None if held_out is None else self._shaped(held_out.x.numpy()),
            folder=folder,
            resume=resume,
        )
        self.layers_ = layer_records(layers, self._widths(self.n_features_in_))
        models = [copy.deepcopy(layer.model_) for layer in layers]
        self.model_ = unrolled(models, tied=self.tied, dropout=self.dropout).eval()
        return super()._train(objective, train, held_out, settings, folder, resume) if self.fine_tune else []

    @property
    def is_belief_net_(self) -> bool:
        """Whether all layers are RBMs as they were trained, so that there is a distribution to draw rows from."""
        return not self.parameters_["fine_tune"] and all(layer["kind"] == "RBM" for layer in self.layers_)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Rows from the prior that was fitted to the codes, or from the deep belief net, where this is one.

        Args:
            n_samples: rows to draw.
            random_state: a seed gives the same rows again; None takes the estimator's own.

        Returns:
            Means of p(x|h), in the units and the shape of the data, (n_samples, *feature_shape_).

        Raises:
            ValueError: n_samples below 1, or nothing to draw from.
        """
        check_is_fitted(self)
        if hasattr(self, "prior_") or not self.is_belief_net_ or not fits(n_samples, int) or n_samples < 1:
            return super().sample(n_samples, random_state)
        generator = random_generator(self.random_state if random_state is None else random_state)
        with seeded_noise(generator, device_of(self.model_)):
            means = belief_net_rows(self.model_, n_samples, GIBBS_STEPS)
        return self._shaped(self.scaling_.inverse(means.cpu().double()).numpy())

    # --- files --------------------------------------------------------------------------------

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors, fitted | {"layers_": self.layers_}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        self.layers_ = checked_layers(fitted)

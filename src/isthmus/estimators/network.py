"""The base of all estimators that are trained networks: a new model names its parts and its objective."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..model import Conditional, LatentVariableModel
from ..nets import activation_module
from ..objectives import DynamicBinarisation, Objective
from ..training import Rows
from ..training.run import steps_per_epoch
from ..training.stream import Stream
from .architecture import (
    Architecture,
    check_dropout,
    decoder_network,
    encoder_network,
    hidden_widths,
    tied_network,
)
from .blocks import checked_weight, hold_out, training_data
from .likelihoods import Likelihood, check_range, choose_likelihood, choose_scaling, likelihood_head
from .trained import BaseTrained
from .training_parameters import TrainingParameters
from .weights import check_weights_fit

__all__ = ["BaseAutoencoder"]


@dataclass(eq=False, repr=False)
class BaseAutoencoder(TrainingParameters, BaseTrained):
    """Parameters and methods that all trained autoencoders share; see a leaf, such as `VAE`, for what it is.

    A leaf is a dataclass: its own parameters are its fields, and it says how to build its model and for what to
    train it. Scikit-learn sees an ordinary constructor that assigns.

    Args:
        n_components: dimension of the code.
        hidden: widths of the encoder's layers, mirrored in the decoder, or channels after each halving of an image;
            None is (512,), or (32, 64) channels.
        activation: of the hidden layers.
        dropout: rate at which units of the hidden layers of encoder and decoder are left out while training; for "mlp".
        architecture: "mlp", or for images "conv" and "resnet".
        encoder: own network, rows (n, features) -> features (n, width), in place of the layers; a head is put on it.
        decoder: own network, codes (n, n_components) -> features (n, width), likewise; where it has a method `project`,
            such as `isthmus.nets.ConvDecoder`, the head uses it in place of a linear map.
        likelihood: p(x|z); "auto" takes "bernoulli" for uint8 and data in [0, 1], a Gaussian otherwise.
        binarisation: "dynamic" draws black and white pixels from grey ones anew at every step, with their values as
            probabilities, for the Bernoulli likelihood; scores are then of such pixels, drawn from each row's content.
        max_epochs, batch_size, learning_rate, patience, device, random_state, ...: see `TrainingParameters`.
    """

    n_components: int = 16
    _: KW_ONLY
    hidden: tuple[int, ...] | None = None
    activation: Literal["relu", "leaky_relu", "silu", "tanh", "sigmoid", "gelu"] = "relu"
    dropout: float = 0.0
    architecture: Architecture = "mlp"
    encoder: nn.Module | None = None
    decoder: nn.Module | None = None
    likelihood: Likelihood = "auto"
    binarisation: Literal["none", "dynamic"] = "none"

    real_likelihood: ClassVar[str] = "gaussian"
    """What "auto" means for data outside [0, 1]."""

    @abstractmethod
    def _model(self, n_features: int) -> LatentVariableModel:
        """The untrained model for rows of so many features; nothing in it reads a tensor's values (see `load`)."""

    @abstractmethod
    def _objective(self) -> Objective:
        """What it is trained for."""

    # --- parts that leaves build their models from ------------------------------------------

    def _encoder(self, n_features: int, head: Callable[[int, int], nn.Module]) -> Conditional:
        """q(z|x): the encoder's network with a head, a class such as `GaussianHead`."""
        net = encoder_network(self, n_features)
        return Conditional(net, head(net.n_features, self.n_components))

    @property
    def _n_conditions(self) -> int:
        """Width of the condition that goes with each row."""
        return 0

    def _decoder(self, n_features: int, mirrored: Conditional | None = None) -> Conditional:
        """p(x|z): the decoder's network with the likelihood's head; an encoder that is mirrored lends its weights."""
        net, project = decoder_network(self) if mirrored is None else tied_network(self, mirrored)
        head: Any = likelihood_head(self.likelihood_, net.n_features, n_features, project)
        if self._layer is not None and self._layer.activation is not None:
            head.project = nn.Sequential(head.project, activation_module(self._layer.activation))
        return Conditional(net, head)

    # --- fit --------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, folder: str | Path | None, resume: bool
    ) -> None:
        rows = self._begin_fit(X)
        beside = self._beside(y, len(rows))
        weight = None if sample_weight is None else checked_weight(sample_weight, rows)
        if weight is not None and isinstance(rows, np.ndarray) and not weight.all():  # what does not count is not there
            beside = {name: part[torch.from_numpy(weight > 0)] for name, part in beside.items()}
            rows, weight = rows[weight > 0], weight[weight > 0]
        self.likelihood_ = choose_likelihood(self.likelihood, rows, self.real_likelihood)
        check_range(self.likelihood_, rows, self.pixels_)
        if self.binarisation == "dynamic" and self.likelihood_ != "bernoulli":
            raise ValueError(
                f"Expected the likelihood 'bernoulli' with binarisation='dynamic', got {self.likelihood_!r}; use grey "
                "pixels, uint8 or in [0, 1], or binarisation='none'."
            )
        self.scaling_ = choose_scaling(self.likelihood_, rows, weight) if self._layer is None else self._layer.scaling
        seed = self._seed(folder if resume else None)
        train, held_out = self._split(training_data(rows, weight, beside), validation, seed)
        settings, objective = self._settings(seed), self._objective()
        self.n_steps_ = steps_per_epoch(train.n_rows, settings) * settings.max_epochs
        if self.binarisation == "dynamic":
            objective = DynamicBinarisation(objective)
        self._check_size()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = self._model(self.n_features_in_)
        self.__dict__.pop("prior_", None)  # fitted to the codes of an earlier model
        self.history_ = self._train(objective, train, held_out, settings, folder, resume)
        self.n_iter_ = len(self.history_)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if any(width < 1 for width in self.hidden or ()):
            raise ValueError(f"Expected widths >= 1 in hidden, got {self.hidden}.")
        made_here = self.encoder is None or self.decoder is None
        check_dropout(self.dropout, hidden_widths(self))
        if self.dropout and (self.architecture != "mlp" or not made_here):
            raise ValueError(
                f"Expected fully connected layers to leave units out of, got dropout={self.dropout} with convolutions "
                "or own networks; use architecture='mlp', or put isthmus.nets.Dropout into your own."
            )
        if self.architecture != "mlp" and made_here and not hidden_widths(self):
            raise ValueError(
                f"Expected channels in hidden, one number for each halving of an image, for architecture="
                f"{self.architecture!r}, got (); use hidden=(32, 64), or architecture='mlp'."
            )

    def _check_size(self) -> None:
        """Find out before a model is made whether its weights fit in memory; own networks are there already."""
        if self.encoder is not None or self.decoder is not None:
            return
        sizes = f"n_components={self.n_components} and hidden={hidden_widths(self)}"
        check_weights_fit(
            lambda: self._model(self.n_features_in_), sizes, "use fewer n_components, or narrower hidden layers"
        )

    def _beside(self, y: Any, n_rows: int) -> dict[str, Tensor]:
        """What y says of each row, as parts of `Rows`: nothing, unless a model learns from it."""
        return {}

    def _held_out(self, validation: Any) -> Rows:
        """Rows that were given for validation."""
        rows = self._rows(validation)
        check_range(self.likelihood_, rows, self.pixels_)
        return Rows(torch.from_numpy(rows))

    def _split(self, rows: Rows | Stream, validation: Any, seed: int) -> tuple[Rows | Stream, Rows | None]:
        """Training and validation rows: those given, or a seeded part of X where early stopping needs some."""
        if validation is not None:
            return rows, self._held_out(validation)
        if self.patience is None:
            return rows, None
        if isinstance(rows, Stream):
            return hold_out(rows, self.validation_fraction, seed)
        n = rows.n_rows
        n_held_out = max(1, round(self.validation_fraction * n))
        if n_held_out >= n:
            raise ValueError(f"Expected more rows to hold some out for patience, got {n}; use validation=.")
        order = torch.from_numpy(np.random.RandomState(seed).permutation(n))
        return rows.take(order[n_held_out:]), rows.take(order[:n_held_out])

"""A deep classifier whose hidden layers may have learned something before it sees all of its labels."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from ..data.shards import Shards
from ..heads import CategoricalHead
from ..model import Conditional
from ..nets import MLP
from ..objectives import NegativeLogLikelihood
from ..training import Rows, Scaling
from .architecture import check_dropout
from .blocks import checked_weight
from .labels import checked_labels, classes_of, is_labelled, one_hot
from .layer import Layer, layer_seed
from .likelihoods import choose_likelihood, choose_scaling
from .network import BaseAutoencoder
from .pretraining import LayerKind, layer_records, make_layers, one_per_layer, train_layers
from .trained_classifier import BaseClassifier
from .training_parameters import TrainingParameters
from .unrolled import encoder_of
from .weights import check_weights_fit

__all__ = ["PretrainedClassifier"]


@dataclass(eq=False, repr=False)
class PretrainedClassifier(TrainingParameters, BaseClassifier):
    r"""Deep classifier p(y|x) with greedy layer-wise pre-training, then fine-tuning of all parameters.

    Minimises :math:`-\log p(y \mid x)`, in nats, with :math:`p(y|x) = \mathrm{softmax}(W h_L(x) + b)`, from hidden
    layers that begin in one of three ways: at random ("none"); each trained on the codes of those below as the hidden
    layer of a classifier, whose output is then thrown away ("supervised"); each trained on them as an autoencoder or
    RBM, without labels ("unsupervised"). Use the last one where few rows have labels and many have none. With many
    labels and ReLU units "none" is as good.

    Labels are numbers or text. -1 among numbers is a row without a label, for unsupervised pre-training alone; but
    labels -1 and 1 alone are two classes.

    Args:
        hidden: widths of the hidden layers, from the data upwards; () is logistic regression.
        pretraining: of the hidden layers.
        layer: what is trained in each place with "unsupervised": "autoencoder", "denoising", "sparse", "contractive",
            "k-sparse" or "rbm", each with its defaults; in Python also an estimator, or a tuple with one for each
            layer, as in `StackedAutoencoder`.
        layer_epochs: passes over the data to train each layer.
        activation: of the hidden units; RBMs have "sigmoid".
        dropout: rate at which hidden units are left out in fine-tuning; with "none", all training is fine-tuning.
        input_dropout: the same for features.
        max_epochs, learning_rate, patience, ...: of fine-tuning; see `TrainingParameters`.
        batch_size: examples a step, of layers and in fine-tuning.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
        model_: the trained `Conditional`.
        layers_: for each layer its kind, its widths, and its history, one record an epoch, in nats.
        history_: one record an epoch of fine-tuning, in nats.

    References:
        Bengio, Lamblin, Popovici, Larochelle (2007). Greedy layer-wise training of deep networks. NIPS 19.
        Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from overfitting. JMLR 15.
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> model = PretrainedClassifier((32, 16), layer_epochs=1, max_epochs=1, random_state=0).fit(X / 16, y)
        >>> model.predict_proba(X / 16).shape, model.transform(X / 16).shape
        ((1797, 10), (1797, 16))
    """

    hidden: tuple[int, ...] = (512,)
    _: KW_ONLY
    pretraining: Literal["none", "supervised", "unsupervised"] = "unsupervised"
    layer: LayerKind | tuple[LayerKind, ...] = "denoising"
    layer_epochs: int = 20
    activation: Literal["sigmoid", "relu", "leaky_relu", "tanh"] = "sigmoid"
    dropout: float = 0.0
    input_dropout: float = 0.0

    # --- the model ----------------------------------------------------------------------------

    def _model(self, n_features: int) -> Conditional:
        widths, rates = (n_features, *self.hidden), (self.dropout, self.input_dropout)
        if self.pretraining == "unsupervised":
            layers = zip(self._layers(n_features), widths, strict=False)
            net: nn.Module = encoder_of([layer._model(width) for layer, width in layers], *rates)
        else:
            net = MLP(n_features, self.hidden, self.activation, *rates)
        return Conditional(net, CategoricalHead(widths[-1], 1, n_classes=len(self.classes_)))

    def _layers(self, n_features: int, seed: int = 0) -> list[BaseAutoencoder]:
        """Layers without labels, unfitted; before a fit with units that do not matter."""
        return make_layers(
            one_per_layer(self.layer, len(self.hidden)),
            (n_features, *self.hidden),
            [self.activation] * len(self.hidden),
            likelihood=getattr(self, "likelihood_", "bernoulli"),
            scaling=getattr(self, "scaling_", Scaling()),
            title=type(self).__name__,
            seed=seed,
            max_epochs=self.layer_epochs,
            batch_size=self.batch_size,
            precision=self.precision,
            device=self.device,
            compile=self.compile,
            verbose=self.verbose,
        )

    def _layers_with_labels(self, seed: int) -> list[Self]:
        """Classifiers of one hidden layer, unfitted."""
        layers, n = [], len(self.hidden)
        for i, width in enumerate(self.hidden):
            own = {"hidden": (width,), "pretraining": "none", "max_epochs": self.layer_epochs, "patience": None}
            layer = clone(self).set_params(**own, dropout=0.0, input_dropout=0.0)
            title = f"{type(self).__name__}: layer {i + 1} of {n}, {width} units, with labels"
            layer._layer = Layer(title, layer_seed(seed, i), self.scaling_ if i == 0 else Scaling())
            layers.append(layer)
        return layers

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"Expected widths >= 1 in hidden, got {self.hidden}.")
        check_dropout(self.dropout, self.hidden)
        check_dropout(self.input_dropout, (1,), "input_dropout")
        if self.layer_epochs < 1:
            raise ValueError(f"Expected layer_epochs >= 1, got {self.layer_epochs}.")
        if self.sharded and self.pretraining != "none":
            raise ValueError("Expected layers in one piece for pre-training, got sharded=True; use pretraining='none'.")
        if self.pretraining == "unsupervised":
            self._layers(1)  # they check themselves

    # --- fit ----------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, folder: str | Path | None, resume: bool
    ) -> None:
        rows = self._begin_fit(X)
        if isinstance(rows, Shards):
            raise ValueError(
                f"Expected rows in memory for a classifier, got {len(rows):,} that are read while training; use "
                "numpy.asarray(X), or part of them."
            )
        y = checked_labels(y, len(rows))
        weight = None if sample_weight is None else checked_weight(sample_weight, rows)
        labelled = is_labelled(y)  # of all rows, as weights do not say what -1 is
        kept = labelled if self.pretraining != "unsupervised" else np.ones(len(y), dtype=bool)
        kept = kept if weight is None else kept & (weight > 0)  # what does not count is not there
        rows, y, labelled, weight = rows[kept], y[kept], labelled[kept], None if weight is None else weight[kept]
        self.classes_ = classes_of(y[labelled])
        self.likelihood_ = choose_likelihood("auto", rows, "fixed_gaussian")
        self.scaling_ = choose_scaling(self.likelihood_, rows, weight) if self._layer is None else self._layer.scaling
        seed = self._seed(folder if resume else None)
        held_out = self._held_out(validation)
        if held_out is None and self.patience is not None:
            watched = self._some_of_each_class(y, labelled, seed)
            held_out = self._told(rows, y, weight, watched)
            rest = np.setdiff1d(np.arange(len(rows)), watched)
            rows, y, labelled, weight = rows[rest], y[rest], labelled[rest], None if weight is None else weight[rest]
        check_weights_fit(
            lambda: self._model(self.n_features_in_), f"hidden={self.hidden}", "use narrower hidden layers"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = self._model(self.n_features_in_)
        self._pretrain(rows, y, weight, seed, folder, resume)
        train = self._told(rows, y, weight, labelled)
        self.history_ = self._train(NegativeLogLikelihood(), train, held_out, self._settings(seed), folder, resume)
        self.n_iter_ = len(self.history_)

    def _pretrain(
        self, rows: np.ndarray, y: np.ndarray, weight: np.ndarray | None, seed: int, folder: Any, resume: bool
    ) -> None:
        """Hidden layers that know something of the rows, or of their labels, in place of random ones."""
        self.layers_: list[dict[str, Any]] = []
        if self.pretraining == "none":
            return
        with_labels = self.pretraining == "supervised"
        layers: Any = self._layers_with_labels(seed) if with_labels else self._layers(self.n_features_in_, seed)
        train_layers(layers, self._shaped(rows), y, sample_weight=weight, folder=folder, resume=resume)
        self.layers_ = layer_records(layers, (self.n_features_in_, *self.hidden))
        trained = [copy.deepcopy(layer.model_) for layer in layers]
        net = (
            nn.Sequential(*(block for model in trained for block in model.net)) if with_labels else encoder_of(trained)
        )
        self.model_.net.load_state_dict(net.state_dict())

    def _held_out(self, validation: Any) -> Rows | None:
        """Rows with labels that were given for validation."""
        if validation is None:
            return None
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise ValueError(f"Expected validation as a pair (X, y), got {type(validation).__name__}.")
        rows = self._rows(validation[0])
        y = checked_labels(validation[1], len(rows))
        labelled = is_labelled(y, self.classes_)
        if not labelled.any():
            raise ValueError("Expected validation rows with labels, got none; leave validation out.")
        return self._told(rows, y, None, labelled)

    def _told(self, rows: np.ndarray, y: np.ndarray, weight: np.ndarray | None, chosen: np.ndarray) -> Rows:
        """Some rows with their classes and weights."""
        weights = None if weight is None else torch.from_numpy(weight[chosen])
        return Rows(torch.from_numpy(rows[chosen]), weight=weights, target=one_hot(y[chosen], self.classes_))

    def _some_of_each_class(self, y: np.ndarray, labelled: np.ndarray, seed: int) -> np.ndarray:
        """Rows to hold out for `patience`, of each class its share, and at least one in all."""
        generator = np.random.RandomState(seed)
        orders = [generator.permutation(np.flatnonzero(labelled & (y == label))) for label in self.classes_]
        parts = [order[: round(self.validation_fraction * len(order))] for order in orders]
        if not any(map(len, parts)):
            largest = max(range(len(orders)), key=lambda i: len(orders[i]))
            parts[largest] = orders[largest][:1]
        if any(len(order) == len(part) for order, part in zip(orders, parts, strict=True)):
            raise ValueError("Expected more rows of each class to hold some out for patience; use validation=.")
        return np.sort(np.concatenate(parts))

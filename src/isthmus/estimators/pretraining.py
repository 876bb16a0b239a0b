"""Greedy layer-wise training: each layer learns from the codes of the one below, which stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from ..nets import Activation
from ..processes import LostProcess
from ..training import Interrupted, Scaling
from ..training.checkpoint import remove_checkpoints
from .autoencoder import Autoencoder
from .contractive import ContractiveAutoencoder
from .denoising import DenoisingAutoencoder
from .k_sparse import KSparseAutoencoder
from .layer import Layer, layer_seed
from .network import BaseAutoencoder
from .rbm import RBM
from .saved import value_of
from .sparse import SparseAutoencoder
from .weights import checked_history

__all__ = [
    "LayerKind",
    "LayerName",
    "checked_layers",
    "layer_records",
    "make_layers",
    "one_per_layer",
    "train_layers",
]

LayerName = Literal["autoencoder", "denoising", "sparse", "contractive", "k-sparse", "rbm"]
"""A kind of layer by name: the estimator of that name with its defaults."""

LayerKind = LayerName | Autoencoder | RBM
"""A kind of layer: by name, or an estimator whose own parameters (corruption, sparsity, learning_rate, ...) it has."""

_KINDS: dict[str, type[BaseAutoencoder]] = {
    "autoencoder": Autoencoder,
    "denoising": DenoisingAutoencoder,
    "sparse": SparseAutoencoder,
    "contractive": ContractiveAutoencoder,
    "k-sparse": KSparseAutoencoder,
    "rbm": RBM,
}

_RANGE_OF_CODES: dict[str, Activation] = {"relu": "relu", "leaky_relu": "leaky_relu", "tanh": "tanh"}
"""Activations whose codes are reconstructed through the same activation; codes of a sigmoid have the Bernoulli's."""


def one_per_layer(layer: LayerKind | Sequence[LayerKind], n_layers: int) -> list[LayerKind]:
    """A kind for each layer.

    Raises:
        ValueError: as many were given as there are not layers.
    """
    kinds = list(layer) if isinstance(layer, (tuple, list)) else [layer] * n_layers
    if len(kinds) != n_layers:
        raise ValueError(f"Expected a kind for each of {n_layers} layers, got {len(kinds)}; use one for all of them.")
    return kinds


def make_layers(
    kinds: Sequence[LayerKind],
    widths: Sequence[int],
    activations: Sequence[str],
    *,
    likelihood: str,
    scaling: Scaling,
    title: str,
    seed: int = 0,
    **parameters: Any,
) -> list[BaseAutoencoder]:
    r"""The estimators that `train_layers` trains, unfitted, from the data upwards.

    The first layer's likelihood is that of the data. Above it, codes of a sigmoid count as probabilities, and their
    reconstruction is scored by the cross-entropy, as in Bengio et al. and Vincent et al.; other codes by half the
    squared error, through the activation that they came from. Layers above the first see codes as they are, unscaled.

    Args:
        kinds: of each layer.
        widths: of the data, and of the code of each layer.
        activations: of each layer's codes, as `Autoencoder.code_activation`.
        likelihood: of the data.
        scaling: from the data to the first layer's units.
        title: of the whole, for progress.
        seed: from which each layer gets its own.
        **parameters: that all layers get in place of their own, where they have any of that name.

    Returns:
        One estimator a layer.

    Raises:
        ValueError: a kind that can't be such a layer.
        TypeError: no kind of layer.
    """
    layers = []
    for i, (kind, activation) in enumerate(zip(kinds, activations, strict=True)):
        made = _from_template(kind, activation)
        own: dict[str, Any] = {"n_components": widths[i + 1], "hidden": ()}
        if i > 0:
            likelihood = "bernoulli" if activations[i - 1] == "sigmoid" else "fixed_gaussian"
        own |= {"likelihood": likelihood} | parameters | ({} if i == 0 else {"binarisation": "none"})
        made.set_params(**{name: value for name, value in own.items() if name in made.get_params(deep=False)})
        made.likelihood_ = likelihood  # known before it is fitted, for whoever builds its model
        made._layer = Layer(
            f"{title}: layer {i + 1} of {len(kinds)}, {widths[i]}-{widths[i + 1]}",
            layer_seed(seed, i),
            scaling if i == 0 else Scaling(),
            _RANGE_OF_CODES.get(activations[i - 1]) if i else None,
        )
        try:
            made._check_parameters()
        except ValueError as error:
            raise ValueError(f"{error} This is layer {i + 1} of {len(kinds)}, {type(made).__name__}.") from error
        layers.append(made)
    return layers


def _from_template(kind: LayerKind, activation: str) -> BaseAutoencoder:
    """An unfitted estimator of this kind with codes of this activation."""
    if isinstance(kind, str):
        made = _KINDS[kind]()  # a name that is none was refused as a parameter of another type
    elif isinstance(kind, (Autoencoder, RBM)):
        made = clone(kind)
        deep = made.hidden not in (None, (), []) or "layer" in made.get_params(deep=False)
        if deep or made.encoder is not None or made.decoder is not None or made.architecture != "mlp":
            raise ValueError(f"Expected a layer with one map each way, got {made}; leave hidden and networks out.")
    else:
        raise TypeError(f"Expected a layer by name, an Autoencoder of any kind or an RBM, got {kind!r}.")
    if not isinstance(made, RBM):
        return made.set_params(code_activation=activation)
    if activation not in ("sigmoid", "identity"):
        raise ValueError(f"Expected activation 'sigmoid' for layers that are RBMs, got {activation!r}.")
    if activation == "identity" and isinstance(kind, str):  # as Gaussian hidden units want it
        made.set_params(learning_rate=0.1 * made.learning_rate)
    return made.set_params(hidden_units="bernoulli" if activation == "sigmoid" else "gaussian")


def train_layers(
    layers: Sequence[Any],
    X: Any,
    y: Any = None,
    *,
    sample_weight: np.ndarray | None = None,
    validation: Any = None,
    folder: str | Path | None = None,
    resume: bool = False,
) -> None:
    r"""Fit layers in turn, bottom-up, :math:`\min_{e_l, d_l} E[-\log p_l(h_{l-1} \mid d_l(e_l(h_{l-1})))]`, h_0 = x.

    What a layer learns from are the codes :math:`h_{l-1}` of the one below, which is not touched any more.

    Args:
        layers: unfitted estimators, such as `make_layers` makes; they are fitted in place, and end on the CPU.
        X: rows of data.
        y: their labels, for layers that are trained with labels.
        sample_weight: how much each row counts, (n,).
        validation: rows whose loss, through the layers, is measured after each epoch.
        folder: where each layer has a folder of its own, `layer-1` and so on, for checkpoints and metrics.
        resume: go on from what is in the folder; layers that were finished are read and not trained again.

    Raises:
        ValueError, TypeError: as the layers' `fit`.
        Interrupted: Ctrl-C; resume with the same folder.

    References:
        Hinton, Osindero, Teh (2006). A fast learning algorithm for deep belief nets. Neural Computation 18.
        Bengio, Lamblin, Popovici, Larochelle (2007). Greedy layer-wise training of deep networks. NIPS 19.
    """
    if folder is not None and not resume:  # of an earlier run, with which this one would go on after a stop
        for old in (Path(folder), *Path(folder).glob("layer-*")):
            remove_checkpoints(old)
    for number, layer in enumerate(layers, 1):
        place = None if folder is None else Path(folder) / f"layer-{number}"
        try:
            layer.fit(X, y, sample_weight=sample_weight, validation=validation, folder=place, resume=resume)
        except (Interrupted, LostProcess) as stopped:  # which name the layer's folder: the whole is resumed
            raise type(stopped)(str(stopped).replace(str(place), str(folder))) from stopped
        layer.model_.cpu()  # so that codes are the same where training goes on on another device
        if number < len(layers):
            X = layer.transform(X)
            validation = None if validation is None else layer.transform(validation)


def layer_records(layers: Sequence[Any], widths: Sequence[int]) -> list[dict[str, Any]]:
    """What is kept of trained layers: kind, widths, and history of each."""
    return [
        {"kind": type(layer).__name__, "widths": [*map(int, widths[i : i + 2])], "history": layer.history_}
        for i, layer in enumerate(layers)
    ]


def checked_layers(fitted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same from a file.

    Raises:
        ValueError: it has none.
    """
    records = value_of(fitted, "layers_", list[dict[str, Any]])
    for record in records:
        value_of(record, "kind", str)
        value_of(record, "widths", list[int])
        checked_history(record, "history")
    return records

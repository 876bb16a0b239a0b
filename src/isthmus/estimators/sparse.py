"""The sparse autoencoder: many units, of which each row turns on few."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..evaluation.chunks import device_of, evaluating, map_rows
from ..objectives import KLSparsity, L1Sparsity, Objective, Reconstruction
from ..objectives.sparsity import unit_activities, unit_sizes
from .autoencoder import Autoencoder
from .blocks import in_blocks

__all__ = ["SparseAutoencoder"]

WITH_ACTIVITY = ("sigmoid", "tanh", "relu", "leaky_relu")


@dataclass(eq=False, repr=False)
class SparseAutoencoder(Autoencoder):
    r"""Autoencoder whose units are at rest for most rows.

    Minimises :math:`-\log p(x \mid f(x)) + \beta \sum_j KL(\rho \| \hat a_j)`, in nats summed over features, where
    :math:`\hat a_j` is the mean activity of unit j over the batch; or, with penalty="l1",
    :math:`-\log p(x \mid f(x)) + \beta \sum_j |h_j|`. Use it for features of which each row has few, such as strokes of
    digits: the code may be wider than the data. Where the number of active units should be exact, use
    `KSparseAutoencoder`.

    Args:
        n_components: units of the code.
        rho: wanted mean activity of every unit, in (0.001, 0.999); for the penalty "kl".
        sparsity_weight: beta, in nats. Weights published beside an error averaged over F features are F times as large
            here (see `isthmus.objectives.KLSparsity`).
        penalty: "kl" on each unit's mean activity; "l1" on the sum of absolute activations of each row.
        sparse_layers: which layers it is on: the "code", the encoder's "hidden" layers, "all", or their numbers from
            the data on, the last being the code's.
        code_activation: with "kl", one whose activity is defined: "sigmoid", "tanh", "relu" or "leaky_relu".
        hidden, activation, tied, likelihood, max_epochs, batch_size, learning_rate, ...: see `Autoencoder` and
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch, in nats; "sparsity" (or "l1") is the penalty without its weight.

    References:
        Ng (2011). Sparse autoencoder. CS294A lecture notes, sec. 3.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = SparseAutoencoder(n_components=100, rho=0.05, max_epochs=1, random_state=0).fit(X)
        >>> model.transform(X).shape, model.mean_activity(X).shape
        ((1797, 100), (100,))
    """

    n_components: int = 144
    _: KW_ONLY
    rho: float = 0.05
    sparsity_weight: float = 10.0
    penalty: Literal["kl", "l1"] = "kl"
    sparse_layers: Literal["code", "hidden", "all"] | tuple[int, ...] = "code"
    code_activation: Literal["identity", "relu", "leaky_relu", "sigmoid", "tanh"] = "sigmoid"
    hidden: tuple[int, ...] | None = ()

    def _objective(self) -> Objective:
        layers = self.sparse_layers if isinstance(self.sparse_layers, str) else tuple(self.sparse_layers)
        if self.penalty == "l1":
            return Reconstruction() + L1Sparsity(self.sparsity_weight, layers)
        return Reconstruction() + KLSparsity(self.rho, self.sparsity_weight, layers)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._objective()  # its values check themselves
        if self.penalty == "kl" and self.sparse_layers in ("code", "all") and self.code_activation == "identity":
            names = ", ".join(map(repr, WITH_ACTIVITY))
            raise ValueError(f"Expected code_activation as one of {names} with penalty 'kl', got 'identity'.")

    def mean_activity(self, X: Any) -> np.ndarray:
        """How active each unit of the sparse layers is over rows X, on average: what the penalty holds at rho.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Means of a for sigmoid, ReLU and leaky ReLU units, of (a + 1) / 2 for tanh, with penalty "l1" of abs(a), of
            all sparse layers one after the other, (n_units,); of the code alone, (n_components,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        encoder: Any = self.model_.encoder
        measure, layers = (unit_sizes if self.penalty == "l1" else unit_activities), self.sparse_layers

        def activities(x: Tensor) -> Tensor:
            q, hidden = encoder.with_hidden(x)
            return torch.cat(measure(encoder, hidden, q.mean, layers), dim=-1)

        def of_rows(rows: np.ndarray) -> np.ndarray:
            with evaluating(self.model_):
                return map_rows(activities, self._scaled(rows), device=device_of(self.model_))[0].numpy()

        return in_blocks(X, self._rows, of_rows).mean(axis=0, dtype=np.float64)

"""Neural networks whose weights are random variables, for numbers and for classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..inference.weights import (
    Classes,
    ConstantNoise,
    InputNoise,
    OutputLikelihood,
    log_probabilities,
    target_gaussians,
)
from .components import Components
from .labels import checked_labels, classes_of, is_labelled, one_hot, restored_classes, written_classes
from .predictive import BaseDensityClassifier, BaseDensityRegressor
from .saved import value_of
from .standardise import Standardisation
from .weight_posteriors import BaseBayesianNetwork

__all__ = ["BayesianNeuralNetwork", "BayesianNeuralNetworkClassifier"]


@dataclass(eq=False, repr=False)
class BayesianNeuralNetwork(BaseBayesianNetwork, BaseDensityRegressor):
    r"""Regression by a neural network with a posterior over its weights.

    .. math:: p(y|x, D) = \int N(y; f_w(x), \sigma^2)\, p(w|D)\, dw

    Use it where data are few, and where it matters how sure a prediction is: its intervals grow where there are no
    data. With many rows, or noise of other shapes, use `DensityNetwork`.

    Args:
        noise: "constant", one standard deviation for all rows; "input", one that the network tells of each.
        hidden, posterior, ...: see below.

    Attributes:
        posterior_: the networks' weights and their spread.
        log_evidence_: log p(y), in nats, of standardised targets, mean of the networks: Laplace's, or the mean field's
            bound; None for others.
        history_: the loss a row while training, in nats; of "laplace", minus the log evidence a row after each round.

    References:
        MacKay (1992). A practical Bayesian framework for backpropagation networks. Neural Computation 4.
        Immer, Korzepa, Bauer (2021). Improving predictions of Bayesian neural nets via local linearization. AISTATS.
        Blundell, Cornebise, Kavukcuoglu, Wierstra (2015). Weight uncertainty in neural networks. ICML.
        Gal, Ghahramani (2016). Dropout as a Bayesian approximation. ICML.
        Lakshminarayanan, Pritzel, Blundell (2017). Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS.

    Example:
        >>> X = np.linspace(-1, 1, 40)[:, None]
        >>> model = BayesianNeuralNetwork((10,), activation="tanh", n_steps=400, random_state=0).fit(X, 3 * X[:, 0])
        >>> low, high = model.predict_interval([[0.5], [5.0]])
        >>> bool(high[1] - low[1] > high[0] - low[0])  # less sure far from the data
        True
    """

    noise: Literal["constant", "input"] = "constant"

    def _likelihood(self) -> OutputLikelihood:
        return (ConstantNoise if self.noise == "constant" else InputNoise)(self.n_targets_)

    def _learn(self, rows: np.ndarray, y: Any) -> tuple[np.ndarray, Tensor]:
        return rows, self._learn_targets(y, len(rows))

    def _components(self, x: Tensor) -> Components:
        means, factor = target_gaussians(self._likelihood(), self._outputs(x))
        return Components(means.new_zeros(means.shape[:2]), means, factor)

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors | self.targets_.named("targets"), fitted | {"one_target_": self.one_target_}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.targets_ = Standardisation.taken(tensors, "targets")
        self.n_targets_, self.one_target_ = len(self.targets_.mean), value_of(fitted, "one_target_", bool)
        super()._restore(tensors, fitted)


@dataclass(eq=False, repr=False)
class BayesianNeuralNetworkClassifier(BaseBayesianNetwork, BaseDensityClassifier):
    r"""Classification by a neural network with a posterior over its weights.

    .. math:: p(y|x, D) = \int \mathrm{softmax}(f_w(x))_y\, p(w|D)\, dw

    Use it where data are few, and where it matters how sure a prediction is. With many rows and one network, use
    `DensityNetworkClassifier`.

    Args:
        hidden, posterior, ...: see below.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
        posterior_, log_evidence_, history_: see `BayesianNeuralNetwork`.

    References:
        Immer, Korzepa, Bauer (2021). Improving predictions of Bayesian neural nets via local linearization. AISTATS.

    Example:
        >>> X, y = [[0.0], [1.0], [3.0], [4.0]], ["no", "no", "yes", "yes"]
        >>> BayesianNeuralNetworkClassifier((), n_steps=200, random_state=0).fit(X, y).predict(X).tolist()
        ['no', 'no', 'yes', 'yes']
    """

    def _likelihood(self) -> OutputLikelihood:
        return Classes(len(self.classes_))

    def _learn(self, rows: np.ndarray, y: Any) -> tuple[np.ndarray, Tensor]:
        y = checked_labels(y, len(rows))
        labelled = is_labelled(y)
        self.classes_ = classes_of(y[labelled])
        return rows[labelled], one_hot(y[labelled], self.classes_)

    def _log_probabilities(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return log_probabilities(self._outputs(x), self.n_samples, self.seed_)

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors, fitted | {"classes_": written_classes(self.classes_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.classes_ = restored_classes(value_of(fitted, "classes_", dict[str, Any]))
        super()._restore(tensors, fitted)

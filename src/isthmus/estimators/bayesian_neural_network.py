"""Neural networks whose weights are random variables, for numbers and for classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
from .predictive import BaseDensityRegressor
from .predictive_classes import BaseDensityClassifier
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

    def _components(self, x: Tensor) -> Components:
        means, factor = target_gaussians(self._likelihood(), self._outputs(x))
        return Components(means.new_zeros(means.shape[:2]), means, factor)


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

    def _log_probabilities(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return log_probabilities(self._outputs(x), self.n_samples, self.seed_)

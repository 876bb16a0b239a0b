"""Networks that predict a density: of numbers, Gaussian or a mixture, and of classes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation.chunks import device_of, evaluating, map_rows
from ..heads import CategoricalHead, FullGaussianHead, GaussianHead, MixtureHead
from ..model import Conditional
from ..nets import MLP
from ..objectives import NegativeLogLikelihood
from ..training import Rows
from .architecture import check_dropout
from .components import Components, components_of
from .notebook import loss_curve, training_facts
from .predictive import BaseDensityRegressor
from .predictive_classes import BaseDensityClassifier
from .targets import TargetRows
from .training_parameters import TrainingParameters
from .weights import check_weights_fit, checked_history, restored_model, written_history, written_model

__all__ = ["DensityNetwork", "DensityNetworkClassifier"]


@dataclass(eq=False, repr=False)
class BaseDensityNetwork(TargetRows, TrainingParameters):
    """What density networks for numbers and for classes share.

    Args:
        hidden: widths of the hidden layers; () is a linear model.
        activation: of the hidden units.
        dropout: rate at which hidden units are left out while training.
        max_epochs: passes over the data.
    """

    hidden: tuple[int, ...] = (64, 64)
    _: KW_ONLY
    activation: Literal["relu", "tanh", "silu", "sigmoid"] = "relu"
    dropout: float = 0.0
    max_epochs: int = 100
    _means_first: ClassVar[float] = 0.0  # share of the steps, see `NegativeLogLikelihood`

    @abstractmethod
    def _head(self, n_features: int) -> nn.Module:
        """From features to p(y|x)."""

    def _model(self, n_features: int) -> Conditional:
        net = MLP(n_features, self.hidden, self.activation, self.dropout)
        return Conditional(net, self._head(net.n_features))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"Expected widths >= 1 in hidden, got {self.hidden}.")
        check_dropout(self.dropout, self.hidden)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, folder: str | Path | None, resume: bool
    ) -> None:
        train, held_out = self._train_rows(X, y, sample_weight), None
        if train.n_rows < 2:
            raise ValueError(f"Expected at least 2 rows, got n_samples = {train.n_rows}.")
        seed = self._seed(folder if resume else None)
        if validation is not None:
            held_out = self._watched_rows(validation)
        elif self.patience is not None:
            train, held_out = self._divided(train, seed)
        check_weights_fit(
            lambda: self._model(self.n_features_in_),  # type: ignore[attr-defined]
            f"hidden={self.hidden}", "use narrower hidden layers",
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = self._model(self.n_features_in_)  # type: ignore[attr-defined]
        n_steps = self.max_epochs * math.ceil(train.n_rows / self.batch_size)
        objective = NegativeLogLikelihood(means_first=int(self._means_first * n_steps))
        self.history_ = self._train(objective, train, held_out, self._settings(seed), folder, resume)
        self.n_iter_ = len(self.history_)

    def _divided(self, rows: Rows, seed: int) -> tuple[Rows, Rows]:
        """Some rows to train on, and some to watch."""
        order = torch.from_numpy(np.random.RandomState(seed).permutation(rows.n_rows))
        n_held = max(1, round(self.validation_fraction * rows.n_rows))
        if n_held >= rows.n_rows:
            raise ValueError(
                f"Expected more rows to hold some out for patience, got n_samples = {rows.n_rows}; use validation=, or "
                "patience=None."
            )

        def part(chosen: Tensor) -> Rows:
            return Rows(*(None if each is None else each[chosen] for each in rows))  # type: ignore[arg-type]

        return part(order[n_held:]), part(order[:n_held])

    def _mapped(self, function: Any, x: Tensor) -> tuple[Tensor, ...]:
        """Tensors of what the model says of standardised rows."""
        with evaluating(self.model_):
            return map_rows(lambda rows: function(self.model_(rows)), x.float(), device=device_of(self.model_))

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()  # type: ignore[misc]
        return tensors | written_model(self.model_), fitted | {"history_": written_history(self.history_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)  # type: ignore[misc]
        self.history_ = checked_history(fitted)
        self.n_iter_ = len(self.history_)
        self.model_ = restored_model(lambda: self._model(self.n_features_in_), tensors, len(self.hidden))  # type: ignore[attr-defined]

    def _facts(self) -> dict[str, str]:
        weights = sum(parameter.numel() for parameter in self.model_.parameters())
        return super()._facts() | {"parameters": f"{weights:,}"} | training_facts(self.history_)  # type: ignore[misc]

    def _html_repr(self) -> str:
        """The diagram, the facts, and the loss over the epochs."""
        return super()._html_repr() + loss_curve(getattr(self, "history_", []))  # type: ignore[misc]


@dataclass(eq=False, repr=False)
class DensityNetwork(BaseDensityNetwork, BaseDensityRegressor):
    r"""Regression by a network that predicts a density: a Gaussian whose mean and scale depend on x, or a mixture.

    Minimises :math:`-\log p(y|x)`, for one Gaussian :math:`-\log N(y; f(x), g(x)^2)`. In the first half of the steps
    rows are weighed by their variance: large errors would else be taken for noise, and not be learned.

    Use it where noise depends on the input, where one input has several likely answers (`n_components` above 1), or
    where several targets are correlated (`covariance="full"`). It does not know how sure it is far from its data:
    `BayesianNeuralNetwork` does.

    Args:
        hidden: widths of the hidden layers; () is linear in x.
        n_components: Gaussians in the mixture.
        covariance: "diag", or "full" for several targets that are correlated given x.
        activation, dropout: of the hidden layers.
        max_epochs, learning_rate, ...: see `TrainingParameters`.
        patience: epochs without a better likelihood of rows held out, a tenth, after which to stop: noise that depends
            on the input is soon told from the very rows that it was learned from. None trains on all rows to the end.

    Attributes:
        model_: the trained `Conditional`, of standardised inputs and targets.
        inputs_, targets_: means and scales by which they are standardised.
        history_: one record an epoch, in nats, of standardised targets.

    References:
        Bishop (1994). Mixture density networks. Aston University, NCRG/94/004.
        Nix, Weigend (1994). Estimating the mean and variance of the target probability distribution. ICNN.
        Seitzer et al. (2022). On the pitfalls of heteroscedastic uncertainty estimation with probabilistic neural
        networks. ICLR.

    Example:
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> model = DensityNetwork((16,), max_epochs=40, learning_rate=0.01, random_state=0).fit(X, 3 * X[:, 0])
        >>> model.predict_distribution(X[:2]).log_prob(torch.tensor([-3.0, -3.0])).shape
        torch.Size([2])
    """

    n_components: int = 1
    covariance: Literal["diag", "full"] = "diag"
    _: KW_ONLY
    max_epochs: int = 300
    learning_rate: float = 3e-3
    patience: int | None = 30
    _means_first: ClassVar[float] = 0.5

    def _head(self, n_features: int) -> nn.Module:
        if self.n_components > 1:
            return MixtureHead(n_features, self.n_targets_, n_components=self.n_components, covariance=self.covariance)
        full = self.covariance == "full" and self.n_targets_ > 1
        return (FullGaussianHead if full else GaussianHead)(n_features, self.n_targets_)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.n_components < 1:
            raise ValueError(f"Expected n_components >= 1, got {self.n_components}.")

    def _components(self, x: Tensor) -> Components:
        return Components(*self._mapped(lambda p: tuple(components_of(p)), x))


@dataclass(eq=False, repr=False)
class DensityNetworkClassifier(BaseDensityNetwork, BaseDensityClassifier):
    r"""Classification by a network, with a look at how sure it is.

    .. math:: p(y|x) = \mathrm{softmax}(f(x))_y

    Minimises :math:`-\log p(y|x)`. Use it for tables with labels; `calibration` says whether its probabilities hold.
    With few rows, `BayesianNeuralNetworkClassifier` is less sure of itself; where many rows have no label, use
    `PretrainedClassifier`.

    Args:
        hidden: widths of the hidden layers; () is logistic regression.
        activation, dropout: of the hidden layers.
        max_epochs, learning_rate, patience, ...: see `TrainingParameters`.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
        model_, inputs_, history_: see `DensityNetwork`.

    References:
        Bishop (2006). Pattern recognition and machine learning, sec. 5.2.

    Example:
        >>> X, y = [[0.0], [1.0], [3.0], [4.0]], ["no", "no", "yes", "yes"]
        >>> DensityNetworkClassifier((), learning_rate=0.05, random_state=0).fit(X, y).predict(X).tolist()
        ['no', 'no', 'yes', 'yes']
    """

    def _head(self, n_features: int) -> nn.Module:
        return CategoricalHead(n_features, 1, n_classes=len(self.classes_))

    def _log_probabilities(self, x: Tensor) -> Tensor:
        return self._mapped(lambda p: p.logits.squeeze(-2).double().log_softmax(-1), x)[0]

"""What a trained classifier can do: predict, give its last hidden layer, and go to a file and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..evaluation.chunks import device_of, evaluating, map_rows
from ..model import Conditional
from .blocks import in_blocks
from .common import BaseIsthmus
from .labels import restored_classes, written_classes
from .notebook import loss_curve, training_facts
from .pretraining import checked_layers
from .saved import value_of
from .weights import checked_history, restored_model, written_history, written_model

__all__ = ["BaseClassifier"]


class BaseClassifier(ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseIsthmus):
    """An estimator around a `Conditional` p(y|x) with a `CategoricalHead`.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
        model_: the trained `Conditional`.
        likelihood_: what an autoencoder of the rows would have, which decides how they are scaled.
        layers_: for each layer that was pre-trained its kind, its widths, and its history.
        history_: one record an epoch: loss in nats, and validation where there is any.
        n_iter_: epochs trained.
    """

    hidden: tuple[int, ...]
    classes_: np.ndarray
    model_: Conditional
    likelihood_: str
    layers_: list[dict[str, Any]]
    history_: list[dict[str, Any]]
    n_iter_: int

    @abstractmethod
    def _model(self, n_features: int) -> Conditional:
        """The untrained model for rows of so many features."""

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Labels, (n,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        return self.classes_[self.predict_log_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, p(y|x), in the order of `classes_`.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Probabilities, (n, n_classes), which sum to 1.

        Raises:
            ValueError: rows of another shape or out of range.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms, in nats, (n, n_classes); see `predict_proba`."""
        check_is_fitted(self)
        return in_blocks(X, self._rows, lambda rows: self._of_rows(rows, self._log_probabilities))

    def transform(self, X: Any) -> np.ndarray:
        """The last hidden layer's units of rows, by which the classes are told apart.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Activations, (n, hidden[-1]).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        return in_blocks(X, self._rows, lambda rows: self._of_rows(rows, self.model_.net))

    def _log_probabilities(self, x: Tensor) -> Tensor:
        return self.model_(x).logits.squeeze(-2).double().log_softmax(-1)  # type: ignore[attr-defined]

    def _of_rows(self, rows: np.ndarray, function: Any) -> np.ndarray:
        with evaluating(self.model_):
            (found,) = map_rows(function, self._scaled(rows), device=device_of(self.model_))
        return found.numpy()

    @property
    def _n_features_out(self) -> int:
        hidden = self.parameters_["hidden"]
        return int(hidden[-1]) if hidden else self.n_features_in_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # --- files and notebook -------------------------------------------------------------------

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        fitted = {"likelihood_": self.likelihood_, "classes_": written_classes(self.classes_), "layers_": self.layers_}
        return written_model(self.model_), fitted | {"history_": written_history(self.history_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.likelihood_ = value_of(fitted, "likelihood_", str)
        self.classes_ = restored_classes(value_of(fitted, "classes_", dict[str, Any]))
        self.history_, self.layers_ = checked_history(fitted), checked_layers(fitted)
        self.n_iter_ = len(self.history_)
        self.model_ = restored_model(lambda: self._model(self.n_features_in_), tensors, len(self.hidden))

    def _facts(self) -> dict[str, str]:
        weights = sum(parameter.numel() for parameter in self.model_.parameters())
        facts = super()._facts() | {"classes": str(len(self.classes_)), "pre-training": self.parameters_["pretraining"]}
        return facts | {"parameters": f"{weights:,}"} | training_facts(self.history_)

    def _html_repr(self) -> str:
        """The diagram, the facts, and the loss over the epochs."""
        return super()._html_repr() + loss_curve(getattr(self, "history_", []))

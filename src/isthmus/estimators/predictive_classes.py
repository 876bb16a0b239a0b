"""What every model of p(y|x) of classes can do: probabilities, the most probable class, draws, calibration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Categorical

from .draws import drawn
from .labels import checked_labels, class_numbers, classes_of, is_labelled, one_hot, restored_classes, written_classes
from .predictive import BaseStandardised
from .saved import value_of

__all__ = ["BaseDensityClassifier", "Reliability"]

N_BINS = 10


class Reliability(NamedTuple):
    """How often a classifier is right, by how sure it is.

    Attributes:
        confidence: mean probability of the predicted class in each bin that has rows, (B,).
        accuracy: share of them that is right, (B,).
        count: rows, (B,).
        expected_calibration_error: mean distance of the two over all rows.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    expected_calibration_error: float


class BaseDensityClassifier(ClassifierMixin, BaseStandardised):
    """A classifier that knows how sure it is.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
    """

    classes_: np.ndarray

    @abstractmethod
    def _log_probabilities(self, x: Tensor) -> Tensor:
        """Logarithms of the classes' probabilities, (n, n_classes), of standardised rows (n, F)."""

    def _learned(self, y: Any, n_rows: int, weight: np.ndarray | None) -> tuple[np.ndarray, Tensor]:
        y = checked_labels(y, n_rows)
        labelled = is_labelled(y)
        counted = labelled if weight is None else labelled & (weight > 0)
        self.classes_ = classes_of(y[counted])
        target = torch.zeros(n_rows, len(self.classes_), dtype=torch.uint8)
        target[torch.from_numpy(counted)] = one_hot(y[counted], self.classes_)
        return counted, target

    def _told(self, y: Any, n_rows: int) -> Tensor:
        return one_hot(checked_labels(y, n_rows), self.classes_)

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors, fitted | {"classes_": written_classes(self.classes_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.classes_ = restored_classes(value_of(fitted, "classes_", dict[str, Any]))
        super()._restore(tensors, fitted)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log p(y|x) of each class, in nats, (n, n_classes)."""
        check_is_fitted(self)
        return self._log_probabilities(self._scaled(self._rows(X))).numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes in the order of `classes_`, (n, n_classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        log_probabilities = self.predict_log_proba(X)
        return self.classes_[log_probabilities.argmax(axis=1)]

    def predict_distribution(self, X: Any) -> Categorical:
        """p(y|x) over the numbers of the classes in `classes_`, with batch shape (n,)."""
        return Categorical(logits=torch.from_numpy(self.predict_log_proba(X)))

    def sample(self, X: Any, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Classes drawn from p(y|x).

        Args:
            X: rows as at fit.
            n_samples: draws for each row, independent of each other.
            random_state: a seed gives the same draws again; None takes the estimator's own.

        Returns:
            Of `classes_`, (n_samples, n).

        Raises:
            ValueError: rows of another shape, or n_samples below 1.
        """
        p = self.predict_distribution(X)
        return self.classes_[drawn(p, n_samples, self.random_state if random_state is None else random_state).numpy()]  # type: ignore[attr-defined]

    def score_samples(self, X: Any, y: Any) -> np.ndarray:
        """log p(y|x) of each row, in nats.

        Raises:
            ValueError: labels that are none of the classes.
        """
        log_probabilities = self.predict_log_proba(X)
        return log_probabilities[np.arange(len(log_probabilities)), self._numbers(y, len(log_probabilities))]

    def calibration(self, X: Any, y: Any, n_bins: int = N_BINS) -> Reliability:
        """How often the predicted class is right, by its probability.

        Args:
            X: rows that the model was not fitted to.
            y: their labels.
            n_bins: of probabilities, equally wide.

        Returns:
            Confidence and accuracy in each bin, and their expected distance.

        References:
            Guo, Pleiss, Sun, Weinberger (2017). On calibration of modern neural networks. ICML.
        """
        if n_bins < 1:
            raise ValueError(f"Expected n_bins >= 1, got {n_bins}.")
        probabilities = self.predict_proba(X)
        right = probabilities.argmax(axis=1) == self._numbers(y, len(probabilities))
        sure = probabilities.max(axis=1)
        place = np.minimum((sure * n_bins).astype(int), n_bins - 1)
        count = np.bincount(place, minlength=n_bins)
        filled = count > 0
        confidence, accuracy = (
            np.bincount(place, values, n_bins)[filled] / count[filled] for values in (sure, right.astype(float))
        )
        error = float((count[filled] * np.abs(confidence - accuracy)).sum() / len(sure))
        return Reliability(confidence, accuracy, count[filled], error)

    def _numbers(self, y: Any, n_rows: int) -> np.ndarray:
        numbers, others = class_numbers(checked_labels(y, n_rows), self.classes_)
        if len(others):
            raise ValueError(f"Expected labels among {self.classes_.tolist()}, got also {others[0]}.")
        return numbers

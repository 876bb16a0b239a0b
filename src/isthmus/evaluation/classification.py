"""How well a classifier classifies."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mean import Mean
from .measures import Evaluation, Measure

__all__ = ["evaluate_classifier"]


def evaluate_classifier(estimator: Any, X: Any, y: Any) -> Evaluation:
    r"""Accuracy, error and log loss, :math:`-\log p(y|x)` in nats, of a fitted classifier, with their errors.

    Args:
        estimator: with `classes_` and `predict_log_proba`.
        X: rows, (n, ...).
        y: their labels, (n,); rows labelled -1, where that is no class, are left out.

    Returns:
        Measures by name, and a note on rows that were left out.

    Raises:
        ValueError: no labels, or others than the classes.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
        >>> evaluate_classifier(LogisticRegression().fit(X, y), X, y)["accuracy"].value
        1.0
    """
    if y is None:
        raise ValueError("Expected labels to measure a classifier by, got none; pass y, or name their column.")
    labels, classes = np.asarray(y), np.asarray(estimator.classes_)
    log_probabilities = np.asarray(estimator.predict_log_proba(X))
    if labels.shape != log_probabilities.shape[:1]:
        raise ValueError(f"Expected one label a row, got labels {labels.shape} for {len(log_probabilities)} rows.")
    places = {label: i for i, label in enumerate(classes.tolist())}
    index = np.array([places.get(label, -1) for label in labels.tolist()])
    unlabelled = (index < 0) & np.array([label == -1 for label in labels.tolist()], dtype=bool)
    if (index[~unlabelled] < 0).any() or unlabelled.all():
        unknown = sorted({str(label) for label in labels[(index < 0) & ~unlabelled].tolist()})
        raise ValueError(f"Expected labels among {classes.tolist()}, got {', '.join(unknown[:5]) or 'none'}.")
    index, log_probabilities = index[~unlabelled], log_probabilities[~unlabelled]
    right = log_probabilities.argmax(axis=1) == index
    log_loss = -np.take_along_axis(log_probabilities, index[:, None], axis=1)[:, 0]
    notes = (f"{unlabelled.sum()} rows without a label were left out.",) if unlabelled.any() else ()
    return Evaluation(
        (
            _measure("accuracy", right, "accuracy", "share of rows whose most probable class is theirs"),
            _measure("error", ~right, "error", "share of rows whose most probable class is another"),
            _measure("log_loss", log_loss, "nats", "-log p(y|x), the cross-entropy"),
        ),
        notes,
    )


def _measure(name: str, values: np.ndarray, unit: str, description: str) -> Measure:
    value, error = Mean.of(values)
    return Measure(name, value, None if np.isnan(error) else error, unit, description)

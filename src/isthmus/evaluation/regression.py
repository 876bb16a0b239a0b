"""How well a regressor predicts numbers, and how well it knows how sure it may be."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mean import Mean
from .measures import Evaluation, Measure

__all__ = ["evaluate_regressor", "predicts_densities"]

LEVEL = 0.9


def predicts_densities(estimator: Any) -> bool:
    """Whether an estimator is a regressor that predicts a density of y for each row."""
    return hasattr(estimator, "predict_interval")


def evaluate_regressor(estimator: Any, X: Any, y: Any) -> Evaluation:
    """Log-likelihood, errors, and how many targets lie in central 90 % intervals.

    Args:
        estimator: fitted, with `predict`, `score_samples` and `predict_interval`.
        X: rows, (n, ...).
        y: their targets, (n,) or (n, k).

    Returns:
        Measures by name; those of targets are in units of y, and means over its columns.

    Raises:
        ValueError: no targets, or not one for each row.

    Example:
        >>> from isthmus import BayesianNeuralNetwork
        >>> X = np.linspace(0, 1, 20)[:, None]
        >>> model = BayesianNeuralNetwork((), n_steps=200, random_state=0).fit(X, 2 * X[:, 0])
        >>> evaluate_regressor(model, X, 2 * X[:, 0])["rmse"].value < 0.01
        True
    """
    if y is None:
        raise ValueError("Expected targets to measure a regressor by, got none; pass y, or name their column.")
    log_likelihood, means = estimator.score_samples(X, y), estimator.predict(X)
    y = np.asarray(y, dtype=np.float64).reshape(means.shape)
    squares = np.square(means - y).reshape(len(y), -1).mean(1)
    low, high = estimator.predict_interval(X, LEVEL)
    inside = ((low <= y) & (y <= high)).reshape(len(y), -1).mean(1)
    width = (high - low).reshape(len(y), -1).mean(1)
    spread = np.var(y, axis=0).mean()
    rmse, error = Mean.of(squares)
    root = float(np.sqrt(rmse))
    found = [
        _measure("log_likelihood", log_likelihood, "nats", "log p(y|x), in units of y"),
        Measure("rmse", root, None if np.isnan(error) or not root else error / (2 * root), "units of y",
                "root of the mean squared error of the predicted means"),
        _measure("coverage_90", inside, "share", "of targets in central 90 % intervals, which should be 0.9"),
        _measure("width_90", width, "units of y", "mean width of these intervals"),
    ]  # fmt: skip
    if spread > 0:
        share = "R^2: of the variance of y, what the predicted means explain"
        found.insert(2, Measure("explained_variance", float(1 - rmse / spread), None, "share", share))
    return Evaluation(tuple(found))


def _measure(name: str, values: np.ndarray, unit: str, description: str) -> Measure:
    value, error = Mean.of(values)
    return Measure(name, value, None if np.isnan(error) else error, unit, description)

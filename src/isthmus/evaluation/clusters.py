"""How well a mixture describes data, and clusters sum them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .mean import Mean
from .measures import Evaluation, Measure

__all__ = ["evaluate_clusters", "has_clusters"]

BOTH = "smaller is better, among models that were fitted to the same rows"


def has_clusters(estimator: Any) -> bool:
    """Whether an estimator puts each row into one of a few clusters or components, as mixtures and k-means do."""
    return hasattr(estimator, "fit_predict")


def evaluate_clusters(estimator: Any, X: Any, y: Any = None, *, X_train: Any = None) -> Evaluation:
    """Log-likelihood, BIC and AIC of a mixture, or the squared error of clusters; with labels, how far both agree.

    Args:
        estimator: fitted: a mixture with `score_samples`, `bic` and `aic`, or clusters with `squared_error`.
        X: rows, (n, ...).
        y: their classes, (n,), which the clusters were not told.
        X_train: the rows of the fit, which BIC and AIC are for; without it they are of X, and say so.

    Returns:
        Measures by name.

    Raises:
        ValueError: rows that the estimator refuses, or not one label a row.

    Example:
        >>> from isthmus import KMeans
        >>> X = [[0.0], [1.0], [9.0], [10.0]]
        >>> evaluate_clusters(KMeans(2, random_state=0).fit(X), X, [0, 0, 1, 1])["adjusted_rand_index"].value
        1.0
    """
    mixture = hasattr(estimator, "score_samples")
    measures = list(_of_mixture(estimator, X, X_train) if mixture else _of_clusters(estimator, X))
    notes = []
    if y is not None:
        try:
            measures.append(_agreement(estimator.predict(X), y))
        except ValueError as error:
            notes.append(f"adjusted_rand_index: none. {error}")
    return Evaluation(tuple(measures), tuple(notes))


def _measure(name: str, mean: Mean, unit: str, description: str) -> Measure:
    return Measure(name, mean.value, None if np.isnan(mean.standard_error) else mean.standard_error, unit, description)


def _of_mixture(estimator: Any, X: Any, X_train: Any) -> Iterator[Measure]:
    description = "log p(x), exact, in units of the features; of continuous data a density, which may be positive"
    yield _measure("log_likelihood", Mean.of(estimator.score_samples(X)), "nats", description)
    rows, which = (X, "rows measured, meant for those of the fit") if X_train is None else (X_train, "training rows")
    of = f"of the {len(rows):,} {which}; {BOTH}"
    yield Measure("bic", float(estimator.bic(rows)), None, "nats, twice", f"-2 log L + parameters * log n, {of}")
    yield Measure("aic", float(estimator.aic(rows)), None, "nats, twice", f"-2 log L + 2 * parameters, {of}")


def _of_clusters(estimator: Any, X: Any) -> Iterator[Measure]:
    errors = np.asarray(estimator.squared_error(X))
    description = "squared distance of x to the centre of its cluster, summed over features"
    yield _measure("squared_error", Mean.of(errors), "squared error per example", description)
    n_features = estimator.n_features_in_
    each = f"the same divided by the {n_features} features"
    yield _measure("squared_error_per_feature", Mean.of(errors / n_features), "squared error per feature", each)
    yield Measure("inertia", float(errors.sum()), None, "squared error", "the sum over all examples")


def _agreement(clusters: np.ndarray, y: Any) -> Measure:
    from sklearn.metrics import adjusted_rand_score
    from sklearn.utils.multiclass import type_of_target

    labels = np.asarray(y)
    if labels.shape != clusters.shape:
        raise ValueError(f"Expected one label a row, got labels {labels.shape} for {len(clusters)} rows.")
    if (kind := type_of_target(labels)) not in ("binary", "multiclass"):
        raise ValueError(f"It needs one class label a row, and y is {kind}.")
    description = "pairs that clusters and classes both keep together or apart: 1 for all, 0 for as many as by chance"
    return Measure("adjusted_rand_index", float(adjusted_rand_score(labels, clusters)), None, "index", description)

"""What codes are good for: labels read from them, and how many of their units say anything."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .mean import Mean

__all__ = ["active_units", "probe_accuracy"]


def _probe(kind: str) -> Any:
    # Imported here, as only probes need these: they take longer to load than all the rest of this package.
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    if kind == "neighbours":
        return make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=5))
    raise ValueError(f"Expected kind 'logistic' or 'neighbours', got {kind!r}.")


def probe_accuracy(
    train_codes: ArrayLike,
    train_labels: ArrayLike,
    codes: ArrayLike,
    labels: ArrayLike,
    kind: Literal["logistic", "neighbours"] = "logistic",
) -> Mean:
    """Accuracy of a simple classifier that sees only the codes.

    "logistic" asks whether classes can be told apart by planes, "neighbours" (the 5 nearest) whether codes of a class
    lie together. Each dimension is scaled to variance 1 on the training codes, as the scale of a code is arbitrary.
    Deterministic.

    Args:
        train_codes: codes to learn from, (m, D).
        train_labels: their labels, (m,).
        codes: codes to label, (n, D).
        labels: their true labels, (n,).
        kind: the classifier.

    Returns:
        Accuracy between 0 and 1, and its standard error over examples.

    Raises:
        ValueError: unknown kind; arrays that don't fit together or a single class, as scikit-learn says.

    Example:
        >>> codes, labels = [[0.0], [1.0], [10.0], [11.0]] * 5, [0, 0, 1, 1] * 5
        >>> probe_accuracy(codes, labels, [[0.5], [9.0], [1.5]], [0, 1, 1]).value.__round__(2)
        0.67
    """
    classifier = _probe(kind).fit(np.asarray(train_codes), np.asarray(train_labels))
    return Mean.of(classifier.predict(np.asarray(codes)) == np.asarray(labels))


def active_units(means: ArrayLike, threshold: float = 0.01) -> np.ndarray:
    r"""Which units of a code carry information: those with :math:`Var_x(E_{q(z_d|x)}[z_d]) > 0.01`.

    For codes with prior N(0, I), whose scale is known; a unit that the model ignores has the same mean for every x.

    Args:
        means: means of q(z|x), (n, D), of a few hundred examples or more.
        threshold: least variance of an active unit.

    Returns:
        True for active units, (D,).

    Raises:
        ValueError: not two-dimensional.

    References:
        Burda, Grosse and Salakhutdinov 2015, "Importance Weighted Autoencoders", section 5.2.

    Example:
        >>> active_units([[1.0, 0.01], [-1.0, -0.01]])
        array([ True, False])
    """
    array = np.asarray(means, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"Expected means (n, n_components), got {array.shape}.")
    return array.var(axis=0) > threshold

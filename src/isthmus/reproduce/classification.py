"""How tables score classifiers, and features by a linear classifier on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from .data import unit
from .table import Job

__all__ = ["feature_errors", "misclassified"]


def misclassified(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """100 for each example that is misclassified and 0 for others, (n,), so that their mean is in per cent."""
    return 100.0 * (np.asarray(predicted) != np.asarray(labels))


def feature_errors(
    job: Job, transform: Any, x: np.ndarray, y: np.ndarray, *, strength: float = 1.0, max_iter: int = 100
) -> np.ndarray:
    """Errors on the test images of a logistic regression on features, in per cent as `misclassified` gives them.

    Args:
        job: whose test images.
        transform: from rows (n, F) in [0, 1] to features.
        x, y: rows and labels to learn from.
        strength: scikit-learn's C, the inverse of the weight of the squared coefficients.
        max_iter: of L-BFGS.
    """
    features = np.asarray(transform(x), np.float32)
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=strength, max_iter=max_iter).fit(scaler.transform(features), y)
    return misclassified(model.predict(scaler.transform(transform(unit(job.data.x_test)))), job.data.y_test)  # type: ignore[arg-type]

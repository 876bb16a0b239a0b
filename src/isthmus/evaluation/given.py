"""What methods of a conditional estimator take besides rows, for whoever treats all estimators alike."""

from __future__ import annotations

from typing import Any

__all__ = ["given", "is_conditional"]


def is_conditional(estimator: Any) -> bool:
    """Whether an estimator is told something of each row, such as its class."""
    return getattr(estimator, "conditional", False) is True  # a mixture's is a method


def given(estimator: Any, conditions: Any, advice: str = "pass y") -> dict[str, Any]:
    """Arguments for `transform` and the others: the conditions of the rows, where an estimator is told of them.

    Args:
        estimator: any estimator.
        conditions: labels or vectors of the rows, or None where there are none.
        advice: what to do where there are none, for the error.

    Returns:
        `{"conditions": ...}`, or nothing for an estimator that is told nothing.

    Raises:
        ValueError: conditions are missing.

    Example:
        >>> from isthmus.estimators import ConditionalVAE, GaussianMixture
        >>> given(ConditionalVAE(), [3, 1]), given(GaussianMixture(), [3, 1])
        ({'conditions': [3, 1]}, {})
    """
    if not is_conditional(estimator):
        return {}
    if conditions is None:
        raise ValueError(
            f"Expected labels, as {type(estimator).__name__} is told that of each row, got data without them; {advice}."
        )
    return {"conditions": conditions}

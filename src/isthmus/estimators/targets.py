"""Rows with targets, at the border of estimators that learn p(y|x)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import _check_y, check_consistent_length
from torch import Tensor

from ..data.shards import Shards
from ..training import Rows, Scaling
from .blocks import checked_weight
from .common import as_array
from .standardise import Standardisation

__all__ = ["TargetRows", "checked_targets"]


class TargetRows:
    """How estimators of p(y|x) come from what `fit` is given to `Rows`; a leaf knows its targets.

    It has `_learned`, which says what rows have a target, and what all targets are as the model sees them, and keeps
    what it learned of them; and `_told`, targets of further rows.
    """

    def _train_rows(self: Any, X: Any, y: Any, sample_weight: Any) -> Rows:
        """Rows that count, standardised; keeps how."""
        rows = self._begin_fit(X)
        if isinstance(rows, Shards):
            raise ValueError(
                f"Expected rows in memory, got {len(rows):,} that are read while training; use numpy.asarray(X)."
            )
        weight = None if sample_weight is None else checked_weight(sample_weight, rows)
        kept, target = self._learned(y, len(rows), weight)
        kept = kept if weight is None else kept & (weight > 0)
        rows, target, weight = rows[kept], target[torch.from_numpy(kept)], None if weight is None else weight[kept]
        self.inputs_, self.scaling_ = Standardisation.of(rows, weight), Scaling()
        return self._as_rows(rows, target, weight)

    def _watched_rows(self: Any, validation: Any) -> Rows:
        """Those of a pair (X, y)."""
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise ValueError(f"Expected validation as a pair (X, y), got {type(validation).__name__}.")
        rows = self._rows(validation[0])
        return self._as_rows(rows, self._told(validation[1], len(rows)), None)

    def _as_rows(self: Any, rows: np.ndarray, target: Tensor, weight: np.ndarray | None) -> Rows:
        weights = None if weight is None else torch.from_numpy(weight)
        return Rows(self._scaled(rows).float(), None, weights, target.float() if target.is_floating_point() else target)


def checked_targets(y: Any, n_rows: int) -> np.ndarray:
    """Numbers to predict, (n, k) float64, that torch may hold: columns of frames can't be written to.

    Raises:
        ValueError: none, not one row each, not finite, or no numbers.
    """
    if y is None:
        raise ValueError("Expected numbers to predict, got none: requires y to be passed, but the target y is None.")
    y = _check_y(as_array(y), multi_output=True, y_numeric=True)
    if len(y) != n_rows:
        check_consistent_length(np.empty((n_rows, 0)), y)
    return np.require(y, np.float64, "W").reshape(n_rows, -1)

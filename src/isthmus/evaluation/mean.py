"""A mean over examples, never without its error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

__all__ = ["Mean"]


class Mean(NamedTuple):
    """A mean over examples and its standard error, which is NaN for a single example."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: ArrayLike | Tensor) -> Mean:
        """Mean of values (n,), and sd / sqrt(n).

        Example:
            >>> Mean.of([1.0, 3.0])
            Mean(value=2.0, standard_error=1.0)
        """
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
        error = float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else math.nan
        return cls(float(array.mean()), error)

"""What a conditional model is told of each row: a label, or a vector of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ..data.memory import check_fits
from .labels import class_numbers
from .saved import value_of

__all__ = ["Conditions"]


class Conditions(NamedTuple):
    """The kind of condition that a model was fitted with, and its form as numbers.

    Labels become one number a class, 1 for a row's own and 0 for the others. Vectors stay as they are.

    Attributes:
        classes: the labels there are, sorted, (c,): numbers, truth values or text; None where conditions are vectors.
        width: numbers of a condition: c for labels.

    Example:
        >>> Conditions.of(["b", "a", "b"]).as_tensor(["a", "b"], n_rows=2)
        tensor([[1., 0.],
                [0., 1.]])
    """

    classes: np.ndarray | None
    width: int

    @classmethod
    def of(cls, y: Any) -> Self:
        """The kind that these conditions are: labels (n,), or vectors (n, c).

        Raises:
            ValueError, TypeError: missing values, real numbers as labels, or what is neither number nor text.
        """
        values = _values(y)
        if values.ndim == 2 and values.shape[1] > 0:
            _check_numbers(values)
            return cls(None, values.shape[1])
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"Expected labels (n,) or vectors (n, c) as y, got shape {values.shape}.")
        if values.dtype.kind == "f" and (values != np.rint(values)).any():
            raise ValueError(
                "Expected class labels in a y of one dimension, got real numbers; use y[:, None] to condition on them."
            )
        classes = np.unique(values)
        return cls(classes, len(classes))

    def as_tensor(self, conditions: Any, n_rows: int) -> Tensor:
        """Conditions of some rows as the model takes them.

        Args:
            conditions: one a row, or one for all rows: labels (n_rows,) or a label; vectors (n_rows, c) or one (c,).
            n_rows: how many rows there are.

        Returns:
            (n_rows, width), float32.

        Raises:
            ValueError, TypeError: missing or unknown labels, another number or another kind of them.
        """
        if conditions is None:
            raise ValueError(f"Expected {self._wanted} as conditions, got None; pass one for each row, or one for all.")
        values = _values(conditions)
        one = values.ndim == (0 if self.classes is not None else 1)
        shape = () if self.classes is not None else (self.width,)
        if values.shape != (shape if one else (n_rows, *shape)):
            raise ValueError(f"Expected {self._wanted} for each of {n_rows} rows, or one for all, got {values.shape}.")
        check_fits(4 * n_rows * self.width, f"{self.width:,} numbers for each of {n_rows:,} rows", "use fewer classes")
        if self.classes is None:
            _check_numbers(values)
            return torch.from_numpy(values.astype(np.float32)).expand(n_rows, self.width).contiguous()
        tensor = torch.zeros(n_rows, self.width)
        tensor[torch.arange(n_rows), torch.from_numpy(np.broadcast_to(self._numbers(values), n_rows).copy())] = 1
        return tensor

    @property
    def _wanted(self) -> str:
        return "a label" if self.classes is not None else f"a vector of {self.width} numbers"

    def _numbers(self, values: np.ndarray) -> np.ndarray:
        """Number of each label's class."""
        classes: Any = self.classes
        if (classes.dtype.kind == "U") != (values.dtype.kind == "U"):
            wanted, got = ("text", "numbers") if classes.dtype.kind == "U" else ("numbers", "text")
            raise ValueError(f"Expected labels as {wanted}, as at fit, got {got}.")
        numbers, unknown = class_numbers(values, classes)
        if len(unknown):
            raise ValueError(f"Expected labels known from fit, {_listed(classes)}, got {_listed(np.unique(unknown))}.")
        return numbers

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"classes_": None if self.classes is None else self.classes.tolist(), "n_conditions_": self.width}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What `record` wrote.

        Raises:
            ValueError: another thing.
        """
        width = value_of(record, "n_conditions_", int)
        names = value_of(record, "classes_", list[str] | list[bool] | list[int] | list[float] | None)
        classes = None if names is None else np.array(names)
        if width < 1 or (classes is not None and (len(classes) != width or classes.dtype.kind not in "biufU")):
            raise ValueError(f"{width} numbers a condition")
        if classes is not None and not np.array_equal(np.unique(classes), classes):
            raise ValueError("classes that are not sorted")
        return cls(classes, width)


def _values(conditions: Any) -> np.ndarray:
    """Labels or numbers in any container as an array: text as text, nothing missing."""
    if isinstance(conditions, Tensor):
        conditions = conditions.detach().cpu()
        conditions = conditions.float() if conditions.dtype == torch.bfloat16 else conditions
    # Lists as objects: NumPy would make text of everything beside one text, and a label of NaN.
    values = np.asarray(conditions, dtype=object if isinstance(conditions, (list, tuple)) else None)
    if values.dtype.kind in "OT":
        values = _plain(values)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "backslashreplace")
    if values.dtype.kind not in "biufU":
        raise TypeError(f"Expected labels as numbers or text, got {values.dtype}; use y.astype(str).")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = int(np.argwhere(~np.isfinite(np.atleast_1d(values)))[0][0])
        raise ValueError(f"Expected a condition for each row, got NaN or infinity in row {place}; leave such rows out.")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _plain(values: np.ndarray) -> np.ndarray:
    """Python objects as text or as numbers, where all are of one kind."""
    items = [item.item() if isinstance(item, np.generic) else item for item in values.ravel().tolist()]
    for place, item in enumerate(items):
        if item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item):
            row = place // max(1, int(np.prod(values.shape[1:])))
            raise ValueError(f"Expected a condition for each row, got a missing one in row {row}; leave such rows out.")
    kinds = {str if isinstance(item, str) else type(item) for item in items}
    if kinds and not (kinds == {str} or kinds <= {bool, int, float}):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"Expected labels as numbers or text, got {names}; use y.astype(str).")
    return np.array(items).reshape(values.shape)


def _check_numbers(values: np.ndarray) -> None:
    if values.dtype.kind == "U":
        raise TypeError("Expected numbers in two dimensions, got text; use one dimension for labels.")
    if np.abs(values.astype(np.float64)).max(initial=0) > np.finfo(np.float32).max:
        raise ValueError("Expected numbers that float32 can hold, got larger ones; scale them.")


def _listed(labels: np.ndarray) -> str:
    """Some labels in words."""
    names = [repr(label) for label in labels[:10].tolist()]
    return ", ".join(names) + (f" and {len(labels) - 10:,} more" if len(labels) > 10 else "")

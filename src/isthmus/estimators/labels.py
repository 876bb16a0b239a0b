"""Class labels at the border: which rows have one, and what the classes are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_consistent_length
from torch import Tensor

from .common import as_array

__all__ = [
    "checked_labels",
    "class_numbers",
    "classes_of",
    "is_labelled",
    "one_hot",
    "restored_classes",
    "written_classes",
]

UNLABELLED = -1


def checked_labels(y: Any, n_rows: int) -> np.ndarray:
    """Labels as an array, one a row.

    Raises:
        ValueError: none, not one a row, not finite, or numbers on a scale.
    """
    if y is None:
        raise ValueError(
            "Expected class labels, got none: this classifier requires y to be passed, but the target y is None; use "
            "-1 for rows without a label."
        )
    y = _check_y(np.asarray(as_array(y)), estimator="PretrainedClassifier")
    if len(y) != n_rows:
        check_consistent_length(np.empty((n_rows, 0)), y)
    return y


def is_labelled(y: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
    """Which rows have a label, (n,) booleans: numbers other than -1, and all text, as in `sklearn.semi_supervised`.

    Labels -1 and 1 alone are two classes. Of further rows the classes are known, and say whether -1 is one.
    """
    if y.dtype.kind not in "iufO" or (classes is not None and UNLABELLED in classes.tolist()):
        return np.ones(len(y), dtype=bool)
    labelled = np.asarray(y != UNLABELLED, dtype=bool)
    if classes is None and labelled.any() and np.asarray(y[labelled] == 1, dtype=bool).all():
        return np.ones(len(y), dtype=bool)
    return labelled


def classes_of(y: np.ndarray) -> np.ndarray:
    """The classes among labels, sorted.

    Raises:
        ValueError: fewer than two, numbers on a scale, or labels that a file can't hold.
    """
    if len(y):
        check_classification_targets(y)
    classes = np.unique(y)
    if len(classes) < 2:
        found = f"{len(classes)} class{'' if len(classes) == 1 else 'es'}"
        raise ValueError(f"Expected rows of at least two classes, got {found}; -1 stands for a row without a label.")
    written_classes(classes)
    return classes


def class_numbers(labels: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each label's class among sorted ones, and the labels that are of none of them."""
    numbers = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    return numbers, labels[classes[numbers] != labels]


def one_hot(y: np.ndarray, classes: np.ndarray) -> Tensor:
    """Labels as rows of zeros with a one, (n, n_classes) uint8.

    Raises:
        ValueError: labels that are none of the classes.
    """
    numbers, others = class_numbers(y, classes)
    if unknown := sorted({str(label) for label in others}):
        raise ValueError(f"Expected labels among {classes.tolist()}, got also {', '.join(unknown[:5])}.")
    return torch.nn.functional.one_hot(torch.from_numpy(numbers), len(classes)).to(torch.uint8)


def written_classes(classes: np.ndarray) -> dict[str, Any]:
    """Classes as JSON has them, and of what type they are.

    Raises:
        ValueError: neither numbers nor text.
    """
    values = classes.tolist()
    if not all(isinstance(value, (str, int, float)) for value in values):
        raise ValueError(f"Expected class labels as numbers or text, got {type(values[0]).__name__}.")
    return {"values": values, "dtype": classes.dtype.str.lstrip("<>|=")}


def restored_classes(record: dict[str, Any]) -> np.ndarray:
    """Classes from JSON.

    Raises:
        KeyError, TypeError, ValueError: it has none.
    """
    values, dtype = record["values"], np.dtype(record["dtype"])
    if dtype.kind not in "biufUO" or not isinstance(values, list):
        raise ValueError(f"classes of type {dtype}")
    if (
        not all(isinstance(value, (str, int, float)) for value in values)
        or len(set(values)) != len(values)
        or len(values) < 2
    ):
        raise ValueError("classes that are not different numbers or texts")
    classes = np.array(values, dtype=dtype)
    if classes.tolist() != values or (np.sort(classes) != classes).any():
        raise ValueError(f"classes that are no {dtype}, or not in order")
    return classes

"""What every reader returns: training and test examples, with what is known about them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .validation import check_examples, check_labels

__all__ = ["TEST_FRACTION", "DataSet", "make_data_set"]

TEST_FRACTION = 0.2
"""Share of the examples that is kept for testing where a source brings no split of its own."""


class DataSet(NamedTuple):
    """Examples to train on and to test on.

    Attributes:
        name: short name for titles and folders.
        x_train: (n, d), (n, h, w) or (n, c, h, w); uint8 pixels in 0..255, or floats.
        y_train: labels of the training examples, (n,), or None.
        x_test: examples that training never sees, of the same shape.
        y_test: their labels, or None.
        feature_shape: shape of one example: (d,), (h, w) or (c, h, w).
        description: one sentence for reports.
        split: how the test examples were chosen, as plain JSON: `{"kind": "own"}` or
            `{"kind": "random", "seed": ..., "test_fraction": ...}`.
        feature_names: names of a table's columns, or None.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    feature_shape: tuple[int, ...]
    description: str
    split: dict[str, Any]
    feature_names: tuple[str, ...] | None = None

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Examples and labels of a part: "train", "test", or "all" of them, training examples first."""
        parts = {"train": (self.x_train, self.y_train), "test": (self.x_test, self.y_test)}
        if name != "all":
            return parts[name]
        y = None if self.y_train is None or self.y_test is None else np.concatenate((self.y_train, self.y_test))
        return np.concatenate((self.x_train, self.x_test)), y


def make_data_set(
    name: str,
    train: tuple[np.ndarray, np.ndarray | None],
    test: tuple[np.ndarray, np.ndarray | None] | None,
    *,
    description: str = "",
    feature_names: tuple[str, ...] | None = None,
    seed: int | None = 0,
) -> DataSet:
    """Check examples and labels, and split them at random if they bring no test set.

    Args:
        name: of the set, used in errors as well.
        train: examples and their labels.
        test: the same for testing; None draws a share of `TEST_FRACTION` from `train`.
        description: one sentence; the sizes are put behind it.
        feature_names: of a table's columns.
        seed: of the random split; None draws none, so that all rows stay in order, in `x_train`.

    Raises:
        ValueError: not numeric, empty, not finite, of unfit shape, or labels of another length.
    """
    x_train = check_examples(train[0], f"{name}", feature_names)
    y_train = check_labels(train[1], len(x_train), name)
    split: dict[str, Any] = {"kind": "own"}
    if test is not None:
        x_test = check_examples(test[0], f"the test examples of {name}", feature_names)
        y_test = check_labels(test[1], len(x_test), f"the test examples of {name}")
        _check_alike(x_train, x_test, name)
    elif seed is None:
        split = {"kind": "none"}
        x_test, y_test = x_train[:0], None if y_train is None else y_train[:0]
    else:
        first, second = random_split(len(x_train), seed, name)
        split = {"kind": "random", "seed": seed, "test_fraction": TEST_FRACTION}
        x_train, x_test = x_train[first], x_train[second]
        y_train, y_test = (None, None) if y_train is None else (y_train[first], y_train[second])
    shape = tuple(x_train.shape[1:])
    how = {"own": "own split", "none": "not split"}.get(split["kind"], f"random split, seed {seed}")
    sizes = f"{len(x_train):,} examples to train on and {len(x_test):,} to test on ({how}), {_shape_text(shape)}"
    text = f"{description.rstrip('.')}: {sizes}." if description else f"{sizes}."
    return DataSet(name, x_train, y_train, x_test, y_test, shape, text, split, feature_names)


def random_split(n: int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for testing, a pure function of the number of rows and the seed."""
    if n < 2:
        raise ValueError(f"Expected at least 2 examples in {name} to split into training and test, got {n}.")
    order = np.random.default_rng(seed).permutation(n)
    n_test = max(1, round(TEST_FRACTION * n))
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def _check_alike(x_train: np.ndarray, x_test: np.ndarray, name: str) -> None:
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"Expected test examples shaped like the training examples of {name}, "
            f"got {x_test.shape[1:]} for {x_train.shape[1:]}."
        )
    if (x_train.dtype == np.uint8) != (x_test.dtype == np.uint8):  # 0..255 beside 0..1 would pass silently
        raise ValueError(
            f"Expected training and test examples of {name} in the same units, "
            f"got {x_train.dtype} and {x_test.dtype}; use uint8 pixels or floats for both."
        )


def _shape_text(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]:,} features each"
    pixels = f"{shape[-2]} x {shape[-1]} pixels each"
    return pixels if len(shape) == 2 else f"{shape[0]} channels of {pixels}"

"""Training, validation and test parts: explicit, seeded, and recorded as plain JSON so that they can be had again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .dataset import DataSet, Labelled
from .shards import Shards

__all__ = ["TEST_FRACTION", "VALIDATION_FRACTION", "random_split", "recorded_split", "split_data"]

TEST_FRACTION = 0.2
"""Share of the examples that is kept for testing where a source brings no such part of its own."""

VALIDATION_FRACTION = 0.1
"""Share of those that are left which is kept for validation, likewise."""


def split_data(
    data: DataSet,
    seed: int = 0,
    validation_fraction: float = VALIDATION_FRACTION,
    test_fraction: float = TEST_FRACTION,
) -> DataSet:
    """Draw the validation and test parts that a set does not bring; those that it brings stay as they are.

    The test part does not depend on the validation fraction, so that models chosen in different ways compare.

    Args:
        data: a set as it was read.
        seed: the same seed gives the same parts.
        validation_fraction: share of the examples that are not for testing; 0 draws none.
        test_fraction: share of all examples; 0 draws none.

    Returns:
        The same examples in three parts, each in the order of the source. `Shards` are divided by whole blocks, and the
        parts drawn are small enough to be read into memory, see `Shards.draw`. `split` says for "validation" and "test"
        whether they are the set's "own", "random" or "none", with the seed and the fractions of those drawn.

    Raises:
        ValueError: a fraction outside [0, 1), or fewer than 2 examples to split.

    Example:
        >>> from isthmus.data.dataset import make_data_set
        >>> data = split_data(make_data_set("line", (np.arange(10.0)[:, None], None)))
        >>> data.x_train.ravel(), data.x_valid.ravel(), data.x_test.ravel()
        (array([0., 1., 3., 5., 7., 8., 9.]), array([2.]), array([4., 6.]))
    """
    for what, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise ValueError(f"Expected {what} in [0, 1), got {fraction}.")
    fractions = {"test": test_fraction, "validation": validation_fraction}
    drawn = {kind: share for kind, share in fractions.items() if share and data.split[kind] == "none"}
    if not drawn:
        return data
    valid_share, test_share = drawn.get("validation", 0.0), drawn.get("test", 0.0)
    record: dict[str, Any] = {kind: "random" for kind in drawn} | {"seed": seed}
    if isinstance(data.x_train, Shards):
        test, valid, train = data.x_train.draw(seed, test_share, valid_share * (1 - test_share))
        record["block_rows"] = data.x_train.draw_rows
    else:
        train, valid, test = random_split(len(data.x_train), seed, data.name, valid_share, test_share)
    whole = data.x_train, data.y_train
    parts: dict[str, Any] = dict(zip(("x_train", "y_train"), _rows(whole, train), strict=True))
    if "validation" in drawn:
        parts |= zip(("x_valid", "y_valid"), _rows(whole, valid), strict=True)
    if "test" in drawn:
        parts |= zip(("x_test", "y_test"), _rows(whole, test), strict=True)
    record |= {f"{kind}_fraction": share for kind, share in drawn.items()}
    return data._replace(split=data.split | record, **parts)


def recorded_split(split: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `split_data` that draw a recorded split again."""
    return {
        "seed": split.get("seed", 0),
        "validation_fraction": split.get("validation_fraction", 0.0),
        "test_fraction": split.get("test_fraction", 0.0),
    }


def random_split(
    n: int, seed: int, name: str, validation_fraction: float = 0.0, test_fraction: float = TEST_FRACTION
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers for training, validation and testing, a pure function of the number of rows and the arguments."""
    if n < 2 and (validation_fraction or test_fraction):
        raise ValueError(f"Expected at least 2 examples in {name} to split, got {n}.")
    order = np.random.default_rng(seed).permutation(n)
    n_test = _share(n, test_fraction)
    n_valid = _share(n - n_test, validation_fraction)
    train, valid, test = order[n_test + n_valid :], order[n_test : n_test + n_valid], order[:n_test]
    return np.sort(train), np.sort(valid), np.sort(test)


def _share(n: int, fraction: float) -> int:
    """So many of n rows, at least one where any are asked for and one can be spared."""
    return min(max(1, round(fraction * n)), n - 1) if fraction else 0


def _rows(part: Labelled, rows: Any) -> Labelled:
    x, y = part
    if isinstance(x, Shards):
        return x.part(rows), None if y is None else np.concatenate([y[:0], *(y[start:stop] for start, stop in rows)])
    return x[rows], None if y is None else y[rows]

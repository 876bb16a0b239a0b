"""What every reader returns: examples to train on, to validate and to test with, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .shards import Shards
from .validation import check_examples, check_labels

__all__ = ["DataSet", "Examples", "Labelled", "binarisation_text", "make_data_set"]

Examples = Any
"""An array (n, ...), or `Shards` where it is larger than a buffer: rows that are read when they are needed."""

Labelled = tuple[Examples, np.ndarray | None]
"""Examples (n, ...) and their labels (n,) or None."""


class DataSet(NamedTuple):
    """Examples in three parts: for training, for validation while training, and for testing afterwards.

    Attributes:
        name: short name for titles and folders.
        x_train: (n, d), (n, h, w) or (n, c, h, w); uint8 pixels in 0..255, or floats; `Shards` where the data are
            larger than a buffer.
        y_train: labels of the training examples, (n,), or None.
        x_valid: examples to choose by while training, such as when to stop; of the same shape, perhaps none.
        y_valid: their labels, or None.
        x_test: examples that nothing is fitted to or chosen by, perhaps none.
        y_test: their labels, or None.
        feature_shape: shape of one example: (d,), (h, w) or (c, h, w).
        source: where they come from, in a few words.
        split: how the parts were chosen, as plain JSON; see `isthmus.data.split`.
        feature_names: names of a table's columns, or None.
        binarisation: how grey pixels became black and white ones before, as plain JSON, `{"kind": "static", "seed":
            ...}`, or None where they did not.
        preparation: how the source became examples, as plain JSON, for `load_data` to read others in the same way; or
            None where nothing was done to them.
    """

    name: str
    x_train: Examples
    y_train: np.ndarray | None
    x_valid: Examples
    y_valid: np.ndarray | None
    x_test: Examples
    y_test: np.ndarray | None
    feature_shape: tuple[int, ...]
    source: str
    split: dict[str, Any]
    feature_names: tuple[str, ...] | None = None
    binarisation: dict[str, Any] | None = None
    preparation: dict[str, Any] | None = None

    @property
    def description(self) -> str:
        """One sentence for reports."""
        parts = {"to train on": self.x_train, "to validate with": self.x_valid, "to test on": self.x_test}
        sizes = [f"{len(x):,} examples {what}" for what, x in parts.items() if len(x)]
        sizes = sizes[:1] + [size.replace(" examples", "") for size in sizes[1:]]
        last = f" and {sizes.pop()}" if len(sizes) > 1 else ""
        how = [_split_text(self.split)] + ([binarisation_text(self.binarisation)] if self.binarisation else [])
        return self._sentence(f"{', '.join(sizes)}{last} ({', '.join(how)})")

    @property
    def description_of_rows(self) -> str:
        """One sentence for who only reads the rows, whatever they are for."""
        n_rows = sum(map(len, (self.x_train, self.x_valid, self.x_test)))
        how = f" ({binarisation_text(self.binarisation)})" if self.binarisation else ""
        return self._sentence(f"{n_rows:,} rows read{how}")

    def _sentence(self, rows: str) -> str:
        text = f"{rows}, {_shape_text(self.feature_shape)}."
        return f"{self.source}: {text}" if self.source else text

    def part(self, name: str) -> Labelled:
        """Examples and labels of a part: "train", "validation", "test", or "all" of them in this order.

        Raises:
            ValueError: another name.
        """
        parts = {
            "train": (self.x_train, self.y_train),
            "validation": (self.x_valid, self.y_valid),
            "test": (self.x_test, self.y_test),
        }
        if name in parts:
            return parts[name]
        if name != "all":
            raise ValueError(f"Expected a part among {', '.join(parts)} and all, got {name!r}.")
        filled = [part for part in parts.values() if len(part[0])]
        if len(filled) == 1:
            return filled[0]
        labels = [y for _, y in filled if y is not None]
        y = np.concatenate(labels) if len(labels) == len(filled) else None
        return np.concatenate([x for x, _ in filled]), y


def make_data_set(
    name: str,
    train: Labelled,
    test: Labelled | None = None,
    *,
    valid: Labelled | None = None,
    description: str = "",
    feature_names: tuple[str, ...] | None = None,
    binarisation: dict[str, Any] | None = None,
    missing: bool = False,
) -> DataSet:
    """Check examples and labels; `isthmus.data.split` draws the parts that they don't bring.

    Args:
        name: of the set, used in errors as well.
        train: examples and their labels.
        test: the same for testing, where the set has a part for it.
        valid: the same for validation.
        description: where they come from, in a few words.
        feature_names: of a table's columns.
        binarisation: of data that come black and white; see `DataSet`.
        missing: whether NaN may stand for values that are not known.

    Returns:
        The examples in the order in which they came; parts that the set does not have are empty.

    Raises:
        ValueError: not numeric, empty, not finite, of unfit shape, or labels of another length.
    """
    x_train = train[0]
    if not isinstance(x_train, Shards):
        x_train = check_examples(x_train, name, feature_names, missing=missing)
    y_train = check_labels(train[1], len(x_train), name)
    nothing: Labelled = (x_train[:0], None if y_train is None else y_train[:0])
    split = {kind: "none" if part is None else "own" for kind, part in (("validation", valid), ("test", test))}
    parts = (valid, f"the validation examples of {name}"), (test, f"the test examples of {name}")
    checked = (nothing if part is None else _checked(part, x_train, what, missing=missing) for part, what in parts)
    (x_valid, y_valid), (x_test, y_test) = checked
    return DataSet(
        name, x_train, y_train, x_valid, y_valid, x_test, y_test, tuple(x_train.shape[1:]), description.rstrip("."),
        split, feature_names, binarisation,
    )  # fmt: skip


def _checked(part: Labelled, x_train: Examples, what: str, *, missing: bool) -> Labelled:
    """A part of a set, like its training examples in shape and units."""
    x = check_examples(part[0], what, missing=missing)
    if x_train.shape[1:] != x.shape[1:]:
        raise ValueError(f"Expected {what} shaped like those for training, got {x.shape[1:]} for {x_train.shape[1:]}.")
    if (x_train.dtype == np.uint8) != (x.dtype == np.uint8):  # 0..255 beside 0..1 would pass silently
        raise ValueError(
            f"Expected {what} in the same units as those for training, got {x.dtype} for {x_train.dtype}; "
            "use uint8 pixels or floats for both."
        )
    return x, check_labels(part[1], len(x), what)


def binarisation_text(binarisation: Mapping[str, Any]) -> str:
    """How data were binarised, in words: what a likelihood of them is a likelihood of."""
    seed = binarisation.get("seed")
    how = f"seed {seed}" if seed is not None else binarisation.get("by", "as published")
    return f"{binarisation['kind']} binarisation ({how})"


def _split_text(split: dict[str, Any]) -> str:
    drawn = [kind for kind in ("validation", "test") if split.get(kind) == "random"]
    own = [kind for kind in ("validation", "test") if split.get(kind) == "own"]
    if not drawn:
        return "own split" if own else "not split"
    text = f"random split{' by blocks' if 'block_rows' in split else ''}, seed {split['seed']}"
    return text if not own else f"{text}; own {own[0]} part"


def _shape_text(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]:,} features each"
    pixels = f"{shape[-2]} x {shape[-1]} pixels each"
    return pixels if len(shape) == 2 else f"{shape[0]} channels of {pixels}"

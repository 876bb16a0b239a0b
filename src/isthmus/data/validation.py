"""What may enter: numbers, finite, at least one example, in two to four dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["check_examples", "check_labels", "check_unpacked_size", "place_of_unfit"]

_CHANNELS = (1, 2, 3, 4)

_ALWAYS, _MOST_EXPANSION = 64 << 20, 200


def check_examples(
    x: np.ndarray, name: str, feature_names: tuple[str, ...] | None = None, *, missing: bool = False
) -> np.ndarray:
    """Numeric, finite, non-empty examples (n, d), (n, h, w) or (n, c, h, w).

    uint8 stays what it is, pixels; other integers and booleans become floats wide enough to hold them. With `missing`,
    NaN may stand for values that are not known.

    Raises:
        ValueError: anything else, naming the first place that is wrong.
    """
    if x.dtype.kind not in "buif":
        kind = "Python objects" if x.dtype.kind == "O" else f"dtype {x.dtype}"
        raise ValueError(f"Expected numbers in {name}, got {kind}; use a plain integer or float array.")
    if x.ndim not in (2, 3, 4):
        hint = "; use x.reshape(-1, 1) for one feature" if x.ndim == 1 else ""
        raise ValueError(
            f"Expected examples (n, d), images (n, h, w) or (n, c, h, w) in {name}, got shape {x.shape}{hint}."
        )
    if x.size == 0:
        raise ValueError(f"Expected at least one example with at least one feature in {name}, got shape {x.shape}.")
    if x.ndim == 4 and x.shape[-1] in _CHANNELS and x.shape[1] not in _CHANNELS:
        raise ValueError(
            f"Expected images (n, c, h, w) in {name}, got shape {x.shape}, channels last; use x.transpose(0, 3, 1, 2)."
        )
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind != "f" or x.dtype.itemsize == 2:
        x = x.astype(np.promote_types(x.dtype, np.float32))
    x = x.astype(x.dtype.newbyteorder("="), copy=False)  # a file may be of the other endianness
    _check_finite(x, name, feature_names, missing=missing)
    return x


def check_labels(y: np.ndarray | None, n: int, name: str) -> np.ndarray | None:
    """Labels (n,), numbers or strings, or None.

    Raises:
        ValueError: Python objects, another shape, another length, or numbers that are not finite.
    """
    if y is None:
        return None
    if y.dtype.kind not in "buifSU":
        raise ValueError(f"Expected numbers or strings as labels of {name}, got dtype {y.dtype}.")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (n,):
        raise ValueError(f"Expected one label for each of the {n} examples of {name}, got shape {y.shape}.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise ValueError(f"Expected finite labels of {name}, got {y[row]} in row {row}.")
    return y


def check_unpacked_size(size: int, packed: int, what: str) -> None:
    """Refuse a size that packed bytes can't hold, or should not, before anything is allocated.

    Images shrink tenfold when they are packed; what was made to fill a memory, a thousandfold.

    Raises:
        ValueError: it is too large.
    """
    if size > max(_ALWAYS, _MOST_EXPANSION * packed) or size > 1040 * packed + 4096:
        raise ValueError(f"Expected data of a likely size in {what}, got a header that says {size:,} bytes.")


def place_of_unfit(x: np.ndarray, feature_names: Sequence[str] | None = None, *, missing: bool = False) -> str | None:
    """What is not finite among examples (n, ...), where it is first, and how many more there are; None where all are.

    With `missing`, NaN is as good as a number.

    Example:
        >>> place_of_unfit(np.array([[1.0, 2.0], [np.nan, np.nan]]), ("height", "weight"))
        "nan in row 1, column 'height' (and in 1 more place), counted from 0"
    """
    # The sum is finite whenever all numbers are (unless it overflows): the common case allocates nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(x.sum(dtype=np.float64)):
            return None
    bad = np.isinf(x) if missing else ~np.isfinite(x)
    if not bad.any():
        return None
    row, *place = (int(i) for i in np.argwhere(bad)[0])
    if len(place) == 1:
        where = f"column {place[0]}" if feature_names is None else f"column {feature_names[place[0]]!r}"
    else:
        where = f"position {tuple(place)}"
    n = int(bad.sum()) - 1
    more = f" (and in {n:,} more place{'s' if n > 1 else ''})" if n else ""
    return f"{x[(row, *place)]} in row {row}, {where}{more}, counted from 0"


def _check_finite(x: np.ndarray, name: str, feature_names: tuple[str, ...] | None, *, missing: bool) -> None:
    found = place_of_unfit(x, feature_names, missing=missing)
    if found is not None:
        raise ValueError(
            f"Expected finite numbers in {name}, got {found}; use data without missing values, or drop or fill those "
            "rows first; --missing keep is for models that take NaN."
        )

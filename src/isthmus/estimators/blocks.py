"""Rows taken a block at a time: data larger than memory, and what resident data don't need whole copies for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from ..data.memory import check_fits
from ..data.shards import Shards, is_large_map
from ..evaluation.chunks import CHUNK_SIZE
from ..training import Rows
from ..training.stream import Stream

__all__ = [
    "block_rows",
    "check_conversion",
    "checked_weight",
    "column_moments",
    "hold_out",
    "in_blocks",
    "row_blocks",
    "shards_of",
    "told_blocks",
    "training_data",
]

BLOCK_BYTES = 2**23
"""Of the float32 copy of a block: 8 MB."""


def shards_of(X: Any) -> Shards | None:
    """`Shards`, and memory maps too large for a buffer as such; None for what is taken as it is."""
    if is_large_map(X):
        return Shards(X, name="the memory map")
    return X if isinstance(X, Shards) else None


def block_rows(rows: Any) -> int:
    """Rows of a block: whole chunks (see `map_rows`), so that results are those of all rows at once, to the bit."""
    chunk_bytes = 4 * CHUNK_SIZE * max(1, int(np.prod(rows.shape[1:])))
    return max(1, BLOCK_BYTES // chunk_bytes) * CHUNK_SIZE


def row_blocks(X: Any) -> Iterator[Any]:
    """Rows in memory as they are; those of shards in blocks of a size that leaves results as they would be at once."""
    shards = shards_of(X)
    if shards is None:
        yield X
    else:
        yield from shards.blocks(block_rows(shards))


def told_blocks(blocks: Iterable[Any], told: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each block with what an estimator's methods take beside its rows: see `isthmus.evaluation.given`."""
    start = 0
    for block in blocks:
        stop = start + len(block)
        yield block, {name: values[start:stop] for name, values in told.items()}
        start = stop


def in_blocks(
    X: Any,
    check: Callable[[Any], np.ndarray],
    function: Callable[..., np.ndarray],
    beside: Callable[[int], Tensor] | None = None,
) -> np.ndarray:
    """A function of validated rows, a block at a time: memory stays constant but for the result.

    Args:
        X: rows in any form.
        check: from rows to validated ones (n, F).
        function: from validated rows, and what is beside them, to one result a row, (n, ...).
        beside: from the number of rows n to what else is known of each, such as its condition, (n, ...).
    """
    shards = shards_of(X)
    rows: Any = check(X) if shards is None else shards
    size = block_rows(rows)
    results = np.empty(0)
    known = () if beside is None else (beside(len(rows)),)
    for start in range(0, max(1, len(rows)), size):
        here = slice(start, min(start + size, len(rows)))
        part = function(rows[here] if shards is None else _read(shards, here, check), *(part[here] for part in known))
        if start == 0:
            if len(part) == len(rows):
                return part
            what = f"the results of {len(rows):,} rows"
            check_fits(part[:1].nbytes * len(rows), what, "take the rows a block at a time, by Shards(X).blocks()")
            results = np.empty((len(rows), *part.shape[1:]), part.dtype)
        results[here] = part
    return results


def _read(shards: Shards, here: slice, check: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Validated rows of a block; an error counts them from its first."""
    try:
        return check(shards[here])
    except ValueError as error:
        raise (ValueError(f"From {shards.place(here.start)} on: {error}") if here.start else error) from error


def check_conversion(X: Any) -> None:
    """Make sure that rows other than uint8 and floats, which become float64, fit in memory as such."""
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype not in (np.float64, np.float32, np.uint8):
        check_fits(
            8 * X.size, f"the rows, {dtype} now, as float64", "use X.astype('float32'), or isthmus.data.Shards(X)"
        )


def training_data(rows: np.ndarray | Shards, weight: np.ndarray | None, beside: Mapping[str, Tensor]) -> Rows | Stream:
    """What `fit` trains on: rows, their weights, and other parts of `Rows` by name."""
    parts: dict[str, Any] = {**beside} if weight is None else {**beside, "weight": torch.from_numpy(weight)}
    return Stream(rows, **parts) if isinstance(rows, Shards) else Rows(torch.from_numpy(rows), **parts)


def hold_out(stream: Stream, fraction: float, seed: int) -> tuple[Stream, Rows]:
    """Training rows, and rows held out in memory: whole blocks, no more of them than fit in a buffer."""
    held_out, train = stream.shards.draw(seed, fraction)
    kept, apart = (stream.shards.part(ranges) for ranges in (train, held_out))
    x = torch.from_numpy(np.asarray(apart)).reshape(len(apart), -1)
    known = {name: getattr(stream, name) for name in Rows._fields[1:]}
    others: list[dict[str, Any]] = [
        {name: torch.cat([part[a:b] for a, b in ranges]) for name, part in known.items() if part is not None}
        for ranges in (train, held_out)
    ]
    return Stream(kept, **others[0]), Rows(x, **others[1])


def checked_weight(sample_weight: Any, rows: np.ndarray | Shards) -> np.ndarray:
    """Weights of the rows as float64, (n,), that torch may hold: columns of frames can't be written to."""
    weight = sample_weight.detach().cpu().numpy() if isinstance(sample_weight, Tensor) else sample_weight
    weight = _check_sample_weight(weight, np.empty((len(rows), 0)), dtype=np.float64)
    if (weight < 0).any() or not weight.sum() > 0:
        raise ValueError("Expected weights >= 0 with a positive sum, got others.")
    return np.require(weight, requirements="W")


def column_moments(rows: np.ndarray | Shards, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and variance of each column, in float64 and in pieces of bounded memory.

    Rounding leaves constant columns a deviation of about eps * mean: they get a variance of 0.

    Raises:
        ValueError: numbers whose squares float64 can't hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = _moments(rows, weight)
    variance[np.sqrt(variance) <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 0.0
    if not np.isfinite(len(rows) * variance.sum()):
        raise ValueError("Expected data whose squares float64 can hold, got larger ones; scale them down.")
    return mean, variance


def _moments(rows: np.ndarray | Shards, weight: np.ndarray | None, size: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and variance of each column, in float64, in pieces of bounded memory."""
    if isinstance(rows, Shards):
        known = rows.statistics(weight)
        return known.mean, known.variance.copy()
    share = np.full(len(rows), 1 / len(rows)) if weight is None else weight / weight.sum()
    pieces = [slice(start, start + size) for start in range(0, len(rows), size)]
    origin = rows[0].astype(np.float64)  # counted from here, a constant column has no rounding error
    mean = origin + np.sum([share[piece] @ (rows[piece] - origin) for piece in pieces], axis=0)
    return mean, np.sum([share[piece] @ np.square(rows[piece] - mean) for piece in pieces], axis=0)

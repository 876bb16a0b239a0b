"""Values that no writer of ours would write, and where in a record they may stand."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

__all__ = ["VALUES", "changed", "paths"]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 0.5, 1e308, -1e-300, 10**9, 10**12, 2**63, -(2**63), 10**30, 10**400, "", "3", "x" * 10**5,
    "\ud800", "own module", "VAE", "__class__", [], [0], [-1], [10**9], [10**12], [2**62, 2**62], [1] * 10_000, [[1]],
    nested(400), {}, {"a": 1}, {"shape": "cosine", "warm_up": 10**30}, {"": {"": []}}, float("nan"), float("inf"), ...,
)  # fmt: skip


def paths(record: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each value in a record, from the outside in."""
    if prefix:
        yield prefix
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for name, value in list(items)[:20]:
        yield from paths(value, (*prefix, name))


def changed(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a record with another value at a place; `...` removes what is there."""
    record = copy.deepcopy(record)
    *way, last = path
    part = record
    for name in way:
        part = part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return record

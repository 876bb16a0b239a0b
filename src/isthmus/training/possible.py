"""Whether what a checkpoint says of a run is possible: its checksum may be right and its content anything."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["check_numbers", "check_tensors"]

_MOST = 2**53
"""Steps and examples are counted in numbers that JSON and float64 hold exactly."""


def check_numbers(metadata: Mapping[str, Any]) -> None:
    """The counts, times, names and records of a checkpoint.

    Raises:
        KeyError: one is missing.
        ValueError: one is impossible.
    """
    for name in ("step", "examples", "stale"):
        value = metadata[name]
        _possible(name, value, type(value) is int and 0 <= value < _MOST)
    seconds, best, names, history = (metadata[name] for name in ("seconds", "best_loss", "names", "history"))
    _possible("seconds", seconds, _is_number(seconds) and seconds >= 0)
    _possible("best_loss", best, best is None or _is_number(best))
    _possible("names", names, isinstance(names, list) and all(isinstance(name, str) for name in names))
    _possible("history", history, isinstance(history, list) and all(map(_is_record, history)))


def check_tensors(
    like: Mapping[str, Tensor], saved: Mapping[str, Tensor], trained: Sequence[Tensor], average: Sequence[Tensor],
    moments: Mapping[str, Tensor], sums: Tensor | None, n_names: int,
) -> None:  # fmt: skip
    """The tensors of a checkpoint besides the weights.

    Args:
        like, saved: the model's weights and buffers, and the best ones of the run, or none.
        trained, average: the trained parameters, and their averages, or none.
        moments: of the optimiser, by name, and how many updates it made.
        sums: of an epoch's statistics, or None.
        n_names: how many statistics there are.

    Raises:
        ValueError: one is impossible.
    """
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in like.items()}
    if saved and {name: (tensor.shape, tensor.dtype) for name, tensor in saved.items()} != shapes:
        raise ValueError("best weights of another model")
    if average and [(t.shape, t.dtype) for t in average] != [(t.shape, t.dtype) for t in trained]:
        raise ValueError("averaged weights of another model")
    if not all(moment.is_floating_point() and moment.isfinite().all() for moment in moments.values()):
        raise ValueError("moments that are not finite")
    counts = [moment for name, moment in moments.items() if name.endswith(".committed")]
    if any(count.dtype != torch.float32 or count < 0 for count in counts):
        raise ValueError("an impossible number of updates")
    if sums is not None and (sums.shape != (n_names,) or not sums.is_floating_point()):
        raise ValueError(f"sums of shape {tuple(sums.shape)} of {n_names} statistics")


def _possible(name: str, value: Any, possible: bool) -> None:
    if not possible:
        raise ValueError(f"{name} {reprlib.repr(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(value is None or _is_number(value) for value in record.values())

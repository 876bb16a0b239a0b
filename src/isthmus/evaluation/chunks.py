"""Apply a function to rows piece by piece: memory stays bounded and a row's result does not depend on its company."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..processes import add_up, n_processes, own_part

__all__ = ["CHUNK_SIZE", "device_of", "evaluating", "map_rows"]

CHUNK_SIZE = 256
"""Rows of a chunk: enough for fast matrix products, and few enough that one row alone is not slow."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout, no batch statistics) without gradients; afterwards each module is as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def device_of(model: nn.Module) -> torch.device:
    """Where the model's parameters (or buffers) are; the CPU for a model without either."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def _chunk(rows: Tensor, size: int, device: torch.device) -> Tensor:
    """Rows in a tensor of their own, filled up with the last row: a row of zeros may be no valid input.

    Always a copy: where a slice starts in memory decides how a processor's vector instructions round.
    """
    chunk = torch.empty((size, *rows.shape[1:]), dtype=rows.dtype, device=device)
    chunk[: len(rows)] = rows
    chunk[len(rows) :] = rows[-1]
    return chunk


def map_rows(
    function: Callable[..., Tensor | tuple[Tensor, ...]],
    *rows: Tensor | None,
    chunk_size: int = CHUNK_SIZE,
    device: torch.device | str | None = None,
) -> tuple[Tensor, ...]:
    """Results of a function of rows, computed in chunks of one size.

    Matrix products of different sizes round differently (by 3e-7, relatively), so every chunk has the same size and
    the last one is padded: with a function that treats rows alike, a row's result is equal in every batch. Linear maps
    do, but for those from a width that is no multiple of 4 to 10 outputs or fewer, which CPUs round by a row's place.
    Inside `isthmus.processes.joined`, each process computes a part of the chunks and all have all results.

    Args:
        function: chunks (chunk_size, ...) -> one tensor (chunk_size, ...) or a tuple of them; run without gradients.
        *rows: tensors with n rows each; None is handed on as it is.
        chunk_size: rows of a chunk.
        device: where the function runs; by default where the rows are. Results come back to where the rows are.

    Returns:
        A tuple of results, each with n rows, which may be used in later computations with gradients.

    Raises:
        ValueError: no rows, or tensors of different lengths.

    Example:
        >>> x = torch.arange(5.0)[:, None]
        >>> (doubled,) = map_rows(lambda chunk: 2 * chunk, x, chunk_size=2)
        >>> doubled[:, 0]
        tensor([0., 2., 4., 6., 8.])
    """
    lengths = {len(tensor) for tensor in rows if tensor is not None}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"Expected tensors with one and the same number of rows, at least 1, got {sorted(lengths)}.")
    (n,) = lengths
    home = next(tensor.device for tensor in rows if tensor is not None)
    where = home if device is None else torch.device(device)
    results: tuple[Tensor, ...] = ()
    starts = range(0, n, chunk_size)
    shared = len(starts) >= n_processes()  # with fewer chunks than processes, each computes all of them
    for start in starts[own_part(len(starts)).rows] if shared else starts:
        here = slice(start, start + chunk_size)
        size = min(chunk_size, n - start)
        with torch.inference_mode():
            chunks = [None if t is None else _chunk(t[here], chunk_size, where) for t in rows]
            output = function(*chunks)
        outputs = (output,) if isinstance(output, Tensor) else output
        # Allocated outside of inference mode, as its tensors could not be used with gradients later.
        results = results or tuple(t.new_zeros((n, *t.shape[1:]), device=home) for t in outputs)
        for result, piece in zip(results, outputs, strict=True):
            result[here] = piece[:size]
    return tuple(add_up(result) for result in results) if shared else results

"""Trained networks and their histories in files, and back, checked before they are believed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..data.memory import check_fits
from .saved import value_of

__all__ = [
    "History",
    "check_weights_fit",
    "checked_history",
    "part_of",
    "restored_model",
    "written_history",
    "written_model",
]

History = list[dict[str, Any]]
"""One record an epoch."""

Model = TypeVar("Model", bound=nn.Module)


def written_model(model: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of a model, as a file has them."""
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def restored_model(make: Callable[[], Model], tensors: dict[str, Tensor], least: int = 0) -> Model:
    """The model whose weights a file has, which are taken out of its tensors.

    Args:
        make: the untrained model.
        tensors: of the file.
        least: tensors that it has in any case, so that what a file says of layers is not believed too easily.

    Raises:
        ValueError: other weights.
    """
    weights = {name: tensors.pop(f"model.{name}") for name in part_of(tensors, "model.")}
    if least > len(weights):
        raise ValueError("fewer weights than layers")
    # First without memory: what a file says of sizes is believed only where its tensors have them.
    with torch.device("meta"):
        _check_shapes(make(), weights)
    model = make().eval()
    model.load_state_dict(weights)
    return model


def check_weights_fit(make: Callable[[], nn.Module], sizes: str, advice: str) -> None:
    """Find out before a model is made whether its weights fit in memory.

    Args:
        make: the model.
        sizes: the parameters that decide, for the message.
        advice: likewise.

    Raises:
        ValueError: they don't, or can't even be counted.
    """
    try:
        with torch.device("meta"):
            n_bytes = sum(parameter.nbytes for parameter in make().parameters())
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ValueError(f"Expected a model whose weights can be counted, got {sizes}; {advice}.") from error
    check_fits(n_bytes, "the model's weights", advice)


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Names of tensors that begin so, without this beginning."""
    return [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]


def _check_shapes(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in weights.items()}
    if expected != found:
        differing = sorted({name for name, _ in expected.items() ^ found.items()})
        raise ValueError(f"other weights than its parameters ask for: {', '.join(differing[:5])}")


def written_history(history: History) -> History:
    """A history as JSON has it, which knows no NaN and no infinity, as a validation loss may be."""
    return [
        {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in record.items()}
        for record in history
    ]


def checked_history(record: Mapping[str, Any], name: str = "history_") -> History:
    """A history of a file's record.

    Raises:
        ValueError: it is none.
    """
    history = value_of(record, name, list[dict[str, float | None]])
    if not all("loss" in epoch for epoch in history):
        raise ValueError("a history without losses")
    return history

"""A user's own encoder or decoder: copied, tried, and fed rows."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..evaluation.chunks import device_of

__all__ = ["OwnNetwork"]


class OwnNetwork(nn.Module):
    """A copy of a user's network that sees rows (n, width), whatever axes stand before.

    Args:
        own: the user's module, which stays as it is.
        n_inputs: width of its input.
        side: "encoder" or "decoder", for messages.

    Attributes:
        n_features: width of its output.
        project: its own map from features to parameters of p(x|z), where it has a method of that name.

    Raises:
        ValueError: a network that takes no such rows, or gives no rows.
    """

    def __init__(self, own: nn.Module, n_inputs: int, side: str) -> None:
        super().__init__()
        self.own = copy.deepcopy(own)  # as scikit-learn asks, fitting leaves the parameter as it was
        self.n_features = self._try(n_inputs, side)
        project = getattr(self.own, "project", None)
        self.project = project if callable(project) and not isinstance(project, nn.Module) else None

    def _try(self, n_inputs: int, side: str) -> int:
        """Width of the features, found in evaluation mode: a trial leaves no trace in batch statistics."""
        self.own.eval()
        try:
            with torch.no_grad():
                features = self.own(torch.zeros(2, n_inputs, device=device_of(self.own)))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"Expected the {side} to take inputs (n, {n_inputs}), got one that fails: {error}; images come flat, "
                "use nn.Unflatten(1, (channels, height, width)) first."
            ) from error
        finally:
            self.own.train()
        shape = tuple(getattr(features, "shape", ()))
        if len(shape) != 2 or shape[0] != 2:
            raise ValueError(
                f"Expected the {side} to give features (n, width), got {shape}; use nn.Flatten() at its end."
            )
        return shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Features of rows, (..., n_features)."""
        features = self.own(x.reshape(-1, x.shape[-1]))
        return features.reshape(*x.shape[:-1], -1)

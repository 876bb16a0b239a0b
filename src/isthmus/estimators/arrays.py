"""Estimators whose fit is a few arrays and plain values by name: to a file and back, checked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .saved import value_of

__all__ = ["FittedArrays"]


class FittedArrays:
    """What was learned as float64 arrays of known shapes and values of known types; an estimator names them."""

    @abstractmethod
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that were learned."""

    @abstractmethod
    def _plain(self) -> dict[str, Any]:
        """Names and types of the plain values that were learned."""

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {name: torch.from_numpy(getattr(self, name)) for name in self._shapes()}
        return tensors, {name: getattr(self, name) for name in self._plain()}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        for name, shape in self._shapes().items():
            tensor = tensors.pop(name)
            if tensor.shape != shape or tensor.dtype != torch.float64:
                raise ValueError(f"{name} of shape {tuple(tensor.shape)} and {tensor.dtype}")
            setattr(self, name, tensor.numpy())
        for name, hint in self._plain().items():
            value = value_of(fitted, name, hint)
            setattr(self, name, float(value) if hint is float else value)

"""Likelihood of categorical variables, one-hot."""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributions import OneHotGroups
from .base import Head, Projection

__all__ = ["CategoricalHead"]


class CategoricalHead(Head):
    """Independent categorical variables, scored on one-hot targets side by side, (..., n_outputs * n_classes).

    Use it for columns of a table, or with one output for a classifier p(y|x). Targets are one-hot, not integers, so
    that the mean, the classes' probabilities, has the shape of the data. A group of zeros counts as missing.

    Args:
        n_features: width of the features.
        n_outputs: number of variables.
        n_classes: classes of each.
        project: see `Head`.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> CategoricalHead(4, 2, n_classes=3)(torch.zeros(5, 4)).mean.shape
        torch.Size([5, 6])
    """

    def __init__(self, n_features: int, n_outputs: int, *, n_classes: int, project: Projection | None = None) -> None:
        if n_classes < 2:
            raise ValueError(f"Expected n_classes >= 2, got {n_classes}.")
        super().__init__(n_features, n_outputs, n_classes, project=project)

    def forward(self, features: Tensor) -> OneHotGroups:
        """The distribution of the variables."""
        return OneHotGroups(torch.stack(self.project_to_parameters(features), dim=-1))

"""Priors over codes: a batch in, the distribution of its codes before x is seen out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.distributions import Distribution

from .distributions import normal

if TYPE_CHECKING:
    from .model import Batch

__all__ = ["StandardNormal"]


class StandardNormal(nn.Module):
    r"""The prior :math:`p(z) = N(0, I)`.

    Args:
        n_components: dimension D of the code.

    Example:
        >>> from isthmus.model import Batch
        >>> batch = Batch(x := torch.zeros(3, 5), x)
        >>> StandardNormal(2)(batch).mean.shape
        torch.Size([3, 2])
    """

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.n_components = n_components

    def forward(self, batch: Batch) -> Distribution:
        """N(0, I) for each of the B examples."""
        loc = batch.x.new_zeros(len(batch.x), self.n_components)
        return normal(loc, torch.ones_like(loc))

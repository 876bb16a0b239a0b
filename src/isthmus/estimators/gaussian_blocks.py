"""Mixtures of Gaussians from rows that are read a block at a time: data larger than memory, and mini-batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.shards import Shards
from ..mixtures.covariance_rule import CovarianceRule
from ..mixtures.em import EMResult
from ..mixtures.gaussian_fit import collapsed_components
from ..mixtures.online import fit_in_batches, fit_in_passes, online_start
from .gaussian_given import BaseGaussianGiven

__all__ = ["BaseGaussianBlocks"]

START_ROWS = 2**13
"""Rows, drawn from all of them, that a start is found on, at least; of many components more."""
ROWS_A_COMPONENT = 500
BLOCK_NUMBERS = 2**21
"""Of a block in a pass over all rows: 16 MB."""
TOGETHER = 16
"""Blocks of shards, from different places, whose rows are shuffled together."""
LAST_PASSES = 2
"""Of EM over all rows after mini-batches, to take the noise of the last ones away."""


class BaseGaussianBlocks(BaseGaussianGiven):
    """How a mixture of Gaussians learns from rows that need not fit in memory."""

    batch_size: int | None

    @abstractmethod
    def _found(
        self, rows: Tensor, weight: Tensor | None, generator: torch.Generator
    ) -> tuple[EMResult, list[int], int, CovarianceRule]:
        """A fit to rows in memory: how it went, components that collapsed, new seeds, what kept the others from it."""

    @abstractmethod
    def _take_gaussians(self, found: EMResult, collapsed: list[int], n_seeded: int) -> None:
        """Take over what EM found."""

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"Expected batch_size >= 1, or None, got {self.batch_size}.")

    def _by_blocks(self, rows: np.ndarray | Shards) -> bool:
        return isinstance(rows, Shards) or (self.batch_size is not None and self.batch_size < len(rows))

    def _learn_by_blocks(
        self, rows: np.ndarray | Shards, weight: np.ndarray | None, generator: torch.Generator
    ) -> None:
        told = np.ones(len(rows)) if weight is None else weight
        most = max(START_ROWS, ROWS_A_COMPONENT * self._n_clusters)
        counted = np.flatnonzero(told)
        chosen = counted[torch.randperm(len(counted), generator=generator)[:most].sort().values.numpy()]
        some, of_some = self._block(rows, told, chosen)
        start, _, n_seeded, rule = self._found(some, of_some, generator)
        gaussians, n_steps, converged = start.parameters, 0, False

        def blocks() -> Iterator[tuple[Tensor, Tensor]]:
            size = max(1, BLOCK_NUMBERS // self.n_features_in_)
            for first in range(0, len(rows), size):
                yield self._block(rows, told, slice(first, min(first + size, len(rows))))

        settings: dict[str, Any] = {"rule": rule, "tolerance": float(self.tol), "max_iter": int(self.max_iter)}
        if self.batch_size is not None:
            state = online_start(some, gaussians, of_some)
            batched = fit_in_batches(lambda: self._batches(rows, told, generator), state, **settings)
            gaussians, n_steps, converged = batched.parameters.gaussians, batched.n_steps, batched.converged
            settings["max_iter"] = LAST_PASSES
        found = fit_in_passes(blocks, gaussians, **settings)
        found = found._replace(n_steps=n_steps + found.n_steps, converged=converged or found.converged)
        self.n_seen_ = float(told.sum())
        collapsed = collapsed_components(found.parameters, self.n_seen_, rule)
        self._take_gaussians(found, collapsed.tolist(), n_seeded)

    def _block(self, rows: np.ndarray | Shards, weight: np.ndarray, which: Any) -> tuple[Tensor, Tensor]:
        """Some rows, checked and on the device, and their weights."""
        x = self._as_data(self._rows(rows[which]))
        return x, torch.from_numpy(np.ascontiguousarray(weight[which])).to(x.device)

    def _batches(
        self, rows: np.ndarray | Shards, weight: np.ndarray, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in mini-batches: shuffled, or where they lie in files, in blocks of many places at a time."""
        size = rows.block_rows if isinstance(rows, Shards) else 1
        n_blocks = -(-len(rows) // size)
        together = TOGETHER if isinstance(rows, Shards) else int(self.batch_size or 1)
        for group in torch.randperm(n_blocks, generator=generator).split(together):
            index = (group[:, None] * size + torch.arange(size)).flatten()
            index = index[index < len(rows)].sort().values.numpy()
            x, share = self._block(rows, weight, index)
            for part in torch.randperm(len(x), generator=generator).to(x.device).split(int(self.batch_size or 1)):
                yield x[part], share[part]

"""The base of estimators with a few discrete causes, of which each row has one: input, seeds, labels and files."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.memory import check_fits
from ..data.shards import Shards
from ..evaluation.chunks import map_rows
from ..training import Scaling, Settings
from .arrays import FittedArrays
from .blocks import checked_weight, in_blocks
from .common import PIXEL_LEVELS, BaseIsthmus, random_generator

__all__ = ["BaseClusters"]


class BaseClusters(FittedArrays, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseIsthmus):
    """A model that scores each row for each of a few clusters; a leaf learns, and says how.

    Rows are scored in float64 and in chunks of one size, so that a row's result is the same in every batch.
    """

    max_iter: int
    tol: float
    n_init: int
    random_state: int | np.random.RandomState | None
    device: str
    n_iter_: int

    @property
    @abstractmethod
    def _n_clusters(self) -> int:
        """How many there are to be."""

    @abstractmethod
    def _learn(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> None:
        """Learn from rows (n, F) in units of the data, on the device, and how many rows each counts as, (n,)."""

    @abstractmethod
    def _scorer(self) -> Callable[[Tensor], Tensor]:
        """A function of float64 rows (n, F) in units of the data, on the device: a score for each cluster, (n, K)."""

    # --- fit --------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from rows X.

        Args:
            X: (n, features), or images (n, h, w) or (n, c, h, w): NumPy, pandas, polars or torch.
            y: ignored.
            sample_weight: how many rows each row counts as, (n,); any numbers >= 0.

        Returns:
            The estimator itself.

        Raises:
            ValueError, TypeError: bad data or parameters, or fewer rows than clusters.
        """
        with self._all_or_nothing():
            rows = self._begin_fit(X)
            if isinstance(rows, Shards) and not self._by_blocks(rows):
                advice = "use partial_fit, where there is one, with Shards(X).blocks(), or a sample of the rows"
                check_fits(rows.nbytes, f"all {len(rows):,} rows of {rows.name}", advice)
                rows = self._rows(np.asarray(rows))
            weight = None if sample_weight is None else checked_weight(sample_weight, rows)
            self._check_enough(len(rows) if weight is None else int(np.count_nonzero(weight)))
            self._begin_scale()
            if self._by_blocks(rows):
                self._learn_by_blocks(rows, weight, self._generator())
                return self
            told = None if weight is None else torch.from_numpy(weight).to(self._device())
            self._learn(self._as_data(np.asarray(rows)), told, self._generator())
        return self

    def _by_blocks(self, rows: np.ndarray | Shards) -> bool:
        """Whether rows are learnt from a block at a time; those that are not must fit in memory."""
        return False

    def _learn_by_blocks(
        self, rows: np.ndarray | Shards, weight: np.ndarray | None, generator: torch.Generator
    ) -> None:
        """Learn from validated rows, or shards, which `_rows` checks when they are read."""
        raise NotImplementedError

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """`fit`, and then `predict` of the same rows; y is ignored."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def _begin_scale(self) -> None:
        self.scaling_ = Scaling(scale=PIXEL_LEVELS if self.pixels_ else 1.0)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("max_iter", "n_init"):
            if getattr(self, name, 1) < 1:
                raise ValueError(f"Expected {name} >= 1, got {getattr(self, name)}.")
        if self._n_clusters < 1:
            raise ValueError(f"Expected at least 1 cluster or component, got {self._n_clusters}.")
        if self.tol < 0:
            raise ValueError(f"Expected tol >= 0, got {self.tol}.")
        self._device()

    def _check_enough(self, n_samples: int) -> None:
        if n_samples < self._n_clusters:
            raise ValueError(
                f"Expected at least as many rows as clusters or components, got n_samples = {n_samples} (of weight "
                f"above 0) for {self._n_clusters}; use fewer."
            )

    def _device(self) -> torch.device:
        device = Settings(device=self.device).resolve_device()
        return torch.device("cpu") if device.type == "mps" else device  # which has no float64

    def _generator(self) -> torch.Generator:
        """Of this fit's draws: a function of the seed."""
        return torch.Generator().manual_seed(int(random_generator(self.random_state).randint(2**31 - 1)))

    def _as_data(self, rows: np.ndarray) -> Tensor:
        """Validated rows in units of the data, on the device: pixels in [0, 1] as float32, floats as they are."""
        x = torch.from_numpy(rows).to(self._device())
        return self._prepared(x.float() / PIXEL_LEVELS if self.pixels_ else x)

    def _prepared(self, x: Tensor) -> Tensor:
        """Rows in units of the data as the model counts them."""
        return x

    def _warn_of(self, n_steps: int, gain: float) -> None:
        warnings.warn(
            f"Expected steps to gain no more than tol={self.tol:g} within max_iter={self.max_iter}, got {n_steps} "
            f"steps, the last of which gained {gain:.1e}; use a larger max_iter or tol.",
            ConvergenceWarning,
            stacklevel=4,
        )

    # --- use --------------------------------------------------------------------------------

    def _of_rows(self, X: Any, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        """A function of float64 rows in units of the data, in chunks on the device."""
        check_is_fitted(self)
        device = self._device()

        def found(rows: np.ndarray) -> np.ndarray:
            x = self._prepared(torch.from_numpy(self.data_units(rows)))
            return map_rows(function, x, device=device)[0].numpy()

        return in_blocks(X, self._rows, found)

    def predict(self, X: Any) -> np.ndarray:
        """The number of each row's most probable, or nearest, cluster.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Numbers from 0, (n,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        scorer = self._scorer()
        return self._of_rows(X, lambda rows: scorer(rows).argmax(dim=1))

    def _tensor(self, name: str) -> Tensor:
        """A learned array on the device."""
        return torch.from_numpy(getattr(self, name)).to(self._device())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # what it gives is float64, always
        tags.input_tags.allow_nan = self.missing_values
        return tags

"""The covariance of rows: all that a linear-Gaussian model needs of its data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Covariance", "covariance_of"]


@dataclass(frozen=True)
class Covariance:
    r"""A covariance S of F features, kept in the smaller of two forms.

    Args:
        matrix: S, (F, F) float64.
        root: A with :math:`S = A^T A`, (n, F) float64: of fewer rows than features. One of the two is None.

    Example:
        >>> root = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
        >>> Covariance(root=root).diagonal, Covariance(matrix=root.T @ root).diagonal
        (tensor([1., 4.], dtype=torch.float64), tensor([1., 4.], dtype=torch.float64))
    """

    matrix: Tensor | None = None
    root: Tensor | None = None

    @property
    def n_features(self) -> int:
        """F."""
        return self._held.shape[1]

    @property
    def _held(self) -> Tensor:
        held = self.root if self.matrix is None else self.matrix
        if held is None:
            raise ValueError("Expected a covariance as a matrix or as its root, got neither.")
        return held

    @property
    def diagonal(self) -> Tensor:
        """Variance of each feature, (F,)."""
        return self._held.square().sum(dim=0) if self.matrix is None else self.matrix.diagonal()

    def times(self, rows: Tensor) -> Tensor:
        """Rows (k, F) times S, (k, F)."""
        return (rows @ self._held.T) @ self._held if self.matrix is None else rows @ self.matrix

    def divided(self, unit: Tensor) -> Covariance:
        """That of the features in other units, each given as a number of the old one, (F,)."""
        if self.matrix is None:
            return Covariance(root=self._held / unit)
        return Covariance(matrix=self.matrix / unit / unit[:, None])

    def principal(self, n_components: int) -> tuple[Tensor, Tensor, float]:
        """Variances along the first D principal axes, largest first, (D,), and the axes, orthonormal rows (D, F).

        And the mean variance along the F - D axes left out, zeros among them. What rounding alone may have left is 0.
        The largest number of an axis is positive, as in scikit-learn.
        """
        if self.matrix is None:
            singular, axes = torch.linalg.svd(self._held, full_matrices=False)[1:]
            values, axes, size = singular.square(), axes, max(self._held.shape)
            accuracy = (size * torch.finfo(torch.float64).eps) ** 2
        else:
            ascending, vectors = torch.linalg.eigh(self.matrix)
            values, axes = ascending.flip(0), vectors.T.flip(0)
            accuracy = 4 * self.n_features * torch.finfo(torch.float64).eps
        rounding = accuracy * float(values[0])
        # The mean as it is, as rounding errors cancel out in it, and to leave out the small ones would make it smaller.
        left_out = float(values[n_components:].sum()) / max(1, self.n_features - n_components)
        kept = torch.where(values > rounding, values, 0.0)[:n_components]
        return kept, with_positive_signs(axes[:n_components]), left_out if left_out > rounding else 0.0


def with_positive_signs(rows: Tensor) -> Tensor:
    """Each row or its negative: that whose number of largest magnitude is positive."""
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return rows * torch.where(largest < 0, -1.0, 1.0)


def covariance_of(blocks: Iterable[tuple[Tensor, Tensor]], n_rows: int, n_features: int) -> Covariance:
    r"""Covariance :math:`\sum_i w_i x_i x_i^T` of centred rows that come block by block.

    Args:
        blocks: centred rows (m, F) and how much each counts (m,), such as 1 / n; float64.
        n_rows: of all blocks together.
        n_features: F.

    Returns:
        The matrix where there are more rows than features, else its root: never more than F x F numbers.

    Example:
        >>> rows = torch.tensor([[-1.0], [1.0], [0.0]], dtype=torch.float64)
        >>> covariance_of([(rows, torch.full((3,), 1 / 3))], 3, 1).matrix
        tensor([[0.6667]], dtype=torch.float64)
    """
    if n_rows <= n_features:
        return Covariance(root=torch.cat([rows * share.double().sqrt()[:, None] for rows, share in blocks]))
    matrix = torch.zeros(n_features, n_features, dtype=torch.float64)
    for rows, share in blocks:
        weighted = rows * share.double().sqrt()[:, None]
        matrix.addmm_(weighted.T, weighted)
    return Covariance(matrix=matrix)

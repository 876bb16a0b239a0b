"""What an M-step of a mixture of Gaussians needs: counts, means and scatters, which can be added and blended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from .covariance_rule import CovarianceRule, regularised
from .gaussian import Gaussians

__all__ = ["Moments", "maximised", "moments_of"]

CHUNK_NUMBERS = 2**20
"""Of what is computed at a time for each row, component and feature: 8 MB."""


class Moments(NamedTuple):
    """Expected counts, means and scatters of the components, about the means: no offset of the data cancels in them.

    Attributes:
        counts: how many rows each component has, (K,).
        means: of its rows, (K, F).
        scatters: sums of products of what its rows differ by from the mean: (K, F, F); of all components together
            (F, F) for "tied"; of squares alone (K, F) for "diag" and "spherical".
        kind: of the covariances, as in `Gaussians`.
    """

    counts: Tensor
    means: Tensor
    scatters: Tensor
    kind: str

    @classmethod
    def of_sums(cls, counts: Tensor, origins: Tensor, first: Tensor, second: Tensor, kind: str) -> Moments:
        """From sums of differences and of their products that were taken about other points, (K, F)."""
        shift = first / counts.clamp_min(torch.finfo(counts.dtype).tiny)[..., None]
        return cls(counts, origins + shift, second - _spread(counts, shift, kind), kind)

    def blended(self, other: Moments, step: float) -> Moments:
        """(1 - step) times these and step times others."""
        return Moments.total([self.times(1 - step), other.times(step)])

    def times(self, factor: float) -> Moments:
        """The same of so many times as many rows."""
        return self._replace(counts=self.counts * factor, scatters=self.scatters * factor)

    @classmethod
    def total(cls, parts: Iterable[Moments]) -> Moments:
        """Those of the rows of all parts."""
        whole, *others = parts
        for part in others:
            counts = whole.counts + part.counts
            share = part.counts / counts.clamp_min(torch.finfo(counts.dtype).tiny)
            apart = part.means - whole.means
            scatters = whole.scatters + part.scatters + _spread(whole.counts * share, apart, whole.kind)
            whole = cls(counts, whole.means + share[:, None] * apart, scatters, whole.kind)
        return whole


def moments_of(rows: Tensor, shares: Tensor, kind: str) -> Moments:
    """Moments of components that have known shares (n, K) of the rows (n, F), float64; in chunks of bounded memory.

    Example:
        >>> found = moments_of(torch.tensor([[1.0], [3.0], [8.0]]), torch.tensor([[1.0, 0], [1, 0], [0, 1]]), "diag")
        >>> found.means[:, 0], found.scatters[:, 0]
        (tensor([2., 8.], dtype=torch.float64), tensor([2., 0.], dtype=torch.float64))
    """
    size = max(1, CHUNK_NUMBERS // (rows.shape[1] * shares.shape[1]))
    starts = range(0, len(rows), size)
    return Moments.total(_of_chunk(rows[i : i + size].double(), shares[i : i + size].double(), kind) for i in starts)


def _of_chunk(rows: Tensor, shares: Tensor, kind: str) -> Moments:
    center = rows.mean(dim=0)
    x, counts = rows - center, shares.sum(dim=0)
    means = (shares.T @ x) / counts.clamp_min(torch.finfo(counts.dtype).tiny)[:, None]
    apart = x - means[:, None]
    weighted = apart * shares.T[..., None]
    scatters = weighted.mT @ apart if kind in ("full", "tied") else (weighted * apart).sum(dim=1)
    return Moments(counts, center + means, scatters.sum(dim=0) if kind == "tied" else scatters, kind)


def maximised(moments: Moments, rule: CovarianceRule | float | Tensor = 0.0) -> Gaussians:
    """The M-step: the most likely mixture of these moments.

    Args:
        moments: from an E-step; several may share a leading axis.
        rule: what keeps covariances from collapsing; a number, or one a feature (F,), is added to the variances, in
            squared units of the data.

    Example:
        >>> counts, scatters = torch.tensor([3.0, 1.0]), torch.tensor([[6.0], [1.0]])
        >>> mixture = maximised(Moments(counts, torch.zeros(2, 1), scatters, "diag"))
        >>> mixture.weights, mixture.covariances[:, 0]
        (tensor([0.7500, 0.2500]), tensor([2., 1.]))
    """
    counts, means, scatters, kind = moments
    rule = rule if isinstance(rule, CovarianceRule) else CovarianceRule(added=rule)
    total, divisors = counts.sum(dim=-1, keepdim=True), counts
    if kind != "tied" and not rule.prior_rows:  # a prior says what a component without rows is like
        # A component that has lost its rows has no say, and takes the scatter of all so that it stays a Gaussian.
        lost = counts <= 10 * torch.finfo(counts.dtype).eps * total
        shape = (*counts.shape, *(1,) * (scatters.ndim - counts.ndim))
        pooled = scatters.sum(dim=counts.ndim - 1, keepdim=True) / total.view(*total.shape, *shape[counts.ndim :])
        scatters, divisors = torch.where(lost.view(shape), pooled, scatters), torch.where(lost, 1.0, counts)
    return Gaussians(counts / total, means, regularised(divisors, scatters, kind, rule), kind)


def _spread(counts: Tensor, apart: Tensor, kind: str) -> Tensor:
    """Scatter of counts (K,) at differences (K, F)."""
    weighted = counts[..., None] * apart
    if kind in ("diag", "spherical"):
        return weighted * apart
    return weighted.mT @ apart if kind == "tied" else weighted[..., None] * apart[..., None, :]

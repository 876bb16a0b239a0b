"""k-means: distances, starts that are far apart, and Lloyd's steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .em import em

__all__ = [
    "Clusters",
    "closest",
    "cluster_sums",
    "k_means",
    "k_means_plus_plus",
    "lloyd",
    "squared_distances",
]

BLOCK_NUMBERS = 2**18
"""Of a block of distances: it stays in a processor's cache."""


class Clusters(NamedTuple):
    """What k-means found.

    Attributes:
        centers: (K, F).
        labels: the nearest centre of each row, (n,).
        inertia: weighted sum of squared distances of rows to their centres.
        n_steps: of Lloyd.
        converged: whether the last step gained no more than the tolerance.
    """

    centers: Tensor
    labels: Tensor
    inertia: float
    n_steps: int
    converged: bool


def blocks_of(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows, for results with so many columns, that bound the memory of what is computed of them."""
    size = max(1, BLOCK_NUMBERS // max(1, n_columns))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)


def squared_distances(rows: Tensor, centers: Tensor) -> Tensor:
    r"""Squared distances :math:`\|x - c\|^2` of rows to centres, by one matrix product.

    Args:
        rows: (n, F).
        centers: (K, F).

    Returns:
        (n, K), at least 0. Counted from the middle of the centres, so that a large mean costs no digits.

    Example:
        >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor([[25.,  1.]])
    """
    origin = centers.mean(dim=0)
    x, c = rows - origin, centers - origin
    squares = x.square().sum(dim=1)[:, None] + c.square().sum(dim=1)
    return torch.addmm(squares, x, c.T, alpha=-2.0).clamp_min_(0.0)


def closest(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each row and the squared distance to it, each (n,); in blocks of bounded memory."""
    labels = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    distances = rows.new_empty(len(rows))
    for here in blocks_of(len(rows), len(centers) + rows.shape[1]):
        torch.min(squared_distances(rows[here], centers), dim=1, out=(distances[here], labels[here]))
    return labels, distances


def k_means_plus_plus(
    rows: Tensor, n_clusters: int, generator: torch.Generator, weight: Tensor | None = None
) -> Tensor:
    """Rows that are far apart, to start from: each drawn by its squared distance to those before it.

    Of some candidates for each centre the one is kept that leaves the smallest distances.

    Args:
        rows: (n, F).
        n_clusters: K, at most n.
        generator: of the draws.
        weight: how many rows each row counts as, (n,).

    Returns:
        Centres, (K, F), which are rows; where fewer than K rows differ, some are equal.

    Raises:
        ValueError: K below 1 or above n.

    References:
        Arthur, Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.

    Example:
        >>> rows = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
        >>> k_means_plus_plus(rows, 2, torch.Generator().manual_seed(0)).round().sort(dim=0).values
        tensor([[0.],
                [9.]])
    """
    if not 1 <= n_clusters <= len(rows):
        raise ValueError(f"Expected 1 <= n_clusters <= {len(rows)} rows, got {n_clusters}; use fewer.")
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    n_candidates = 2 + int(math.log(n_clusters))
    chosen = [_draw(share, 1, generator)]
    distances = closest(rows, rows[chosen[0]])[1].double()
    for _ in range(1, n_clusters):
        found = _draw(share * distances, n_candidates, generator, otherwise=share)
        left = torch.stack([torch.minimum(distances, closest(rows, rows[i : i + 1])[1].double()) for i in found])
        best = int((left @ share).argmin())
        distances = left[best]
        chosen.append(found[best : best + 1])
    return rows[torch.cat(chosen)].clone()


def _draw(mass: Tensor, n: int, generator: torch.Generator, otherwise: Tensor | None = None) -> Tensor:
    """Indices drawn by their mass; by another one where there is none left, as rows that are all equal leave none."""
    total = mass.cumsum(0)
    if not total[-1] > 0 and otherwise is not None:
        total = otherwise.cumsum(0)
    drawn = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device).to(mass.device)
    return torch.searchsorted(total, drawn * total[-1], right=True).clamp_max(len(mass) - 1)


class _Assigned(NamedTuple):
    """What a step of Lloyd needs: sums and weights of the rows of each cluster, and the rows farthest from theirs."""

    sums: Tensor
    counts: Tensor
    centers: Tensor
    farthest: Tensor


def lloyd(
    rows: Tensor, centers: Tensor, *, weight: Tensor | None = None, tolerance: float = 1e-4, max_iter: int = 300
) -> Clusters:
    """Lloyd's steps: each row to its nearest centre, each centre to the mean of its rows.

    The limit of EM for a mixture of equal, round Gaussians as their variance goes to 0. A cluster that has lost all
    its rows goes to the row that is farthest from its own centre, which no other one had.

    Args:
        rows: (n, F).
        centers: to start from, (K, F).
        weight: how many rows each row counts as, (n,).
        tolerance: gain of the mean squared distance, relative to the data's variance, at which it has converged.
        max_iter: most steps.

    Returns:
        The centres and how they were found; see `Clusters`.

    Example:
        >>> rows = torch.tensor([[0.0], [1.0], [9.0], [10.0]])
        >>> lloyd(rows, torch.tensor([[0.0], [1.0]])).centers
        tensor([[0.5000],
                [9.5000]])
    """
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    counted, total = share > 0, share.sum()
    mean = _weighted_mean(rows, share)
    centred = rows - mean.to(rows.dtype)  # a large mean costs no digits
    variance = sum(float(share[here] @ centred[here].double().square().sum(dim=1)) for here in _blocks(rows)) / total

    def assign(centers: Tensor) -> tuple[_Assigned, Tensor]:
        labels, distances = closest(centred, centers)
        sums, counts = cluster_sums(centred, labels, share, len(centers))
        n_empty = int((counts == 0).sum())
        farthest = torch.where(counted, distances, -1.0).topk(n_empty).indices if n_empty else labels[:0]
        inertia = share @ distances.double()
        return _Assigned(sums, counts, centers, farthest), -inertia / total

    def move(assigned: _Assigned) -> Tensor:
        empty = assigned.counts == 0
        means = (assigned.sums / assigned.counts.clamp_min(1e-300)[:, None]).to(rows.dtype)
        means[empty] = centred[assigned.farthest]
        return means

    start = (centers - mean.to(rows.dtype)).to(rows.dtype)
    limit = tolerance * float(variance)
    found = em(assign, move, start, tolerance=limit, max_iter=max_iter)
    labels, distances = closest(centred, found.parameters)
    inertia = float(share @ distances.double())
    return Clusters(found.parameters + mean.to(rows.dtype), labels, inertia, found.n_steps, found.converged)


def _blocks(rows: Tensor) -> Iterator[slice]:
    return blocks_of(len(rows), rows.shape[1])


def _weighted_mean(rows: Tensor, share: Tensor) -> Tensor:
    """In float64, counted from the first row."""
    origin = rows[0].double()
    added = sum((share[here] @ (rows[here].double() - origin) for here in _blocks(rows)), torch.zeros_like(origin))
    return origin + added / share.sum()


def cluster_sums(rows: Tensor, labels: Tensor, share: Tensor, n_clusters: int) -> tuple[Tensor, Tensor]:
    """Weighted sums (K, F) and weights (K,) of the rows of each cluster, in float64; by products, whose order is
    fixed on a GPU too."""
    sums = torch.zeros(n_clusters, rows.shape[1], dtype=torch.float64, device=rows.device)
    counts = torch.zeros(n_clusters, dtype=torch.float64, device=rows.device)
    for here in blocks_of(len(rows), n_clusters + rows.shape[1]):
        belongs = torch.zeros(len(labels[here]), n_clusters, dtype=torch.float64, device=rows.device)
        belongs.scatter_(1, labels[here, None], share[here, None])
        sums += belongs.T @ rows[here].double()
        counts += belongs.sum(dim=0)
    return sums, counts


def k_means(
    rows: Tensor,
    n_clusters: int,
    generator: torch.Generator,
    *,
    n_init: int = 1,
    weight: Tensor | None = None,
    tolerance: float = 1e-4,
    max_iter: int = 300,
) -> Clusters:
    """The best of several starts by `k_means_plus_plus`, each followed by `lloyd`; arguments as theirs."""
    starts = (k_means_plus_plus(rows, n_clusters, generator, weight) for _ in range(n_init))
    found = (lloyd(rows, start, weight=weight, tolerance=tolerance, max_iter=max_iter) for start in starts)
    return min(found, key=lambda clusters: clusters.inertia)

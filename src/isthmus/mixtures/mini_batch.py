"""k-means a few rows at a time: for data so many that a step over all of them is slow."""

from __future__ import annotations

import torch
from torch import Tensor

from .kmeans import Clusters, closest, cluster_sums, k_means

__all__ = ["mini_batch_k_means", "mini_batch_step"]

LLOYD_STEPS = 10
"""Of k-means on some rows, to start from."""


def mini_batch_step(
    rows: Tensor, centers: Tensor, counts: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step on a few rows: each centre becomes the mean of all the rows that were ever given to it.

    Args:
        rows: a few, (b, F).
        centers: (K, F).
        counts: weight of the rows that each centre is the mean of so far, (K,), float64.
        weight: how many rows each row counts as, (b,).

    Returns:
        Centres and counts after the step.

    References:
        Sculley (2010). Web-scale k-means clustering. WWW.

    Example:
        >>> mini_batch_step(torch.tensor([[4.0]]), torch.tensor([[1.0], [9.0]]), torch.tensor([2.0, 1.0]).double())
        (tensor([[2.],
                [9.]]), tensor([3., 1.], dtype=torch.float64))
    """
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    sums, added = cluster_sums(rows, closest(rows, centers)[0], share, len(centers))
    after = counts + added
    moved = (centers.double() * counts[:, None] + sums) / after.clamp_min(1e-300)[:, None]
    return torch.where(added[:, None] > 0, moved.to(centers.dtype), centers), after


def mini_batch_k_means(
    rows: Tensor,
    n_clusters: int,
    generator: torch.Generator,
    *,
    batch_size: int,
    n_init: int = 1,
    weight: Tensor | None = None,
    tolerance: float = 1e-4,
    max_epochs: int = 100,
) -> Clusters:
    """k-means by passes over shuffled rows, a step for every few of them, until a pass gains too little.

    Centres start as the best of several short `k_means` of some rows; one that got no row in a pass goes to the row of
    the last batch that is farthest from its own centre.

    Args:
        rows: (n, F).
        n_clusters: K, at most n.
        generator: of the draws.
        batch_size: rows of a step.
        n_init: starts.
        weight: how many rows each row counts as, (n,).
        tolerance: gain of the mean squared distance in a pass, relative to the first pass's, at which it has converged.
        max_epochs: most passes.

    Returns:
        The centres, the labels and inertia of all rows, and the passes; see `Clusters`.
    """
    share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight.double()
    known = torch.nonzero(share > 0).squeeze(1)

    def shuffled() -> Tensor:
        return known[torch.randperm(len(known), generator=generator).to(rows.device)]

    some = shuffled()[: max(3 * batch_size, 10 * n_clusters)]
    start = k_means(rows[some], n_clusters, generator, n_init=n_init, weight=share[some], max_iter=LLOYD_STEPS)
    centers = start.centers
    counts, errors, converged = torch.zeros(n_clusters, dtype=torch.float64, device=rows.device), [], False
    while not converged and len(errors) < max_epochs:
        before, error = counts.clone(), 0.0
        batches = shuffled().split(batch_size)
        for batch in batches:
            error += float(share[batch] @ closest(rows[batch], centers)[1].double())
            centers, counts = mini_batch_step(rows[batch], centers, counts, share[batch])
        lost = torch.nonzero(counts == before).squeeze(1)[: len(batches[-1])]
        farthest = closest(rows[batches[-1]], centers)[1].topk(len(lost)).indices
        centers[lost], counts[lost] = rows[batches[-1]][farthest], 0.0
        errors.append(error)
        converged = len(errors) > 1 and not len(lost) and errors[-2] - errors[-1] <= tolerance * errors[0]
    labels, distances = closest(rows, centers)
    return Clusters(centers, labels, float(share @ distances.double()), len(errors), converged)

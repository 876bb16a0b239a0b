"""Mixtures of Gaussians: what they are, their densities, responsibilities and draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "KINDS",
    "Gaussians",
    "component_log_densities",
    "log_density",
    "precisions_cholesky",
    "responsibilities",
    "rows_from_noise",
    "sample",
    "stacked",
    "unstacked",
]

KINDS = ("full", "tied", "diag", "spherical")
"""Kinds of covariances, by scikit-learn's names."""

CHUNK_NUMBERS = 2**20
"""Of what is computed at a time for each row and component: it bounds memory, and fits a processor's cache."""

LOST = 1e-9
"""Largest error by rounding, in nats, that a squared distance may have for the sake of speed."""


class Gaussians(NamedTuple):
    r"""The mixture :math:`p(x) = \sum_k w_k N(x; \mu_k, \Sigma_k)` of K Gaussians over F features.

    Attributes:
        weights: probabilities of the components, (K,).
        means: (K, F).
        covariances: (K, F, F) for "full", one (F, F) that all share for "tied", variances (K, F) for "diag", one
            variance each (K,) for "spherical". Several mixtures may share a leading axis, where a function says so.
        kind: of the covariances, by scikit-learn's names.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    kind: str

    def each(self, function: Callable[[Tensor], Tensor]) -> Gaussians:
        """A function of weights, means and covariances, each by itself: another dtype, or one place of an axis."""
        return Gaussians(function(self.weights), function(self.means), function(self.covariances), self.kind)

    @property
    def n_components(self) -> int:
        """K."""
        return self.means.shape[-2]

    @property
    def n_features(self) -> int:
        """F."""
        return self.means.shape[-1]

    @property
    def n_parameters(self) -> int:
        """Free parameters: of the weights, which sum to 1, of the means, and of the covariances."""
        n_components, n_features = self.n_components, self.n_features
        matrix = n_features * (n_features + 1) // 2
        of_covariances = {
            "full": n_components * matrix,
            "tied": matrix,
            "diag": n_components * n_features,
            "spherical": n_components,
        }
        return n_components - 1 + n_components * n_features + of_covariances[self.kind]


def stacked(mixtures: Sequence[Gaussians]) -> Gaussians:
    """Several mixtures of one kind and size as one with a leading axis."""
    weights, means, covariances = (
        torch.stack(parts) for parts in zip(*(mixture[:3] for mixture in mixtures), strict=True)
    )
    return Gaussians(weights, means, covariances, mixtures[0].kind)


def unstacked(stack: Gaussians) -> list[Gaussians]:
    """The mixtures on a leading axis, one by one; one without such an axis is itself."""
    if stack.means.ndim == 2:
        return [stack]
    return [stack.each(lambda part, i=i: part[i]) for i in range(len(stack.means))]


def precisions_cholesky(gaussians: Gaussians) -> Tensor:
    r"""Roots W of the precisions, :math:`\Sigma^{-1} = W W^T`, which whiten: W^T (x - mu) has the covariance I.

    Args:
        gaussians: the mixture, or several on a leading axis.

    Returns:
        Of the shape of the covariances: upper triangles for "full" and "tied", one over the standard deviations
        otherwise.

    Raises:
        ValueError: a covariance that is not positive definite.

    Example:
        >>> precisions_cholesky(Gaussians(torch.ones(1), torch.zeros(1, 2), torch.tensor([[4.0, 1.0]]), "diag"))
        tensor([[0.5000, 1.0000]])
    """
    covariances = gaussians.covariances
    if gaussians.kind in ("diag", "spherical"):
        bad = ~(covariances > 0)
        roots = covariances.rsqrt()
    else:
        lower, info = torch.linalg.cholesky_ex(covariances)
        bad = (info != 0) | ~lower.isfinite().all(dim=(-1, -2))
        identity = torch.eye(gaussians.n_features, dtype=lower.dtype, device=lower.device)
        safe = torch.where(bad[..., None, None], identity, lower)
        roots = torch.linalg.solve_triangular(safe, identity.expand_as(safe), upper=False).mT
    if bad.any():
        raise ValueError(
            f"Expected positive definite covariances, got others in {int(bad.sum())} of {bad.numel()} places; use a "
            "floor for the covariances, or fewer components."
        )
    return roots


def log_determinants(roots: Tensor, kind: str, n_features: int) -> Tensor:
    """log det W of the roots of precisions, with the last axis over components, or of length 1 for "tied"."""
    if kind == "spherical":
        return n_features * roots.log()
    if kind == "diag":
        return roots.log().sum(dim=-1)
    found = roots.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    return found[..., None] if kind == "tied" else found


def whitened(rows: Tensor, means: Tensor, roots: Tensor, kind: str) -> Tensor:
    """W^T (x - mu) for rows (m, F) and each of the means (K, F): (K, m, F)."""
    apart = rows - means[:, None]
    if kind in ("full", "tied"):
        return apart @ roots
    return apart.mul_(roots[:, None] if kind == "diag" else roots[:, None, None])


def component_log_densities(rows: Tensor, gaussians: Gaussians, roots: Tensor | None = None) -> Tensor:
    r"""Log-density of each row under each component; the weights are not in it.

    .. math:: \log N(x; \mu_k, \Sigma_k) = -\tfrac12 (F \log 2\pi + |W_k^T (x - \mu_k)|^2) + \log\det W_k

    Args:
        rows: (n, F).
        gaussians: the mixture.
        roots: its `precisions_cholesky`, where they are known already.

    Returns:
        Nats, (n, K), in the wider dtype of the two; in chunks of bounded memory.

    Raises:
        ValueError: rows of another width, or covariances that are not positive definite.

    Example:
        >>> mixture = Gaussians(torch.ones(1), torch.zeros(1, 2), torch.ones(1), "spherical")
        >>> component_log_densities(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), mixture)
        tensor([[-1.8379],
                [-2.3379]])
    """
    means, kind = gaussians.means, gaussians.kind
    if rows.ndim != 2 or rows.shape[1] != gaussians.n_features:
        raise ValueError(f"Expected rows (n, {gaussians.n_features}), got {tuple(rows.shape)}.")
    dtype = torch.promote_types(rows.dtype, means.dtype)
    means, roots = means.to(dtype), (precisions_cholesky(gaussians) if roots is None else roots).to(dtype)
    constant = log_determinants(roots, kind, rows.shape[1]) - 0.5 * rows.shape[1] * math.log(2 * math.pi)
    result = torch.empty(len(rows), len(means), dtype=dtype, device=rows.device)
    products = kind in ("diag", "spherical")
    size = max(1, CHUNK_NUMBERS // (sum(means.shape) if products else means.numel()))
    for start in range(0, len(rows), size):
        here = slice(start, start + size)
        distances = (_by_products if products else _by_whitening)(rows[here].to(dtype), means, roots, kind)
        torch.add(constant, distances, alpha=-0.5, out=result[here])
    return result


def _by_whitening(rows: Tensor, means: Tensor, roots: Tensor, kind: str) -> Tensor:
    """Squared distances |W^T (x - mu)|^2, (m, K), in which nothing cancels; in chunks of bounded memory."""
    parts = rows.split(max(1, CHUNK_NUMBERS // means.numel()))
    return torch.cat([whitened(part, means, roots, kind).square_().sum(dim=2).T for part in parts])


def _by_products(rows: Tensor, means: Tensor, roots: Tensor, kind: str) -> Tensor:
    """The same of independent features, by matrix products; of rows for which terms too large cancel, by whitening."""
    origin = means.mean(dim=0)
    x, middles = rows - origin, means - origin
    precisions = (roots[:, None] if kind == "spherical" else roots).square().expand_as(means)
    squares = x.square() @ precisions.T + (precisions * middles.square()).sum(dim=1)
    lost = torch.finfo(squares.dtype).eps * squares.amax(dim=1)
    distances = squares.addmm_(x, (precisions * middles).T, alpha=-2.0).clamp_min_(0.0)
    doubtful = ~(lost <= LOST)  # with what is no number
    if doubtful.any():
        distances[doubtful] = _by_whitening(rows[doubtful], means, roots, kind)
    return distances


def log_density(rows: Tensor, gaussians: Gaussians) -> Tensor:
    """Log-density log p(x) of each row under the mixture, in nats, (n,); arguments as `component_log_densities`'."""
    return (component_log_densities(rows, gaussians) + gaussians.weights.log()).logsumexp(dim=1)


def responsibilities(rows: Tensor, gaussians: Gaussians) -> Tensor:
    """How probable each component is given the row, p(k|x), (n, K); arguments as `component_log_densities`'."""
    return (component_log_densities(rows, gaussians) + gaussians.weights.log()).softmax(dim=1)


def sample(gaussians: Gaussians, n_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw rows from the mixture: (rows (n_samples, F), the component of each (n_samples,)).

    Args:
        gaussians: the mixture.
        n_samples: how many rows.
        generator: of the draws, on the device of the mixture.

    Example:
        >>> mixture = Gaussians(torch.ones(1), torch.full((1, 2), 3.0), torch.ones(1), "spherical")
        >>> rows, labels = sample(mixture, 1000, torch.Generator().manual_seed(0))
        >>> rows.mean(dim=0).round(), labels.unique()
        (tensor([3., 3.]), tensor([0]))
    """
    means = gaussians.means
    labels = torch.multinomial(gaussians.weights, n_samples, replacement=True, generator=generator)
    noise = torch.randn(n_samples, means.shape[1], generator=generator, dtype=means.dtype, device=means.device)
    return rows_from_noise(gaussians, labels, noise), labels


def rows_from_noise(gaussians: Gaussians, labels: Tensor, noise: Tensor) -> Tensor:
    """Standard normal noise (n, F) as rows of the components of some labels (n,)."""
    means, covariances, kind = gaussians.means[labels], gaussians.covariances, gaussians.kind
    if kind == "spherical":
        return means + noise * covariances.sqrt()[labels, None]
    if kind == "diag":
        return means + noise * covariances.sqrt()[labels]
    roots = torch.linalg.cholesky(covariances)
    if kind == "tied":
        return means + noise @ roots.mT
    result = torch.empty_like(means)
    for k in labels.unique().tolist():  # a root for each row would be F x F numbers a row
        here = labels == k
        result[here] = means[here] + noise[here] @ roots[k].T
    return result

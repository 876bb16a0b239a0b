"""What some columns of a mixture of Gaussians say of the others: again a mixture, another one for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .gaussian import Gaussians
from .missing import missing_component_log_densities

__all__ = ["ConditionalGaussians", "conditional"]


class ConditionalGaussians(NamedTuple):
    r"""The mixtures :math:`p(x_b \mid x_a) = \sum_k w_k(x_a) \, N(x_b; m_k(x_a), S_k)`, one for each row.

    Attributes:
        weights: how probable each component is given x_a, (n, K).
        means: of each component given x_a, (n, K, B).
        covariances: of each component given x_a, the same for all rows, (K, B, B).
        given: numbers of the columns of x_a, in the order of its values.
        asked: numbers of the columns of x_b, in their order.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    given: tuple[int, ...]
    asked: tuple[int, ...]

    def mean(self) -> Tensor:
        """E[x_b | x_a], (n, B): the best prediction in squared error."""
        return torch.einsum("nk,nkb->nb", self.weights, self.means)

    def covariance(self) -> Tensor:
        """Cov[x_b | x_a], within and between components, (n, B, B)."""
        apart = self.means - self.mean()[:, None]
        between = torch.einsum("nk,nkb,nkc->nbc", self.weights, apart, apart)
        return between + torch.einsum("nk,kbc->nbc", self.weights, self.covariances)

    def log_density(self, values: Tensor | np.ndarray) -> Tensor:
        """log p(x_b | x_a) of a value for each row, (n, B), or of many for each, (S, n, B): nats, (n,) or (S, n)."""
        values = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
        n_asked = len(self.asked)
        if values.shape[-2:] != (len(self.weights), n_asked):
            raise ValueError(
                f"Expected values of shape ({len(self.weights)}, {n_asked}) or (S, {len(self.weights)}, {n_asked}), "
                f"got {tuple(values.shape)}."
            )
        root = torch.linalg.cholesky(self.covariances)
        apart = values[..., None, :].to(self.means) - self.means
        white = torch.linalg.solve_triangular(root, apart[..., None], upper=False)[..., 0]
        constant = 0.5 * n_asked * math.log(2 * math.pi) + root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        return (self.weights.log() - constant - 0.5 * white.square().sum(dim=-1)).logsumexp(dim=-1)

    def sample(self, generator: torch.Generator | int = 0, n_samples: int = 1) -> Tensor:
        """Draws from p(x_b | x_a), (n_samples, n, B); the same for the same seed."""
        if isinstance(generator, int):
            generator = torch.Generator(device=self.means.device).manual_seed(generator)
        chosen = torch.multinomial(self.weights, n_samples, replacement=True, generator=generator).mT  # (S, n)
        shape = (*chosen.shape, len(self.asked))
        noise = torch.randn(shape, generator=generator, dtype=self.means.dtype, device=self.means.device)
        rows = torch.arange(len(self.weights), device=chosen.device)
        result = self.means[rows, chosen]
        for k, root in enumerate(torch.linalg.cholesky(self.covariances)):
            result = torch.where(chosen[..., None] == k, result + noise @ root.mT, result)
        return result


def conditional(gaussians: Gaussians, given: Sequence[int], values: Tensor) -> ConditionalGaussians:
    r"""The mixture of the other columns, given the values of some.

    .. math:: w_k(x_a) \propto w_k N(x_a; \mu_{k,a}, \Sigma_{k,aa}), \quad
        m_k(x_a) = \mu_{k,b} + \Sigma_{k,ba} \Sigma_{k,aa}^{-1} (x_a - \mu_{k,a}), \quad
        S_k = \Sigma_{k,bb} - \Sigma_{k,ba} \Sigma_{k,aa}^{-1} \Sigma_{k,ab}

    It is regression with all that a density says: use it to predict columns from others, with several modes and an
    uncertainty that depends on the row.

    Args:
        gaussians: the mixture of all F columns.
        given: numbers of the columns that are known, one at least and fewer than F.
        values: of those columns in that order, (n, A).

    Returns:
        The conditional mixtures; see `ConditionalGaussians`.

    Raises:
        ValueError: no such columns, none or all of them, values of another shape, or values that are not finite.

    References:
        Bishop (2006). Pattern recognition and machine learning, eqs. 2.81 and 2.82.
        Ghahramani, Jordan (1994). Supervised learning from incomplete data via an EM approach. NeurIPS 6.

    Example:
        >>> covariance = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]])
        >>> mixture = Gaussians(torch.ones(1), torch.zeros(1, 2), covariance, "full")
        >>> found = conditional(mixture, [0], torch.tensor([[2.0]]))
        >>> found.mean(), found.covariance()
        (tensor([[1.]]), tensor([[[0.7500]]]))
    """
    n_features = gaussians.means.shape[1]
    known, asked = _columns(given, n_features)
    if values.ndim != 2 or values.shape[1] != len(known):
        raise ValueError(f"Expected values of shape (n, {len(known)}), got {tuple(values.shape)}.")
    if not bool(values.isfinite().all()):
        raise ValueError("Expected finite values to be given, got NaN or infinity; use impute where some are missing.")
    whole = gaussians.means.new_full((len(values), n_features), math.nan)
    whole[:, known] = values.to(whole)
    joint = missing_component_log_densities(whole, gaussians) + gaussians.weights.log()
    slopes, left = _regression(gaussians, known, asked)
    apart = values.to(whole)[:, None] - gaussians.means[:, known]  # (n, K, A)
    means = gaussians.means[:, asked] + torch.einsum("kba,nka->nkb", slopes, apart)
    return ConditionalGaussians(joint.softmax(dim=1), means, left, tuple(known), tuple(asked))


def _columns(given: Sequence[int], n_features: int) -> tuple[list[int], list[int]]:
    known = [int(column) for column in given]
    known = [column + n_features if column < 0 else column for column in known]
    if not known or len(set(known)) < len(known) or not all(0 <= column < n_features for column in known):
        raise ValueError(f"Expected given as different columns below {n_features}, one at least, got {list(given)}.")
    if len(known) == n_features:
        raise ValueError(f"Expected given to leave some of the {n_features} columns to ask for, got all of them.")
    return known, [column for column in range(n_features) if column not in set(known)]


def _regression(gaussians: Gaussians, known: list[int], asked: list[int]) -> tuple[Tensor, Tensor]:
    """Slopes of x_b on x_a, (K, B, A), and the covariances that are left, (K, B, B)."""
    n_components, covariances = len(gaussians.means), gaussians.covariances
    if gaussians.kind in ("diag", "spherical"):
        variances = covariances if gaussians.kind == "diag" else covariances[:, None].expand_as(gaussians.means)
        return covariances.new_zeros(n_components, len(asked), len(known)), torch.diag_embed(variances[:, asked])
    stack = covariances.expand(n_components, -1, -1) if gaussians.kind == "tied" else covariances
    across = stack[:, asked][:, :, known]
    root = torch.linalg.cholesky(stack[:, known][:, :, known])
    half = torch.linalg.solve_triangular(root, across.mT, upper=False)  # (K, A, B)
    slopes = torch.linalg.solve_triangular(root.mT, half, upper=True).mT
    return slopes, stack[:, asked][:, :, asked] - half.mT @ half

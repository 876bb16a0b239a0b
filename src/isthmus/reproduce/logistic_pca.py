"""Logistic PCA: linear codes of rows in [0, 1] whose decoder ends in a sigmoid, the baseline of a paper."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["LogisticPCA"]

CHUNK = 5_000
"""Rows whose curvatures are held at a time."""

LONGEST_STEP = 4.0
"""Of a Newton step of one row, so that one from afar does not overshoot."""


class LogisticPCA:
    r"""Codes z and weights W that minimise the cross-entropy of x and :math:`\sigma(W z + b)`.

    .. math:: \sum_{ij} -x_{ij} \log \sigma_{ij} - (1 - x_{ij}) \log (1 - \sigma_{ij})
        + \tfrac\lambda2 (\|Z\|^2 + \|W\|^2)

    Given W it is a logistic regression for each row, given Z one for each feature: both are convex, and Newton's
    method takes a step in each in turn. Codes of new rows are found the same way with W as it is.

    Args:
        n_components: dimension of z.
        n_sweeps: alternations of all rows and all features.
        ridge: :math:`\lambda`; without any, features that are always 0 have weights that grow for ever.

    References:
        Schein, Saul, Ungar (2003). A generalized linear model for principal component analysis of binary data.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> x = load_digits().data.astype("float32") / 16
        >>> LogisticPCA(8, n_sweeps=3).fit(x).reconstruct(x).shape
        (1797, 64)
    """

    def __init__(self, n_components: int, n_sweeps: int = 20, ridge: float = 0.01) -> None:
        self.n_components, self.n_sweeps, self.ridge = n_components, n_sweeps, ridge

    def fit(self, X: np.ndarray) -> LogisticPCA:
        """Find weights for rows (n, F); begins at the principal components."""
        x = torch.from_numpy(np.ascontiguousarray(X, np.float32))
        share = x.mean(0).clamp(1e-3, 1 - 1e-3)
        centred = x - x.mean(0)
        _, vectors = torch.linalg.eigh(centred.T @ centred)
        directions = vectors[:, -self.n_components :]
        z = 4 * centred @ directions  # the sigmoid's slope is at most 1/4
        self.weights = torch.cat([directions, torch.logit(share)[:, None]], dim=1)
        self.sweep_losses: list[float] = []
        for _ in range(self.n_sweeps):
            z = self._codes(x, z, n_steps=1)
            self.weights = _newton(x.T.contiguous(), self.weights, _with_one(z), None, self._ridges(intercept=True))
            self.sweep_losses.append(_cross_entropy(x, _with_one(z), self.weights))
        return self

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Means :math:`\\sigma(W z + b)` at the best codes of rows (n, ...), (n, ...)."""
        x = torch.from_numpy(np.ascontiguousarray(X.reshape(len(X), -1), np.float32))
        z = self._codes(x, torch.zeros(len(x), self.n_components), n_steps=max(10, self.n_sweeps))
        return torch.sigmoid(_with_one(z) @ self.weights.T).numpy().reshape(X.shape)

    def _codes(self, x: Tensor, z: Tensor, n_steps: int) -> Tensor:
        directions, intercept = self.weights[:, :-1], self.weights[:, -1]
        for _ in range(n_steps):
            z = _newton(x, z, directions, intercept, self._ridges(intercept=False))
        return z

    def _ridges(self, intercept: bool) -> Tensor:
        return torch.tensor([self.ridge] * self.n_components + [1e-6] * intercept)


def _with_one(z: Tensor) -> Tensor:
    return torch.cat([z, torch.ones(len(z), 1)], dim=1)


def _newton(x: Tensor, z: Tensor, inputs: Tensor, offset: Tensor | None, ridges: Tensor) -> Tensor:
    """One Newton step of a logistic regression for each row of x (n, m): coefficients z (n, d) on inputs (m, d)."""
    new = []
    for rows, old in zip(x.split(CHUNK), z.split(CHUNK), strict=True):
        logits = old @ inputs.T if offset is None else old @ inputs.T + offset
        share = torch.sigmoid(logits)
        gradient = (share - rows) @ inputs + ridges * old
        slopes = (share * (1 - share)).clamp(min=1e-4)
        curvature = _weighted_squares(slopes, inputs) + torch.diag(ridges + 1e-3)
        step = torch.linalg.solve(curvature, gradient)
        length = torch.linalg.vector_norm(step, dim=1, keepdim=True)
        new.append(old - step * (LONGEST_STEP / length.clamp(min=LONGEST_STEP)))
    return torch.cat(new)


def _weighted_squares(slopes: Tensor, inputs: Tensor) -> Tensor:
    """Sums of slopes (n, m) times outer products of inputs (m, d) with themselves, (n, d, d), in chunks of m."""
    d = inputs.shape[1]
    total = torch.zeros(len(slopes), d * d)
    for part, rows in zip(slopes.split(CHUNK, dim=1), inputs.split(CHUNK), strict=True):
        total += part @ (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), d * d)
    return total.view(-1, d, d)


def _cross_entropy(x: Tensor, z: Tensor, weights: Tensor) -> float:
    total = 0.0
    for rows, codes in zip(x.split(CHUNK), z.split(CHUNK), strict=True):
        total += float(torch.nn.functional.binary_cross_entropy_with_logits(codes @ weights.T, rows, reduction="sum"))
    return total / len(x)

"""A distribution fitted to codes after training, so that a model without a prior can be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
import torch

from ..mixtures import (
    CovarianceRule,
    Gaussians,
    Prepared,
    fit_gaussians,
    log_density,
    rows_from_noise,
    start_gaussians,
)

__all__ = ["CodePrior"]

FLOOR = 1e-6
"""Smallest variance in any direction, as a part of each dimension's own."""
N_CANDIDATES = 4
N_SEEDINGS = 2


class CodePrior(NamedTuple):
    """A mixture of full-covariance Gaussians over codes of dimension D; one component is a Gaussian.

    Attributes:
        weights: of the components, (m,).
        means: (m, D).
        covariances: (m, D, D).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def fit(cls, codes: np.ndarray, kind: str, n_mixture: int) -> Self:
        """Fit to codes (n, D) by maximum likelihood.

        Raises:
            ValueError: unknown kind, or fewer codes than components.
        """
        if kind not in ("gaussian", "mixture"):
            raise ValueError(f"Expected kind 'gaussian' or 'mixture', got {kind!r}.")
        n_mixture = 1 if kind == "gaussian" else n_mixture
        if n_mixture < 1 or len(codes) < max(2, n_mixture):
            raise ValueError(
                f"Expected 1 <= n_mixture <= rows and at least 2 rows, got n_mixture={n_mixture} and {len(codes)} rows."
            )
        data = Prepared(torch.from_numpy(codes.astype(np.float64)))
        # Each dimension in its own units; a flat one in those of the narrowest that is not.
        varying = data.variances[data.variances > 0]
        narrowest = varying.min() if len(varying) else data.variances.new_ones(())
        rule = CovarianceRule(floor=FLOOR * torch.where(data.variances > 0, data.variances, narrowest))
        generator = torch.Generator().manual_seed(0)
        start = start_gaussians(data, n_mixture, "full", generator, n_candidates=N_CANDIDATES, rule=rule)
        fit = fit_gaussians(data, start, rule=rule, n_seedings=N_SEEDINGS, generator=generator)
        weights, means, covariances = (part.numpy() for part in fit.gaussians[:3])
        return cls(weights, means, covariances)

    @classmethod
    def checked(cls, arrays: Mapping[str, np.ndarray], n_components: int) -> Self:
        """The prior that some arrays describe.

        Raises:
            ValueError: they describe none over codes of that dimension.
        """
        prior = cls(*(arrays[name] for name in cls._fields))
        m = len(prior.weights) if prior.weights.ndim == 1 else 0
        shapes = (m,), (m, n_components), (m, n_components, n_components)
        if m < 1 or tuple(array.shape for array in prior) != shapes or (prior.weights < 0).any():
            raise ValueError("a prior of other dimensions than its codes")
        np.linalg.cholesky(prior.covariances)  # LinAlgError, a ValueError, where it is no covariance
        return prior

    def _gaussians(self) -> Gaussians:
        weights, means, covariances = (torch.from_numpy(np.asarray(part, dtype=np.float64)) for part in self)
        return Gaussians(weights / weights.sum(), means, covariances, "full")

    def log_density(self, codes: np.ndarray) -> np.ndarray:
        """Log-density of codes (n, D), in nats, (n,)."""
        return log_density(torch.from_numpy(np.asarray(codes, dtype=np.float64)), self._gaussians()).numpy()

    def sample(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        """Draw codes, (n_samples, D)."""
        labels = generator.choice(len(self.weights), size=n_samples, p=self.weights / self.weights.sum())
        noise = generator.standard_normal((n_samples, self.means.shape[1]))
        return rows_from_noise(self._gaussians(), torch.from_numpy(labels), torch.from_numpy(noise)).numpy()

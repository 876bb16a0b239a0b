"""A distribution fitted to codes after training, so that a model without a prior can be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

__all__ = ["CodePrior"]


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
        from sklearn.mixture import GaussianMixture

        if kind not in ("gaussian", "mixture"):
            raise ValueError(f"Expected kind 'gaussian' or 'mixture', got {kind!r}.")
        n_mixture = 1 if kind == "gaussian" else n_mixture
        if n_mixture < 1 or len(codes) < max(2, n_mixture):
            raise ValueError(
                f"Expected 1 <= n_mixture <= rows and at least 2 rows, got n_mixture={n_mixture} and {len(codes)} rows."
            )
        codes = codes.astype(np.float64)
        # The mixture's guard against flat covariances is 1e-6, in units of the codes: each dimension in its own.
        mean, scale = codes.mean(axis=0), codes.std(axis=0)
        scale = np.where(scale > 0, scale, min(scale[scale > 0], default=1.0))
        mixture: Any = GaussianMixture(n_mixture, random_state=0).fit((codes - mean) / scale)
        return cls(mixture.weights_, mean + mixture.means_ * scale, mixture.covariances_ * np.outer(scale, scale))

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

    def log_density(self, codes: np.ndarray) -> np.ndarray:
        """Log-density of codes (n, D), in nats, (n,)."""
        parts = np.empty((len(codes), len(self.weights)))
        factors = np.linalg.cholesky(self.covariances)
        with np.errstate(divide="ignore"):  # a component without weight
            log_weights = np.log(self.weights / self.weights.sum())
        for i, (mean, factor) in enumerate(zip(self.means, factors, strict=True)):
            white = np.linalg.solve(factor, (codes - mean).T)
            log_determinant = np.log(np.diagonal(factor)).sum()
            constant = 0.5 * codes.shape[1] * np.log(2 * np.pi)
            parts[:, i] = log_weights[i] - 0.5 * np.square(white).sum(axis=0) - log_determinant - constant
        return np.logaddexp.reduce(parts, axis=1)

    def sample(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        """Draw codes, (n_samples, D)."""
        component = generator.choice(len(self.weights), size=n_samples, p=self.weights / self.weights.sum())
        noise = generator.standard_normal((n_samples, self.means.shape[1]))
        factors = np.linalg.cholesky(self.covariances)
        return self.means[component] + np.einsum("nij,nj->ni", factors[component], noise)

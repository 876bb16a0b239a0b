"""A distribution fitted to codes after training, so that a model without a prior can be sampled."""

from __future__ import annotations

from typing import NamedTuple, Self

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
    def fit(cls, codes: np.ndarray, n_mixture: int, kind: str) -> Self:
        """Fit to codes (n, D) by maximum likelihood.

        Raises:
            ValueError: unknown kind, or fewer codes than components.
        """
        from sklearn.mixture import GaussianMixture

        if kind not in ("gaussian", "mixture"):
            raise ValueError(f"Expected kind 'gaussian' or 'mixture', got {kind!r}.")
        if len(codes) < max(2, n_mixture):
            raise ValueError(f"Expected at least {max(2, n_mixture)} rows to fit the prior to, got {len(codes)}.")
        mixture = GaussianMixture(n_mixture, random_state=0).fit(codes.astype(np.float64))
        return cls(mixture.weights_, mixture.means_, mixture.covariances_)

    def sample(self, n_samples: int, generator: np.random.Generator) -> np.ndarray:
        """Draw codes, (n_samples, D)."""
        component = generator.choice(len(self.weights), size=n_samples, p=self.weights / self.weights.sum())
        noise = generator.standard_normal((n_samples, self.means.shape[1]))
        factors = np.linalg.cholesky(self.covariances)
        return self.means[component] + np.einsum("nij,nj->ni", factors[component], noise)

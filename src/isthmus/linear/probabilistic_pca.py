"""Probabilistic PCA, in closed form and by EM."""

from __future__ import annotations

import math

import torch

from .covariance import Covariance
from .em import Factors, LinearFit, expectation_maximisation
from .gaussian import LinearGaussian

__all__ = ["probabilistic_pca", "probabilistic_pca_by_em"]


def probabilistic_pca(covariance: Covariance, n_components: int) -> LinearFit:
    r"""The most likely :math:`N(0, W^T W + \sigma^2 I)`.

    .. math:: \sigma^2 = \frac{1}{F - D} \sum_{i > D} \lambda_i, \qquad W_i = \sqrt{\lambda_i - \sigma^2}\, u_i

    of the principal axes u of the data and the variances lambda along them. A row's mean log-likelihood then is
    :math:`-\frac{1}{2} (F \log 2\pi + F + \sum_{i \le D} \log \lambda_i + (F - D) \log \sigma^2)`.

    Args:
        covariance: of the centred data.
        n_components: D, at most the rows or features.

    Returns:
        W, (D, F), largest first, and sigma^2 for each feature, (F,); 0 where nothing is left out. One log-likelihood,
        or none where the density is infinite.

    References:
        Tipping, Bishop (1999). Probabilistic principal component analysis. JRSS B 61, eqs. 7 and 8.

    Example:
        >>> data = Covariance(matrix=torch.diag(torch.tensor([5.0, 1.0, 1.0], dtype=torch.float64)))
        >>> probabilistic_pca(data, 1)[0]
        tensor([[2., 0., 0.]], dtype=torch.float64)
    """
    variances, axes, noise = covariance.principal(n_components)
    n_features, likelihood = covariance.n_features, []
    if LinearGaussian(axes, variances, noise).has_density:
        n_outside = n_features - n_components
        log_determinant = float(variances.log().sum()) + (n_outside * math.log(noise) if n_outside else 0.0)
        likelihood = [-0.5 * (n_features * (math.log(2 * math.pi) + 1) + log_determinant)]
    loadings = (variances - noise).clamp_min(0).sqrt()[:, None] * axes
    noises = torch.full((n_features,), noise, dtype=torch.float64)
    return LinearFit(loadings, noises, likelihood, n_steps=1, converged=True)


def probabilistic_pca_by_em(
    covariance: Covariance,
    n_components: int,
    *,
    tolerance: float = 1e-8,
    max_iter: int = 1000,
    accelerate: bool = True,
    seed: int = 0,
) -> LinearFit:
    """The same by EM, from random loadings: no axes of the data are needed, and each step costs only D products.

    All maxima of the likelihood are the one of the closed form; its other stationary points are saddles.

    Args:
        covariance: of the centred data.
        n_components: D.
        tolerance, max_iter, accelerate: see `expectation_maximisation`.
        seed: of the loadings at the start.

    References:
        Tipping, Bishop (1999). Probabilistic principal component analysis. JRSS B 61, eqs. 29 and 30.

    Example:
        >>> data = Covariance(matrix=torch.diag(torch.tensor([5.0, 1.0, 1.0], dtype=torch.float64)))
        >>> found = probabilistic_pca_by_em(data, 1, tolerance=1e-12)
        >>> found.converged, found.noise.round(decimals=4)
        (True, tensor([1., 1., 1.], dtype=torch.float64))
    """
    n_features = covariance.n_features
    unit = math.sqrt(float(covariance.diagonal.mean()))
    noise = torch.ones(n_features, dtype=torch.float64)
    if unit == 0:
        return LinearFit(
            torch.zeros(n_components, n_features, dtype=torch.float64), 0 * noise, [], n_steps=1, converged=True
        )
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(n_components, n_features, dtype=torch.float64, generator=generator)
    found = expectation_maximisation(
        covariance.divided(unit * noise),
        Factors(start, noise),
        isotropic=True,
        floor=1e-12,
        tolerance=tolerance,
        max_iter=max_iter,
        accelerate=accelerate,
    )
    return in_units(found, unit * noise)


def in_units(found: LinearFit, unit: torch.Tensor) -> LinearFit:
    """A fit to data that were divided by some units, as one to the data."""
    shift = float(unit.log().sum())
    log_likelihoods = [value - shift for value in found.log_likelihoods]
    return found._replace(
        loadings=found.loadings * unit, noise=found.noise * unit.square(), log_likelihoods=log_likelihoods
    )

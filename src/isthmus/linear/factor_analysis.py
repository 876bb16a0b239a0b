"""Factor analysis by EM."""

from __future__ import annotations

import torch

from .covariance import Covariance
from .em import Factors, LinearFit, expectation_maximisation
from .probabilistic_pca import in_units

__all__ = ["factor_analysis"]


def factor_analysis(
    covariance: Covariance,
    n_components: int,
    *,
    noise_floor: float = 1e-6,
    tolerance: float = 1e-8,
    max_iter: int = 1000,
) -> LinearFit:
    r"""The most likely :math:`N(0, W^T W + diag(\Psi))`, by EM.

    It works on correlations, so that a change of a feature's unit changes nothing but that unit.

    Args:
        covariance: of the centred data.
        n_components: D, at most the rows or features.
        noise_floor: smallest variance of a feature's noise, as a part of its variance; of a feature that does not vary,
            as a part of the mean variance. The likelihood of some data has its maximum where one of them is 0.
        tolerance, max_iter: see `expectation_maximisation`.

    References:
        Rubin, Thayer (1982). EM algorithms for ML factor analysis. Psychometrika 47.

    Example:
        >>> loadings = torch.tensor([[2.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
        >>> data = Covariance(matrix=loadings.T @ loadings + torch.eye(4, dtype=torch.float64))
        >>> factor_analysis(data, 1, tolerance=1e-12).loadings.round(decimals=3)
        tensor([[2., 1., 1., 1.]], dtype=torch.float64)
    """
    variances = covariance.diagonal
    unit = torch.where(variances > 0, variances, variances.mean()).sqrt()
    if not unit.max() > 0:
        return LinearFit(
            torch.zeros(n_components, len(unit), dtype=torch.float64), 0 * unit, [], n_steps=1, converged=True
        )
    correlation = covariance.divided(unit)
    values, axes, _ = correlation.principal(n_components)
    # Where half of each variance is noise, these loadings are the best, but that none may be 0, where EM would stay.
    values = values.clamp_min(1e-3)
    start = torch.maximum(values - 0.5, 0.1 * values).sqrt()[:, None] * axes
    found = expectation_maximisation(
        correlation,
        Factors(start, torch.full_like(unit, 0.5)),
        floor=noise_floor,
        tolerance=tolerance,
        max_iter=max_iter,
    )
    return in_units(found, unit)

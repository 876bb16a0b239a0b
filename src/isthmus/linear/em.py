"""Expectation maximisation for linear-Gaussian models, from the covariance of the data alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .covariance import Covariance, with_positive_signs

__all__ = ["Factors", "LinearFit", "em_step", "expectation_maximisation"]


class Factors(NamedTuple):
    """Parameters of :math:`N(0, W^T W + diag(Psi))`.

    Attributes:
        loadings: W, (D, F).
        noise: Psi, (F,).
    """

    loadings: Tensor
    noise: Tensor


class LinearFit(NamedTuple):
    """What EM found.

    Attributes:
        loadings: W, (D, F), turned so that the posterior's covariance is diagonal, the most certain code first.
        noise: Psi, (F,).
        log_likelihoods: mean log-likelihood of a row, in nats, of each model that was kept; the last is this one's.
        n_steps: of EM, those from a jump that was refused among them.
        converged: whether the last step gained less than the tolerance.
    """

    loadings: Tensor
    noise: Tensor
    log_likelihoods: list[float]
    n_steps: int
    converged: bool


def em_step(
    covariance: Covariance, factors: Factors, *, isotropic: bool = False, floor: float = 0.0
) -> tuple[Factors, float]:
    r"""One step of EM, and the mean log-likelihood of a row before it.

    With :math:`M = I + W \Psi^{-1} W^T` and :math:`\beta = M^{-1} W \Psi^{-1}`, so that E[z|x] = beta x,

    .. math:: W' = (M^{-1} + \beta S \beta^T)^{-1} \beta S, \qquad \Psi' = \mathrm{diag}(S - W'^T \beta S) .

    Args:
        covariance: S of the centred data.
        factors: where it starts; noise > 0.
        isotropic: one variance of the noise for all features, their mean: probabilistic PCA.
        floor: smallest variance of the noise.

    Returns:
        The next factors, never less likely, and the log-likelihood of those given, in nats.

    References:
        Rubin, Thayer (1982). EM algorithms for ML factor analysis. Psychometrika 47, eqs. 2 and 3.
        Tipping, Bishop (1999). Probabilistic principal component analysis. JRSS B 61, eqs. 29 and 30.

    Example:
        >>> data = Covariance(matrix=2 * torch.eye(3, dtype=torch.float64))
        >>> start = Factors(torch.ones(1, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
        >>> after, before = em_step(data, start)
        >>> em_step(data, after)[1] > before
        True
    """
    loadings, noise = factors
    variances = covariance.diagonal
    weighted = loadings / noise
    precision = weighted @ loadings.T
    precision.diagonal().add_(1.0)
    root = torch.linalg.cholesky(precision)
    beta = torch.cholesky_solve(weighted, root)
    mapped = covariance.times(beta)  # beta S
    second = torch.cholesky_inverse(root) + mapped @ beta.T  # mean of E[z z^T | x]
    new = torch.linalg.solve(second, mapped)
    left = (variances - (new * mapped).sum(dim=0)).clamp_min(floor)
    if isotropic:
        left = left.mean().clamp_min(floor).expand_as(left)
    log_determinant = noise.log().sum() + 2 * root.diagonal().log().sum()
    mahalanobis = (variances / noise).sum() - (mapped * weighted).sum()
    constant = covariance.n_features * math.log(2 * math.pi)
    return Factors(new, left), -0.5 * (constant + float(log_determinant + mahalanobis))


def expectation_maximisation(
    covariance: Covariance,
    start: Factors,
    *,
    isotropic: bool = False,
    floor: float = 1e-6,
    tolerance: float = 1e-8,
    max_iter: int = 1000,
    accelerate: bool = True,
) -> LinearFit:
    """EM until a step gains too little, with jumps along its path that are kept only where they are more likely.

    EM takes ever smaller steps in nearly one direction; two of them tell how far it leads (scheme S3 of SQUAREM).

    Args:
        covariance: of the centred data, in units where variances are about 1.
        start: where it starts; noise > 0, loadings other than 0.
        isotropic: one variance of the noise for all features: probabilistic PCA.
        floor: smallest variance of the noise.
        tolerance: gain of a step of EM in mean log-likelihood of a row, in nats, under which it has converged.
        max_iter: most steps of EM.
        accelerate: jump; False is plain EM.

    Returns:
        The factors and how they were found; log-likelihoods never fall.

    References:
        Varadhan, Roland (2008). Simple and globally convergent methods for accelerating the convergence of any EM
        algorithm. Scandinavian Journal of Statistics 35, sect. 3.
    """

    def step(factors: Factors) -> tuple[Factors, float]:
        return em_step(covariance, factors, isotropic=isotropic, floor=floor)

    ceiling, reach = float(covariance.diagonal.max()), 4.0
    here, (after, likelihood) = start, step(start)
    history, n_steps, converged = [likelihood], 1, False
    while n_steps < max_iter and not converged:
        later, gained = step(after)
        n_steps += 1
        history.append(gained)
        converged = gained - likelihood < tolerance
        if accelerate and not converged and n_steps < max_iter:
            jump, length = _extrapolated(here, after, later, reach)
            jump = jump._replace(noise=jump.noise.clamp(floor, max(ceiling, floor)))
            beyond, reached = step(jump)
            n_steps += 1
            # As far as went well before: four times as far after a jump of full reach, and less after one too far.
            reach = reach / 4 if reached < gained else 4 * reach if length == reach else reach
            reach = max(reach, 2.0)
            if reached >= gained:
                history.append(reached)
                here, after, likelihood = jump, beyond, reached
                continue
        here, after, likelihood = after, later, gained
    return LinearFit(*_canonical(here), history, n_steps, converged)


def _extrapolated(first: Factors, second: Factors, third: Factors, reach: float) -> tuple[Factors, float]:
    """Where the path through three factors leads, and how far: 1 is the third, and no more than `reach`.

    Variances go by their logarithms, so that they stay positive.
    """
    one, two, three = (torch.cat([f.loadings, f.noise.log()[None]]) for f in (first, second, third))
    step, bend = two - one, three - 2 * two + one
    length = min(max(1.0, float(step.norm() / bend.norm().clamp_min(1e-300))), reach)
    there = one + 2 * length * step + length**2 * bend
    return Factors(there[:-1], there[-1].exp()), length


def _canonical(factors: Factors) -> Factors:
    """The same density with the code turned: any rotation of W has the same likelihood, and one has names for axes."""
    unit = factors.noise.sqrt()
    _, singular, axes = torch.linalg.svd(factors.loadings / unit, full_matrices=False)
    return Factors(with_positive_signs(singular[:, None] * axes * unit), factors.noise)

"""Variational EM with a factor for each example: what an encoder, which amortises the E-step, stands in for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from .draws import standard_draws
from .optimise import lbfgs

__all__ = ["RowFactors", "VariationalEM", "amortisation_gap", "factor_bound", "fit_factors", "variational_em"]

ELEMENTS = 2**14
"""Codes at once, examples times draws; factors of different examples don't touch each other."""


class RowFactors(NamedTuple):
    """A diagonal Gaussian over each example's code, q(z_n) = N(mean_n, diag scale_n^2); each (n, D)."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def prior(cls, n: int, dim: int, like: Tensor) -> RowFactors:
        """Standard normal ones."""
        return cls(like.new_zeros(n, dim), like.new_ones(n, dim))


class VariationalEM(NamedTuple):
    """What `variational_em` found.

    Attributes:
        factors: of the examples, from the last E-step.
        bounds: mean bound of an example, nats: at the start, then after each E- and each M-step; never falls.
        n_steps: E- and M-steps in turn.
        converged: whether a whole step gained no more than the tolerance.
    """

    factors: RowFactors
    bounds: list[float]
    n_steps: int
    converged: bool


def factor_bound(decoder: nn.Module, x: Tensor, factors: RowFactors, noise: Tensor) -> Tensor:
    r"""The evidence lower bound of each example, :math:`E_{q(z_n)}[\log p(x_n|z_n)] - KL(q(z_n) \| N(0, I))`.

    Args:
        decoder: codes (K, n, D) to p(x|z), a distribution of batch shape (K, n).
        x: examples (n, F).
        factors: a posterior of each.
        noise: standard normal, (K, D), the same for each example. Antithetic and whitened draws make the expectation
            exact where log p(x|z) is quadratic in z.

    Returns:
        Nats, (n,).
    """
    mean, scale = factors
    z = mean + scale * noise[:, None]
    kl = (0.5 * (mean.square() + scale.square() - 1) - scale.log()).sum(-1)
    return decoder(z).log_prob(x).mean(0) - kl


def fit_factors(
    decoder: nn.Module, x: Tensor, start: RowFactors, noise: Tensor, *, max_iter: int = 100
) -> tuple[RowFactors, Tensor]:
    r"""The E-step: each example's best factor, by L-BFGS on fixed noise.

    Args:
        decoder: codes (K, n, D) to p(x|z), left as it is.
        x: examples (n, F).
        start: factors to begin with; the result is no worse than these for any example, on this noise.
        noise: (K, D), see `factor_bound`.
        max_iter: steps of the optimiser at most.

    Returns:
        Factors, and their bound (n,), nats.
    """
    parts = []
    for rows in _some_at_a_time(x, noise):
        parts.append(_fit_rows(decoder, x[rows], RowFactors(start.mean[rows], start.scale[rows]), noise, max_iter))
    fitted = RowFactors(*(torch.cat(part) for part in zip(*parts, strict=True)))
    with torch.no_grad():
        before, after = _bounds(decoder, x, start, noise), _bounds(decoder, x, fitted, noise)
    # The optimiser sees sums over examples, of which some may have lost.
    better = (after > before)[:, None]
    best = RowFactors(*(torch.where(better, new, old) for new, old in zip(fitted, start, strict=True)))
    return best, torch.maximum(before, after)


def _some_at_a_time(x: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    return torch.arange(len(x)).split(max(1, ELEMENTS // len(noise)))


def _fit_rows(decoder: nn.Module, x: Tensor, start: RowFactors, noise: Tensor, max_iter: int) -> RowFactors:
    def factors_of(vector: Tensor) -> RowFactors:
        mean, log_scale = vector.to(start.mean).view(2, *start.mean.shape)
        return RowFactors(mean, log_scale.exp())

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        own = torch.from_numpy(vector).requires_grad_()
        with torch.enable_grad():
            value = -factor_bound(decoder, x, factors_of(own), noise).sum()
            (gradient,) = torch.autograd.grad(value, own)
        return float(value.detach()), gradient.numpy()

    first = torch.stack((start.mean, start.scale.log())).detach().double().cpu().reshape(-1)
    found = lbfgs(value_and_gradient, first.numpy(), max_iter=max_iter)
    return factors_of(torch.from_numpy(found.theta))


def _bounds(decoder: nn.Module, x: Tensor, factors: RowFactors, noise: Tensor) -> Tensor:
    parts = [
        factor_bound(decoder, x[rows], RowFactors(factors.mean[rows], factors.scale[rows]), noise)
        for rows in _some_at_a_time(x, noise)
    ]
    return torch.cat(parts)


def variational_em(
    decoder: nn.Module,
    x: Tensor,
    n_components: int,
    *,
    n_draws: int | None = None,
    generator: torch.Generator | None = None,
    max_iter: int = 100,
    inner_steps: int = 5,
    tolerance: float = 1e-4,
    callback: Callable[[str, float], None] | None = None,
) -> VariationalEM:
    r"""Fit :math:`p(x) = \int N(z; 0, I)\, p(x|z, \theta)\, dz` with an own posterior for each example.

    Two steps in turn: the factors' at a fixed decoder, the decoder's at fixed factors. Each maximises

    .. math:: \frac{1}{N} \sum_n E_{q(z_n)}[\log p(x_n|z_n, \theta)] - KL(q(z_n) \| N(0, I))

    by L-BFGS on noise that stays the same throughout, so that the bound never falls. It is of that noise, and a
    little above what other noise would give, as it is maximised. The factors take memory for each
    example and an optimisation for each new one, which an encoder replaces by a function; use this where examples are
    few, to see how much that costs (`amortisation_gap`), or where an encoder can't be trained.

    Args:
        decoder: codes (K, n, D) to p(x|z), a distribution of batch shape (K, n). It is trained in place.
        x: examples (n, F), in the decoder's dtype.
        n_components: D, dimension of the code.
        n_draws: of the noise, even; None takes 16, or twice the dimension where that is more. From there on the bound
            of a linear-Gaussian decoder is exact.
        generator: of the noise; seed 0 unless given.
        max_iter: E- and M-steps in turn, at most.
        inner_steps: of the optimiser in each.
        tolerance: gain of the mean bound in one turn at which it has converged, nats.
        callback: called with "E" or "M" and the bound after each.

    Returns:
        Factors, bounds and how they were found; see `VariationalEM`.

    Raises:
        ValueError: a number out of range, or examples that are not (n, F).

    References:
        Neal, Hinton (1998). A view of the EM algorithm that justifies incremental, sparse, and other variants.
        Jordan, Ghahramani, Jaakkola, Saul (1999). An introduction to variational methods for graphical models. Machine
            Learning 37.

    Example:
        >>> from isthmus.distributions import normal
        >>> class Line(nn.Linear):
        ...     def forward(self, z):
        ...         return normal(super().forward(z), torch.ones(3))
        >>> x = torch.arange(12.0).view(4, 3)
        >>> found = variational_em(Line(1, 3), x, n_components=1, max_iter=3)
        >>> found.bounds == sorted(found.bounds), found.factors.mean.shape
        (True, torch.Size([4, 1]))
    """
    if x.dim() != 2 or not len(x):
        raise ValueError(f"Expected examples of shape (n, features), got {tuple(x.shape)}.")
    if n_components < 1 or max_iter < 0 or inner_steps < 1 or tolerance < 0:
        raise ValueError(
            "Expected n_components >= 1, max_iter >= 0, inner_steps >= 1 and tolerance >= 0, got "
            f"{n_components}, {max_iter}, {inner_steps} and {tolerance}."
        )
    n_draws = max(16, 2 * n_components) if n_draws is None else n_draws
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    noise = standard_draws(n_draws, n_components, generator, dtype=x.dtype).to(x.device)
    factors = RowFactors.prior(len(x), n_components, x)
    with torch.no_grad():
        bounds = [float(_bounds(decoder, x, factors, noise).mean())]

    def after(step: str, bound: Tensor) -> None:
        bounds.append(float(bound))
        if callback is not None:
            callback(step, bounds[-1])

    for number in range(max_iter):
        factors, each = fit_factors(decoder, x, factors, noise, max_iter=inner_steps)
        after("E", each.mean())
        after("M", _fit_decoder(decoder, x, factors, noise, inner_steps))
        if bounds[-1] - bounds[-3] <= tolerance:
            return VariationalEM(factors, bounds, number + 1, converged=True)
    return VariationalEM(factors, bounds, max_iter, converged=False)


def _fit_decoder(decoder: nn.Module, x: Tensor, factors: RowFactors, noise: Tensor, max_iter: int) -> Tensor:
    """The M-step; the mean bound after it."""
    parameters = [parameter for parameter in decoder.parameters() if parameter.requires_grad]

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        _put(vector, parameters)
        total, sums = 0.0, [torch.zeros_like(parameter) for parameter in parameters]
        for rows in _some_at_a_time(x, noise):
            part = RowFactors(factors.mean[rows], factors.scale[rows])
            value = -factor_bound(decoder, x[rows], part, noise).sum() / len(x)
            torch._foreach_add_(sums, list(torch.autograd.grad(value, parameters)))
            total += float(value.detach())
        return total, parameters_to_vector(sums).double().cpu().numpy()

    first = parameters_to_vector(parameters).detach().double().cpu().numpy()
    _put(lbfgs(value_and_gradient, first, max_iter=max_iter).theta, parameters)
    with torch.no_grad():
        return _bounds(decoder, x, factors, noise).mean()


def _put(vector: np.ndarray, parameters: list[nn.Parameter]) -> None:
    with torch.no_grad():
        vector_to_parameters(torch.from_numpy(vector).to(parameters[0]), parameters)


def amortisation_gap(
    decoder: nn.Module,
    x: Tensor,
    encoded: RowFactors,
    *,
    n_draws: int | None = None,
    generator: torch.Generator | None = None,
    max_iter: int = 200,
) -> Tensor:
    r"""What an encoder loses against a factor for each example: the best factor's bound minus the encoder's.

    The search begins at the encoder's factors, and both are then measured on the same fresh noise: on that of the
    search itself its result would look too good. What the search misses makes the gap too small, and single ones may
    be a little below 0; with more draws less so.

    Args:
        decoder: codes (K, n, D) to p(x|z).
        x: examples (n, F).
        encoded: mean and scale of q(z|x), as the encoder has them.
        n_draws: of the search's noise, even; None takes 128, or twice the dimension where that is more. Four times so
            many measure.
        generator: of the noise; seed 0 unless given.
        max_iter: of the optimiser.

    Returns:
        Nats, (n,).

    References:
        Cremer, Li, Duvenaud (2018). Inference suboptimality in variational autoencoders. ICML.
    """
    dim = encoded.mean.shape[-1]
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    n_draws = max(128, 2 * dim) if n_draws is None else n_draws
    noise, fresh = (standard_draws(n, dim, generator, dtype=x.dtype).to(x.device) for n in (n_draws, 4 * n_draws))
    encoded = RowFactors(*(part.detach() for part in encoded))
    best, _ = fit_factors(decoder, x, encoded, noise, max_iter=max_iter)
    with torch.no_grad():
        return _bounds(decoder, x, best, fresh) - _bounds(decoder, x, encoded, fresh)

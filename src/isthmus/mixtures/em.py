"""Expectation maximisation for any model: two functions, and a bound that never falls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

__all__ = ["EMResult", "em"]

Parameters = TypeVar("Parameters")
Statistics = TypeVar("Statistics")


class EMResult(NamedTuple):
    """What EM found.

    Attributes:
        parameters: the last ones, whose bound is the last of `bounds`.
        bounds: before the first step and after each: mean per row, in nats; of several starts at once, a list each.
        n_steps: M-steps made.
        converged: whether the last step gained no more than the tolerance, of every start.
        largest_fall: by how much a step lowered the bound at most, where that was more than rounding; else 0.
    """

    parameters: Any
    bounds: list[float] | list[list[float]]
    n_steps: int
    converged: bool
    largest_fall: float


def em(
    e_step: Callable[[Parameters], tuple[Statistics, float | Tensor]],
    m_step: Callable[[Statistics], Parameters],
    start: Parameters,
    *,
    tolerance: float = 1e-3,
    max_iter: int = 100,
    rounding: float = 1e-9,
) -> EMResult:
    r"""Expectation maximisation: E- and M-steps in turn until a step gains too little.

    .. math:: L(q, \theta) = E_q[\log p(x, z \mid \theta)] + H[q] \le \log p(x \mid \theta)

    The E-step finds the q that maximises L, the M-step the parameters; so L never falls. With q = p(z|x) it is
    log p(x); with a q of fewer freedoms it is variational EM, and L a bound. Use it for any model whose two steps
    can be written down.

    Args:
        e_step: parameters -> (statistics that the M-step needs, the bound at these parameters as a mean per row, in
            nats); of R starts on one axis, a tensor (R,) of bounds.
        m_step: statistics -> parameters.
        start: parameters to begin with.
        tolerance: gain of the bound, in nats a row, at which it has converged; 0 goes on until nothing is gained.
        max_iter: most M-steps; 0 only measures the start.
        rounding: relative fall of the bound that is taken for rounding; about 1e-5 where steps are in float32.

    Returns:
        The parameters and how they were found; see `EMResult`.

    Raises:
        ValueError: a tolerance or max_iter below 0, or a bound that is NaN or plus infinity.

    References:
        Dempster, Laird, Rubin (1977). Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39.
        Neal, Hinton (1998). A view of the EM algorithm that justifies incremental, sparse, and other variants.

    Example:
        Two coins of equal weight, from the heads in five rounds of ten throws.

        >>> heads = torch.tensor([5.0, 9, 8, 4, 7])
        >>> def e_step(coins):
        ...     joint = heads[:, None] * coins.log() + (10 - heads[:, None]) * (1 - coins).log() + math.log(0.5)
        ...     return joint.softmax(dim=1), joint.logsumexp(dim=1).mean()
        >>> def m_step(share):
        ...     return (share * heads[:, None]).sum(dim=0) / (10 * share.sum(dim=0))
        >>> found = em(e_step, m_step, torch.tensor([0.6, 0.5]), tolerance=1e-6)
        >>> found.parameters.round(decimals=2), found.converged
        (tensor([0.8000, 0.5200]), True)
    """
    if tolerance < 0 or max_iter < 0:
        raise ValueError(f"Expected tolerance and max_iter >= 0, got {tolerance} and {max_iter}.")
    parameters, history, largest_fall, converged = start, [], 0.0, False
    while True:
        statistics, bound = e_step(parameters)
        history.append(_checked(bound, len(history)))
        if len(history) > 1:
            gain, allowed = _gain(history), rounding * history[-2].abs().clamp_min(1.0)
            fall = torch.where(gain < -allowed, -gain, torch.zeros_like(gain)).max()
            largest_fall = max(largest_fall, float(fall))
            converged = bool(((gain <= tolerance) & (gain >= -allowed.clamp_min(tolerance))).all())
        if converged or len(history) > max_iter:
            bounds = [value.tolist() for value in history]
            return EMResult(parameters, bounds, len(history) - 1, converged, largest_fall)
        parameters = m_step(statistics)


def _checked(bound: float | Tensor, step: int) -> Tensor:
    value = torch.as_tensor(bound, dtype=torch.float64).detach().cpu()
    if value.isnan().any() or (value == math.inf).any():
        raise ValueError(
            f"Expected a bound that is a number, got {value.tolist()} after {step} steps; use data in units where "
            "variances are about 1, or a floor on variances."
        )
    return value


def _gain(history: list[Tensor]) -> Tensor:
    """Of the last step; from minus infinity to itself it is nothing."""
    gain = history[-1] - history[-2]
    return torch.where(gain.isnan(), torch.zeros_like(gain), gain)

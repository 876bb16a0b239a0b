"""Optimisers that need no step size, safe at borders: Newton's method with its Hessian made positive, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImproperDensityError", "Optimum", "lbfgs", "newton", "newton_cg"]

Vector = NDArray[np.float64]

SETTLED = 1e-3  # nats that may be left where no step gains any more: the rounding of a log-density in float32


class ImproperDensityError(ValueError):
    """A density whose integral is infinite: no distribution stands for it."""


class Optimum(NamedTuple):
    """Where an optimiser ended.

    Attributes:
        theta: the parameters.
        value: the objective there, in nats.
        hessian: there, positive definite; None where it was not computed or is not.
        converged: whether no more than rounding can be gained.
        n_steps: taken.
    """

    theta: Vector
    value: float
    hessian: Vector | None
    converged: bool
    n_steps: int


def newton(
    second_order: Callable[[Vector], tuple[float, Callable[[], tuple[Vector, Vector]]]],
    start: Vector,
    *,
    longest: Callable[[Vector, Vector], float] = lambda theta, step: 1.0,
    tolerance: float = 1e-9,
    max_iter: int = 60,
) -> Optimum:
    r"""Newton's method on any smooth function: eigenvalues of the Hessian by their size, steps halved until they gain.

    Args:
        second_order: gives the value, infinity where there is none, and a function to its gradient and Hessian.
        start: parameters of a finite value.
        longest: the share of a step that may be taken.
        tolerance: what may still be gained, in nats.
        max_iter: steps at most.

    Returns:
        the optimum.
    """
    theta, steps = start, 0
    current, derivatives = second_order(theta)
    if not np.isfinite(current):
        raise ValueError("Expected a finite log-density where the optimiser starts, got none; use start=...")
    while True:
        gradient, hessian = derivatives()
        if not np.isfinite(hessian).all():
            return Optimum(theta, current, None, converged=False, n_steps=steps)
        step, positive = _direction(gradient, hessian)
        gain = -0.5 * float(gradient @ step)
        if gain < tolerance and positive:
            return Optimum(theta + step, current, hessian, converged=True, n_steps=steps)  # the last step is free
        rounding = 1e-13 * max(1.0, abs(current))
        settled = positive and gain < SETTLED
        share = allowed = min(1.0, longest(theta, step))
        for _ in range(40 if steps < max_iter else 0):
            proposed, derivatives = second_order(theta + share * step)
            if proposed <= current - 1e-4 * share * gain + rounding:
                break
            share *= 0.5 if proposed < np.inf else 0.25
        else:
            return Optimum(theta, current, hessian if positive else None, settled, steps)
        if share < 1e-6 * allowed:  # it creeps: along a border, or in rounding where little can be gained
            return Optimum(theta, current, hessian if settled else None, settled, steps)
        theta, current, steps = theta + share * step, proposed, steps + 1


def _direction(gradient: Vector, hessian: Vector) -> tuple[Vector, bool]:
    """Newton's step with curvatures by their size, and whether all were positive."""
    basis, positive = _whitening(hessian)
    return -basis @ (basis.T @ gradient), positive


def lbfgs(
    value_and_gradient: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    *,
    hessian: Vector | None = None,
    enough: Callable[[Vector], bool] = lambda theta: False,
    tolerance: float = 1e-5,
    max_iter: int = 500,
) -> Optimum:
    """SciPy's L-BFGS-B, whose line search is led back from where the function is not finite.

    Args:
        value_and_gradient: the function.
        start: parameters of a finite value.
        hessian: a guess of it, which gives all parameters one scale; None for those that have one already.
        enough: whether to stop at these parameters.
        tolerance: largest entry of the gradient at the optimum, in nats where the guess is good.
        max_iter: steps at most.

    Returns:
        the optimum, without its Hessian.
    """
    from scipy.optimize import minimize

    basis = None if hessian is None else _whitening(hessian)[0]
    best: list[tuple[Vector, float, Vector]] = []

    def safe(u: Vector) -> tuple[float, Vector]:
        theta = start + (u if basis is None else basis @ u)
        value, gradient = value_and_gradient(theta)
        gradient = gradient if basis is None else basis.T @ gradient
        if np.isfinite(value) and np.isfinite(gradient).all():
            if not best or value < best[0][1]:
                best[:] = [(u.copy(), value, gradient)]
            return value, gradient
        if not best:
            raise ValueError("Expected a finite log-density where the optimiser starts, got none; use start=...")
        at, height, slope = best[0]  # as high as makes the line search come back to about a ninth of its step
        return height + abs(float(slope @ (u - at))) + 1e-12, np.zeros_like(gradient)

    def look(u: Vector) -> None:
        if enough(start + (u if basis is None else basis @ u)):
            raise StopIteration

    result = minimize(
        safe, np.zeros_like(start), jac=True, method="L-BFGS-B", callback=look,
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tolerance, "ftol": 1e-14, "maxcor": 20},
    )  # fmt: skip
    u, value, gradient = best[0]
    flat = float(np.abs(gradient).max()) < max(100 * tolerance, 1e-12 * abs(value))
    return Optimum(start + (u if basis is None else basis @ u), value, None, bool(flat), int(result.nit))


def newton_cg(
    value_and_gradient: Callable[[Vector], tuple[float, Vector]],
    product: Callable[[Vector], Callable[[Vector], Vector]],
    start: Vector,
    *,
    tolerance: float = 1e-4,
    max_iter: int = 200,
) -> Optimum:
    """SciPy's trust-region Newton method with conjugate gradients, for Hessians that are known by their products.

    Args:
        value_and_gradient: the function.
        product: its Hessian at a point, as a function of a vector.
        start: parameters of a finite value.
        tolerance: norm of the gradient at the optimum.
        max_iter: steps at most.

    Returns:
        the optimum, without its Hessian.
    """
    from scipy.optimize import minimize

    held: list[tuple[bytes, Callable[[Vector], Vector]]] = []

    def times(theta: Vector, vector: Vector) -> Vector:
        if not held or held[0][0] != theta.tobytes():
            held[:] = [(theta.tobytes(), product(theta))]
        return held[0][1](vector)

    def safe(theta: Vector) -> tuple[float, Vector]:
        value, gradient = value_and_gradient(theta)
        finite = np.isfinite(value) and np.isfinite(gradient).all()
        return (value, gradient) if finite else (np.inf, np.zeros_like(gradient))

    options = {"maxiter": max_iter, "gtol": tolerance}
    result = minimize(safe, start, jac=True, hessp=times, method="trust-ncg", options=options)
    return Optimum(result.x, float(result.fun), None, bool(result.success), int(result.nit))


def _whitening(hessian: Vector) -> tuple[Vector, bool]:
    """A basis in which the Hessian, its eigenvalues by their size, is the identity; whether all were positive."""
    sizes = np.abs(hessian.diagonal())
    scale = 1 / np.sqrt(np.where(sizes > 1e-100, sizes, 1.0))
    values, vectors = np.linalg.eigh(hessian * scale * scale[:, None])
    sizes = np.maximum(np.abs(values), 1e-12 * max(1.0, np.abs(values).max()))
    return scale[:, None] * vectors / np.sqrt(sizes), bool(values[0] > 0)

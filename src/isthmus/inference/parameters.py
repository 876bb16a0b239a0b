"""Named, constrained parameters as one unconstrained vector."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.constraints import Constraint

__all__ = ["Parameters"]


class Parameters:
    r"""Named parameters, each with its constraint and shape, seen as one unconstrained vector.

    A density of the parameters becomes one of the vector by :math:`\log p(v) = \log p(T(v)) + \log|\det dT/dv|`, with
    torch's own bijections T (`torch.distributions.biject_to`): exp for positive, a scaled sigmoid for intervals, stick
    breaking for simplices.

    Args:
        **parameters: a constraint of `torch.distributions.constraints` for a scalar, or (constraint, shape) with a
            whole number or a tuple as the shape. The last dimension of a simplex is its length; the last two of
            lower_cholesky, corr_cholesky and positive_definite the matrix.

    Raises:
        TypeError, ValueError: something is no constraint, or no shape that it can have.

    Example:
        >>> from torch.distributions import constraints
        >>> parameters = Parameters(mu=constraints.real, tau=constraints.positive, theta=(constraints.simplex, 3))
        >>> parameters.dim
        4
        >>> {name: tuple(value.shape) for name, value in parameters.constrain(torch.zeros(5, 4)).items()}
        {'mu': (5,), 'tau': (5,), 'theta': (5, 3)}
    """

    def __init__(self, **parameters: Constraint | tuple[Constraint, Any]):
        if not parameters:
            raise ValueError("Expected at least one parameter, got none; use Parameters(mu=constraints.real)")
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.constraints: dict[str, Constraint] = {}
        self._transforms: dict[str, Any] = {}
        self._free: dict[str, tuple[int, ...]] = {}
        for name, what in parameters.items():
            constraint, shape = what if isinstance(what, tuple) else (what, ())
            self._add(name, constraint, (shape,) if isinstance(shape, int) else tuple(shape))

    def _add(self, name: str, constraint: Any, shape: tuple[int, ...]) -> None:
        if not isinstance(constraint, Constraint):
            raise TypeError(
                f"Expected {name} to have a constraint of torch.distributions.constraints, got {constraint!r}"
            )
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape):
            raise ValueError(f"Expected {name}'s shape to be positive whole numbers, got {shape}")
        if len(shape) < constraint.event_dim:
            raise ValueError(f"Expected {name} to have a shape of {constraint.event_dim} or more sizes, got {shape}")
        matrix = _MATRICES.get(constraint)
        if matrix is not None and shape[-1] != shape[-2]:
            raise ValueError(f"Expected {name} to be square, got {shape}")
        try:
            transform = matrix(shape[-1]) if matrix is not None else biject_to(constraint)
        except NotImplementedError:
            raise ValueError(f"Expected {name} to have a constraint with a bijection, got {constraint}") from None
        self.shapes[name], self.constraints[name] = shape, constraint
        self._transforms[name], self._free[name] = transform, tuple(transform.inverse_shape(shape))

    @property
    def names(self) -> list[str]:
        """The parameters' names, in order."""
        return list(self.shapes)

    @property
    def dim(self) -> int:
        """Length of the unconstrained vector."""
        return sum(prod(free) for free in self._free.values())

    def constrain(self, vector: Tensor) -> dict[str, Tensor]:
        """The parameters (..., *shape) by name that vectors (..., dim) stand for."""
        return {name: value for name, (_, value) in self._split(vector).items()}

    def unconstrain(self, **values: Tensor | float) -> Tensor:
        """The vector (..., dim) that stands for parameters (..., *shape)."""
        if set(values) != set(self.names):
            raise ValueError(f"Expected values for {', '.join(self.names)}, got {', '.join(values) or 'none'}")
        parts = []
        for name, shape in self.shapes.items():
            value = torch.as_tensor(
                values[name], dtype=torch.get_default_dtype() if not _is_float(values[name]) else None
            )
            free = self._transforms[name].inv(value)
            parts.append(free.reshape(*value.shape[: value.ndim - len(shape)], -1))
        return torch.cat(parts, -1)

    def log_jacobian(self, vector: Tensor) -> Tensor:
        r""":math:`\log|\det dT/dv|` (...) at vectors (..., dim)."""
        total = vector.new_zeros(vector.shape[:-1])
        for name, (free, value) in self._split(vector).items():
            terms = self._transforms[name].log_abs_det_jacobian(free, value)
            total = total + terms.reshape((*vector.shape[:-1], -1)).sum(-1)
        return total

    def log_density(self, function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        """The log-density of the vector, given that of the parameters.

        Args:
            function: takes the parameters by name, `f(mu, tau, theta)`, or all of them in a dictionary, `f(values)`.

        Returns:
            a function of vectors (..., dim), with the transforms' log-determinant added.
        """
        by_name = _takes_names(function, self.names)

        def of_vector(vector: Tensor) -> Tensor:
            values = self.constrain(vector)
            value = function(**values) if by_name else function(values)
            if not isinstance(value, Tensor):
                raise TypeError(f"Expected the log-density to return a tensor, got {type(value).__name__}")
            if value.shape != vector.shape[:-1]:
                raise ValueError(
                    f"Expected a log-density of shape {tuple(vector.shape[:-1])} for a vector of shape "
                    f"{tuple(vector.shape)}, got {tuple(value.shape)}; sum over everything but the draws"
                )
            return value + self.log_jacobian(vector)

        return of_vector

    def free_coordinates(self) -> list[str]:
        """A name for each number of the unconstrained vector."""
        return [name for key, free in self._free.items() for name in _names(key, free)]

    def coordinates(self) -> list[str]:
        """A name for each of the numbers that the constrained parameters hold: mu, theta[0], theta[1], ..."""
        return [name for key, shape in self.shapes.items() for name in _names(key, shape)]

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={self.constraints[name]}{list(shape) or ''}" for name, shape in self.shapes.items())
        return f"Parameters({inside})"

    def _split(self, vector: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        if vector.shape[-1:] != (self.dim,):
            raise ValueError(f"Expected vectors of shape (..., {self.dim}), got {tuple(vector.shape)}")
        found, start = {}, 0
        for name, shape in self._free.items():
            size = prod(shape)
            free = vector[..., start : start + size].reshape((*vector.shape[:-1], *shape))
            found[name] = free, self._transforms[name](free)
            start += size
        return found


class _LowerCholesky:
    """Vectors of k(k+1)/2 numbers to lower triangular matrices with a positive diagonal (torch's own has k^2)."""

    def __init__(self, size: int):
        self.size = size
        self.rows, self.columns = torch.tril_indices(size, size)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-2], self.size * (self.size + 1) // 2)

    def __call__(self, free: Tensor) -> Tensor:
        on_diagonal = (self.rows == self.columns).to(free.device)
        entries = torch.where(on_diagonal, free.clamp(max=700).exp(), free)
        places = torch.zeros(len(self.rows), self.size * self.size, dtype=free.dtype, device=free.device)
        places[torch.arange(len(self.rows)), self.rows * self.size + self.columns] = 1
        return (entries @ places).reshape(*free.shape[:-1], self.size, self.size)

    def inv(self, matrix: Tensor) -> Tensor:
        free = matrix[..., self.rows, self.columns]
        return torch.where((self.rows == self.columns).to(free.device), free.log(), free)

    def log_abs_det_jacobian(self, free: Tensor, _: Tensor) -> Tensor:
        return free[..., (self.rows == self.columns).to(free.device)].sum(-1)


class _PositiveDefinite(_LowerCholesky):
    """The same vectors to L L', whose Jacobian is that of L and 2^k times the product of L_ii^(k - i + 1)."""

    def __call__(self, free: Tensor) -> Tensor:
        factor = super().__call__(free)
        return factor @ factor.mT

    def inv(self, matrix: Tensor) -> Tensor:
        return super().inv(torch.linalg.cholesky(matrix))

    def log_abs_det_jacobian(self, free: Tensor, _: Tensor) -> Tensor:
        diagonal = free[..., (self.rows == self.columns).to(free.device)]
        powers = 1 + torch.arange(self.size, 0, -1, dtype=free.dtype, device=free.device)
        return (diagonal * powers).sum(-1) + self.size * torch.log(torch.tensor(2.0, dtype=free.dtype))


_MATRICES: dict[Any, Any] = {
    constraints.lower_cholesky: _LowerCholesky,
    constraints.positive_definite: _PositiveDefinite,
}


def _names(name: str, shape: tuple[int, ...]) -> list[str]:
    return [f"{name}[{','.join(map(str, at))}]" if at else name for at in product(*map(range, shape))]


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _takes_names(function: Callable, names: list[str]) -> bool:
    try:
        expected = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_KEYWORD for p in expected.values()) or set(names) <= set(expected):
        return True
    required = [p for p in expected.values() if p.default is p.empty]
    if len(required) == 1:
        return False
    raise ValueError(f"Expected a log-density of {', '.join(names)}, got one of {', '.join(expected) or 'nothing'}")

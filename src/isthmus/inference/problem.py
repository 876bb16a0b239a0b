"""What is to be fitted: the log-density of a vector, its names, and a point to begin at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .density import LogDensity
from .parameters import Parameters

__all__ = ["Problem", "finite_start"]

Vector = NDArray[np.float64]
SCALE = 0.1  # of the first guess: small enough for whatever is finite around a point


class Problem(NamedTuple):
    """A log-density, with names of its coordinates.

    Attributes:
        log_density: of the unconstrained vector.
        parameters: what the vector stands for; None for a plain vector.
        names: of the numbers that are reported, in constrained space.
        free_names: of the vector's coordinates.
        notes: what was found out about it.
    """

    log_density: LogDensity
    parameters: Parameters | None
    names: list[str]
    free_names: list[str]
    notes: list[str]

    @classmethod
    def of(
        cls,
        function: Callable[..., Tensor],
        dim: int | Parameters,
        batched: bool | None,
        dtype: torch.dtype | None,
        device: torch.device | str,
    ) -> Problem:
        """From what a user gives; in float64, or in float32 where the function can't do with float64."""
        if not callable(function):
            raise TypeError(f"Expected a function that returns a log-density, got {type(function).__name__}")
        if isinstance(dim, Parameters):
            parameters, size, names, free = dim, dim.dim, dim.coordinates(), dim.free_coordinates()
            function = dim.log_density(function)
        else:
            if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
                raise ValueError(f"Expected dim to be a positive whole number or Parameters, got {dim!r}")
            parameters, size, names = None, dim, [f"x[{i}]" for i in range(dim)]
            free = names
        notes: list[str] = []
        try:
            target = LogDensity(function, size, batched, dtype=dtype or torch.float64, device=device)
        except ValueError as error:
            if dtype is not None or "dtype" not in str(error):
                raise
            target = LogDensity(function, size, batched, dtype=torch.float32, device=device)
            notes.append("The log-density was evaluated in float32, as its data are; float64 is more exact.")
        return cls(target, parameters, names, free, notes)

    def vector(self, start: Tensor | Mapping[str, Any] | Any) -> Vector:
        """A user's starting point as a vector (dim,)."""
        if isinstance(start, Mapping):
            if self.parameters is None:
                raise ValueError("Expected start to be a vector, got a dictionary; use Parameters for names")
            start = self.parameters.unconstrain(**start)
        vector = torch.as_tensor(start).detach().double().cpu().numpy()
        if vector.shape != (self.log_density.dim,) or not np.isfinite(vector).all():
            raise ValueError(f"Expected start to be {self.log_density.dim} finite numbers, got {start}")
        return vector


def finite_start(log_density: LogDensity, noise: Tensor, start: Vector | None, generator: torch.Generator) -> Vector:
    """Parameters (m, log s) around which the log-density is finite: at the origin, or at the best of random points.

    Args:
        log_density: the target.
        noise: the draws that it must be finite for.
        start: where to begin, (dim,); None for the origin.
        generator: of random points.

    Returns:
        (2 dim,).

    Raises:
        ValueError: there is no such point among some hundreds.
    """
    dim = log_density.dim
    origin = np.zeros(dim) if start is None else start
    points = [origin]
    if not _is_finite(log_density, noise, origin, SCALE) and start is None:
        spread = 10 ** torch.linspace(-1, 1.5, 300, dtype=torch.float64, device=generator.device)[:, None]
        cloud = spread * torch.randn(300, dim, generator=generator, dtype=torch.float64, device=generator.device)
        values = log_density.values(cloud.to(log_density.device, log_density.dtype))
        best = values.argsort(descending=True)[: int(values.isfinite().sum())]
        points += list(cloud.to(best.device)[best[:10]].cpu().numpy())
    for scale in (SCALE, 1e-2, 1e-4):
        for point in points:
            if _is_finite(log_density, noise, point, scale):
                return np.concatenate([point, np.full(dim, np.log(scale))])
    where = "the start" if start is not None else f"the origin or any of {log_density.n_values} points around it"
    raise ValueError(f"Expected a log-density that is finite somewhere, got none at {where}; use start=...")


def _is_finite(log_density: LogDensity, noise: Tensor, point: Vector, scale: float) -> bool:
    points = torch.from_numpy(point).to(noise) + scale * noise
    values, gradient = log_density.value_and_gradient(points)
    return bool(values.isfinite().all() and gradient.isfinite().all())

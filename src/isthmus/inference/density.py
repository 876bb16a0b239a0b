"""A log-density that anything here can be fitted to: any function of a vector, made batched and counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["LogDensity"]

CHUNK = 2**19  # numbers a chunk of draws may hold: a few megabytes for each intermediate result
DRAWS = 256  # and how many draws on a CPU: an intermediate result of each draw with each row of data fits its cache


class LogDensity:
    r"""A log-density of a vector, evaluated for many draws at once, with gradients and counts.

    The function may take one draw (dim,) and return a scalar, or many (S, dim) and return (S,): which of the two it
    does is found out by evaluating it, and one draw becomes many by `torch.func.vmap`. It need not be normalised.

    Args:
        function: unconstrained vector to log-density in nats, differentiable by torch.
        dim: dimension of the vector.
        batched: whether the function takes (S, dim); None finds out.
        dtype, device: of the draws that the function is given.

    Raises:
        TypeError: the function is none, or returns no tensor.
        ValueError: the function returns the wrong shape, or can be evaluated neither way.

    Example:
        >>> log_density = LogDensity(lambda x: -0.5 * x.dot(x), 2)
        >>> log_density(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
        tensor([-12.5000,  -0.0000], dtype=torch.float64)
        >>> log_density.batched, log_density.n_values
        (False, 2)
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        dim: int,
        batched: bool | None = None,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ):
        if not callable(function):
            raise TypeError(f"Expected a function that returns a log-density, got {type(function).__name__}")
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ValueError(f"Expected dim to be a positive whole number, got {dim!r}")
        self.function, self.dim, self.dtype, self.device = function, dim, dtype, torch.device(device)
        self.n_values = self.n_gradients = self.n_hessian_products = self.n_calls = self.n_not_finite = 0
        self.batched = self._finds_out_batched() if batched is None else bool(batched)
        self._many = function if self.batched else torch.func.vmap(function)

    def __call__(self, points: Tensor) -> Tensor:
        """Log-density (S,) of draws (S, dim); differentiable. NaN and infinity count as a density of zero."""
        if points.shape[-1:] != (self.dim,):
            raise ValueError(f"Expected draws of shape (S, {self.dim}), got {tuple(points.shape)}")
        values = self._evaluated(points.reshape(-1, self.dim))
        self._check(values, len(points.reshape(-1, self.dim)))
        finite = values.detach().isfinite()
        self.n_calls += 1
        self.n_values += len(values)
        self.n_not_finite += int((~finite).sum())
        if not bool(finite.all()):
            values = values.masked_fill(~finite, -torch.inf)
        return values.reshape(points.shape[:-1])

    def _evaluated(self, points: Tensor) -> Tensor:
        """What the function returns; draws for which it fails, far out, have a density that is none."""
        try:
            return self._many(points)
        except ValueError:  # torch's distributions refuse a scale that overflowed to infinity, or to 0
            before = Distribution._validate_args
            Distribution.set_default_validate_args(False)
            try:
                return self._many(points)
            finally:
                Distribution.set_default_validate_args(before)
        except torch.linalg.LinAlgError:  # of one draw's matrix, and all are lost: look for it
            if len(points) == 1:
                return torch.nan + 0 * points.sum(dim=1)
            return torch.cat([self._evaluated(half) for half in points.chunk(2)])

    def values(self, points: Tensor) -> Tensor:
        """Log-density (S,) without gradients, in chunks of bounded memory."""
        rows = max(1, CHUNK // self.dim)
        if self.device.type == "cpu":
            rows = min(rows, DRAWS)
        with torch.no_grad():
            return torch.cat([self(chunk) for chunk in points.split(rows)])

    def value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density (S,) and its gradient (S, dim), each without a graph."""
        points = points.detach().requires_grad_()
        with torch.enable_grad():
            values = self(points)
            (gradient,) = torch.autograd.grad(self._with_gradient(values).sum(), points)
        self.n_gradients += len(points)
        return values.detach(), gradient

    def curvature(self, points: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Log-density (S,), gradient (S, dim), and products of each draw's Hessian with directions (K, S, dim)."""
        points = points.detach().requires_grad_()
        with torch.enable_grad():
            values = self(points)
            (gradient,) = torch.autograd.grad(self._with_gradient(values).sum(), points, create_graph=True)
        self.n_gradients += len(points)

        def product(directions: Tensor) -> Tensor:
            self.n_hessian_products += directions.shape[0] * directions.shape[1]
            if not gradient.requires_grad:  # a linear function
                return torch.zeros_like(directions)
            return torch.autograd.grad(
                gradient, points, directions, retain_graph=True, is_grads_batched=True, materialize_grads=True
            )[0]

        return values.detach(), gradient.detach(), product

    def _with_gradient(self, values: Tensor) -> Tensor:
        if not values.requires_grad:
            raise ValueError("Expected a log-density that torch can differentiate, got one that does not depend on x")
        return values

    def _check(self, values: Tensor, n: int) -> None:
        if not isinstance(values, Tensor):
            raise TypeError(f"Expected the log-density to return a tensor, got {type(values).__name__}")
        if values.shape != (n,):
            raise ValueError(
                f"Expected a log-density of shape ({n},) for draws of shape ({n}, {self.dim}), "
                f"got {tuple(values.shape)}; sum over everything but the draws"
            )

    def _finds_out_batched(self) -> bool:
        """A batched function gives each row the value it gives that row alone."""
        n = 3 if self.dim != 3 else 2  # a shape (n,) can then not be one of the vector's own
        generator = torch.Generator().manual_seed(0)
        points = 0.1 * torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        points = points.to(self.dtype).to(self.device)
        with torch.no_grad():
            together, reason = _outcome(self.function, points)
            if isinstance(together, Tensor) and together.shape == (n,):
                alone, _ = _outcome(self.function, points[:1])
                single, _ = _outcome(self.function, points[0])
                rows = isinstance(alone, Tensor) and alone.shape == (1,) and _close(alone[0], together[0])
                if rows and not (isinstance(single, Tensor) and single.shape == () and not _close(single, together[0])):
                    return True
            each, why = _outcome(torch.func.vmap(self.function), points)
            if isinstance(each, Tensor) and each.shape == (n,):
                return False
            single, cause = _outcome(self.function, points[0])
        if cause is not None and reason is not None:
            raise ValueError(
                f"Expected a log-density of a vector ({self.dim},) or of draws (S, {self.dim}), got an error"
                f"{_place(cause)}: {cause}"
            ) from cause
        if cause is None and not isinstance(single, Tensor):
            raise TypeError(f"Expected the log-density to return a tensor, got {type(single).__name__}")
        shape = tuple(single.shape) if isinstance(single, Tensor) else None
        if shape == ():
            raise ValueError(
                "Expected a log-density that torch.func.vmap can batch, got one that reads values out of tensors "
                f"(.item(), if), writes in place or draws at random: {str(why).strip().splitlines()[:1]}; use "
                "torch.where, or write it for draws (S, dim): torch.stack([f(x) for x in draws]) will do, more slowly"
            ) from why
        raise ValueError(
            f"Expected a log-density that returns a scalar for a vector ({self.dim},), or ({n},) for draws "
            f"({n}, {self.dim}), got {shape if shape is not None else cause}; sum over everything but the draws"
        )


def _outcome(function: Callable, points: Tensor) -> tuple[object, Exception | None]:
    try:
        return function(points), None
    except Exception as error:  # whatever a user's function may raise; it is said if nothing else works
        return None, error


def _place(error: Exception) -> str:
    """In which line of the user's own code an error arose."""
    import traceback

    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if "/site-packages/" not in frame.filename]
    own = [frame for frame in lines if Path(__file__).parent.parent not in Path(frame.filename).parents]
    return f" in line {own[-1].lineno} of {own[-1].filename}" if own else ""


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(torch.isclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True))

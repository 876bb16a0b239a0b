"""Normalising flows: an invertible network bends a normal distribution into the posterior's shape."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from ..seeding import seeded
from .base import Family

__all__ = ["Flow", "FlowDistribution"]

BOUND = 3.0
"""Largest change of a log-scale in one layer, so that no step can make a layer degenerate."""


class Flow(Family):
    r"""A normalising flow, :math:`x = \mu + L\,f(z)`, z from N(0, I), with f a stack of coupling layers.

    Each layer changes one half of the coordinates, given the other half, by a small network. Draws and their density
    take one pass each way, which fitting by KL(q||p) needs; flows that are slow in either direction are not offered,
    nor are those that are inverted by search. For posteriors that are bent, skewed or funnel-shaped; fit a Gaussian
    first, and start from it: a new flow is exactly N(mu, L L^T).

    Args:
        dim: dimension of the vector.
        transform: "affine" scales and shifts (RealNVP); "spline" is more flexible, ten times slower, and takes the
            package zuko; "auto" is "affine", but "spline" in one dimension, where "affine" would be a normal one.
        n_layers: coupling layers; every coordinate is changed by half of them.
        hidden: widths of each layer's network.
        location: mu, (dim,) or one number.
        scale: L, standard deviations (dim,) or one number, or a lower-triangular matrix (dim, dim).
        seed: of the networks' starting weights.
        dtype: of the parameters.

    Raises:
        ValueError: another transform, or one dimension with "affine".
        ModuleNotFoundError: "spline" without zuko.

    References:
        Dinh, Sohl-Dickstein, Bengio (2017). Density estimation using Real NVP. ICLR.
        Durkan, Bekasov, Murray, Papamakarios (2019). Neural spline flows. NeurIPS.
        Agrawal, Sheldon, Domke (2020). Advances in black-box VI. NeurIPS (with the sticking-the-landing gradient).

    Example:
        >>> q = Flow(3, location=2.0)()
        >>> draws, log_q = q.rsample_and_log_prob((5,))
        >>> draws.shape, torch.allclose(log_q, q.log_prob(draws))
        (torch.Size([5, 3]), True)
    """

    name = "flow"

    def __init__(
        self,
        dim: int,
        transform: str = "auto",
        n_layers: int = 6,
        hidden: tuple[int, ...] = (32, 32),
        location: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__(dim)
        if transform not in ("auto", "affine", "spline"):
            raise ValueError(f"Expected transform 'auto', 'affine' or 'spline', got {transform!r}.")
        if transform == "affine" and dim < 2:
            raise ValueError("Expected two dimensions or more for affine coupling, got 1; use 'spline' or a mixture.")
        build = _spline if transform == "spline" or dim < 2 else AffineCoupling
        self.location: Tensor
        self.scale: Tensor
        scale = torch.as_tensor(scale, dtype=dtype)
        scale = scale if scale.dim() == 2 else torch.diag(torch.zeros(dim, dtype=dtype, device=scale.device) + scale)
        self.register_buffer("location", scale.new_zeros(dim) + torch.as_tensor(location, dtype=dtype))
        self.register_buffer("scale", scale)
        with seeded(seed):
            self.transform = build(dim, n_layers, hidden).to(scale)

    def forward(self) -> FlowDistribution:
        """The distribution at the present parameters."""
        return FlowDistribution(self)

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws (S, dim) for standard normal noise (S, dim), and log|det| of the map (S,)."""
        y, log_det = self.transform(noise)
        return self.location + y @ self.scale.T, log_det + self.scale.diagonal().log().sum()

    def pull(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The noise (S, dim) of draws (S, dim), and log|det| of the inverse map (S,)."""
        y = torch.linalg.solve_triangular(self.scale, (x - self.location).T, upper=False).T
        z, log_det = self.transform.inverse(y)  # type: ignore[operator]
        return z, log_det - self.scale.diagonal().log().sum()


class FlowDistribution(Distribution):
    """The distribution of a flow at its present parameters."""

    arg_constraints: dict = {}
    has_rsample = True

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        super().__init__(torch.Size(), torch.Size((flow.dim,)), validate_args=False)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Draws (..., dim), differentiable in the flow's parameters."""
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Draws (..., dim) and their log-density (...), nats, in one pass."""
        shape = torch.Size(sample_shape)
        like = self.flow.location
        noise = torch.randn(shape.numel(), self.flow.dim, dtype=like.dtype, device=like.device)
        draws, log_det = self.flow.push(noise)
        return draws.reshape(*shape, -1), (_standard_normal(noise) - log_det).reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density (...) of (..., dim), nats."""
        noise, log_det = self.flow.pull(value.reshape(-1, self.flow.dim))
        return (_standard_normal(noise) + log_det).reshape(value.shape[:-1])


def _standard_normal(noise: Tensor) -> Tensor:
    return Normal(0.0, 1.0, validate_args=False).log_prob(noise).sum(-1)


class AffineCoupling(nn.Module):
    """Layers that scale and shift one half of the coordinates given the other; the identity at the start.

    Both directions cost the same, and a third of what a general library of flows takes on a CPU, where a flow of a few
    dimensions is all overhead.
    """

    def __init__(self, dim: int, n_layers: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = (dim // 2, dim - dim // 2)
        networks, orders = [], []
        for number in range(n_layers):
            given, changed = self.sizes if number % 2 == 0 else self.sizes[::-1]
            widths = [given, *hidden, 2 * changed]
            layers: list[nn.Module] = []
            for n_in, n_out in itertools.pairwise(widths):
                layers += [nn.Linear(n_in, n_out), nn.ReLU()]
            nn.init.zeros_(layers[-2].weight)  # type: ignore[arg-type]
            nn.init.zeros_(layers[-2].bias)  # type: ignore[arg-type]
            networks.append(nn.Sequential(*layers[:-1]))
            # Other halves every two layers, when each half has been changed once.
            orders.append(torch.randperm(dim) if number % 2 == 0 and number else torch.arange(dim))
        self.networks = nn.ModuleList(networks)
        self.orders: Tensor
        self.back: Tensor
        self.register_buffer("orders", torch.stack(orders))
        self.register_buffer("back", torch.stack(orders).argsort(-1))

    def _layer(self, number: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is given, what is changed, and by which log-scale and shift."""
        halves = x.split(self.sizes, -1)
        given, changed = halves if number % 2 == 0 else halves[::-1]
        log_scale, shift = self.networks[number](given).chunk(2, -1)
        return given, changed, BOUND * torch.tanh(log_scale / BOUND), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From noise to draws, and log|det|."""
        log_det = x.new_zeros(len(x))
        for number in range(len(self.networks)):
            if number % 2 == 0 and number:
                x = x[:, self.orders[number]]
            given, changed, log_scale, shift = self._layer(number, x)
            changed = changed * log_scale.exp() + shift
            x = torch.cat((given, changed) if number % 2 == 0 else (changed, given), -1)
            log_det = log_det + log_scale.sum(-1)
        return x, log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From draws to noise, and log|det|."""
        log_det = x.new_zeros(len(x))
        for number in reversed(range(len(self.networks))):
            given, changed, log_scale, shift = self._layer(number, x)
            changed = (changed - shift) * (-log_scale).exp()
            x = torch.cat((given, changed) if number % 2 == 0 else (changed, given), -1)
            if number % 2 == 0 and number:
                x = x[:, self.back[number]]
            log_det = log_det - log_scale.sum(-1)
        return x, log_det


def _spline(dim: int, n_layers: int, hidden: tuple[int, ...]) -> nn.Module:
    try:
        from zuko.flows import NSF
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Expected zuko for a flow of splines, got none; install it with: pip install 'isthmus[flows]'"
        ) from error
    # Two passes are a coupling: quick both ways.
    flow = NSF(dim, transforms=n_layers, passes=2, hidden_features=hidden)
    layers: Any = flow.transform
    for layer in layers.transforms:
        last = [module for module in layer.modules() if isinstance(module, nn.Linear)][-1:]
        for parameter in [p for module in last for p in module.parameters()] or list(layer.parameters()):
            nn.init.zeros_(parameter)  # the identity
    return _Spline(layers)


class _Spline(nn.Module):
    """zuko's direction, from draws to noise, turned round."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers().inv.call_and_ladj(x)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers().call_and_ladj(x)

"""What a fit returns: a posterior's moments, draws and density, and how far to trust them."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .density import LogDensity
from .families import Family, FullRank, MeanField
from .parameters import Parameters
from .weigh import Weighed, weigh

__all__ = ["Posterior", "Quantity", "Step"]

QUANTILES = (0.05, 0.5, 0.95)


class Step(NamedTuple):
    """An approximation that was tried: its name, k-hat, bound with standard error, and effective sample size."""

    family: str
    khat: float
    bound: float
    bound_error: float
    effective_sample_size: float


class Quantity(NamedTuple):
    """Posterior mean and sd of some numbers, and their quantiles at 5, 50 and 95 %, each of the numbers' shape."""

    mean: Tensor
    sd: Tensor
    quantiles: tuple[Tensor, Tensor, Tensor]


class Evaluations(NamedTuple):
    """Log-densities, gradients and products with a Hessian that were computed, each for one draw."""

    values: int
    gradients: int
    hessian_products: int


class Posterior:
    """A fitted posterior: moments, draws, density, and how far to trust them; as `fit_posterior` returns it.

    Where k-hat is at most 0.7, whatever is reported (mean, sd, covariance, draws, quantities) is importance-corrected:
    taken over the approximation's draws with Pareto-smoothed weights, which is closer to the posterior than the
    approximation itself. Above, it is the approximation's own, and `message` says so.

    Attributes:
        family: name of the approximation.
        approximation: it, a `Family`; its own moments are `approximation_mean` and `approximation_sd`.
        khat: shape of the importance weights' tail: below 0.5 good, up to 0.7 usable, above not to be trusted.
        effective_sample_size: how many independent draws of the posterior the weighted ones are worth.
        log_evidence, log_evidence_error: its estimate by the smoothed weights, in nats, and its standard error.
        bound, bound_error: the approximation's, below it, and its standard error; far below for heavy tails.
        converged: whether the optimiser ended at an optimum.
        reliable: converged, and k-hat at most 0.7.
        n_evaluations: log-densities, gradients and products with a Hessian computed, a draw each.
        steps: what was tried, in order.
        message: what was done and why, in sentences.
    """

    def __init__(
        self,
        weighed: Weighed,
        log_density: LogDensity,
        parameters: Parameters | None,
        names: list[str],
        steps: list[Step],
        generator: torch.Generator,
        *,
        converged: bool,
        message: str,
        family: str,
        respond: Callable[[Tensor], Tensor],
    ):
        self._weighed, self._log_density, self._generator = weighed, log_density, generator
        self._respond = respond
        self.parameters, self.names, self.steps = parameters, names, steps
        self.approximation: Family = weighed.family
        self.family, self.converged, self.message = family, converged, message
        self.khat, self.bound, self.bound_error = weighed.khat, weighed.bound, weighed.bound_error
        self.effective_sample_size, self.log_evidence = weighed.effective_sample_size, weighed.log_evidence
        self.log_evidence_error = weighed.log_evidence_error
        self._weights = weighed.log_weights.exp()

    @property
    def dim(self) -> int:
        """Dimension of the unconstrained vector."""
        return self._log_density.dim

    @property
    def n_evaluations(self) -> Evaluations:
        """Log-densities, gradients and products with a Hessian computed so far, a draw each."""
        counted = self._log_density
        return Evaluations(counted.n_values, counted.n_gradients, counted.n_hessian_products)

    @property
    def reliable(self) -> bool:
        """Whether the fit converged and k-hat is at most 0.7. A mode that no draw fell into can't be seen."""
        return self.converged and self._weighed.trusted

    @property
    def mean(self) -> Tensor:
        """Posterior mean of the unconstrained vector, (dim,), float64."""
        if not self._weighed.trusted:
            return self.approximation_mean
        return self._weights @ self._weighed.draws.double()

    @property
    def covariance(self) -> Tensor:
        """Posterior covariance of the unconstrained vector, (dim, dim), float64."""
        if not self._weighed.trusted and isinstance(self.approximation, FullRank):
            factor = self.approximation.factor.detach().double()
            return factor @ factor.mT
        centred = self._weighed.draws.double() - self.mean
        return (centred * self._weights[:, None]).mT @ centred

    @property
    def sd(self) -> Tensor:
        """Posterior standard deviations of the unconstrained vector, (dim,), float64."""
        if not self._weighed.trusted:
            return self.approximation_sd
        return ((self._weighed.draws.double() - self.mean).square().mT @ self._weights).sqrt()

    @property
    def approximation_mean(self) -> Tensor:
        """The approximation's own mean, (dim,), float64."""
        if isinstance(self.approximation, FullRank | MeanField):
            return self.approximation.location.detach().double()
        return self._weighed.draws.double().mean(0)

    @property
    def approximation_sd(self) -> Tensor:
        """The approximation's own standard deviations, (dim,), float64."""
        if isinstance(self.approximation, FullRank):
            return self.approximation.factor.detach().double().norm(dim=1)
        if isinstance(self.approximation, MeanField):
            return self.approximation.scale.detach().double()
        return self._weighed.draws.double().std(0, correction=0)

    @property
    def draws(self) -> Tensor:
        """Posterior draws of the unconstrained vector, (S, dim), to be used without weights; some occur repeatedly."""
        generator = torch.Generator(self._weights.device).manual_seed(0)
        return _resample(self._weighed, len(self._weights), generator)

    def sample(self, n: int) -> Tensor:
        """Fresh posterior draws of the unconstrained vector, (n, dim); each call gives others.

        Where k-hat is at most 0.7 they are drawn from twice as many of the approximation by their weights.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"Expected n to be a positive whole number, got {n!r}")
        n_proposals = max(2 * n, 1000)
        if not self._weighed.trusted:
            return self.approximation.draw(n, self._generator)
        return _resample(weigh(self._log_density, self.approximation, n_proposals, self._generator), n, self._generator)

    def log_prob(self, vectors: Tensor) -> Tensor:
        """The approximation's normalised log-density of unconstrained vectors (..., dim), in nats."""
        return self.approximation().log_prob(vectors.to(self._weighed.draws)).detach()

    def linear_response(self, directions: Tensor) -> Tensor:
        """Covariance (K, K) of chosen linear functions of the vector, (K, dim), by the mean-field fit's response.

        By conjugate gradients, for vectors too long for a whole covariance; rows of the identity are coordinates.
        """
        if directions.ndim != 2 or directions.shape[1] != self.dim:
            raise ValueError(f"Expected directions of shape (K, {self.dim}), got {tuple(directions.shape)}")
        return self._respond(directions)

    def quantity(self, function: Callable[[Any], Tensor]) -> Quantity:
        """Posterior mean, sd and quantiles of anything that depends on the parameters.

        Args:
            function: of the draws (S, dim), or with `Parameters` of a dictionary of (S, *shape); returns (S, ...).
        """
        with torch.no_grad():
            draws = self._weighed.draws
            values = function(draws if self.parameters is None else self.parameters.constrain(draws))
        return _quantity(values, self._weights)

    def __getitem__(self, name: str) -> Quantity:
        """Posterior of a named parameter in its constrained space."""
        if self.parameters is None or name not in self.parameters.names:
            known = ", ".join(self.parameters.names) if self.parameters is not None else "none; fit with Parameters"
            raise KeyError(f"Expected the name of a parameter, got {name!r}; there are {known}")
        return self.quantity(lambda values: values[name])

    def _rows(self) -> list[tuple[str, float, float, float, float, float]]:
        if self.parameters is None:
            parts = [self.quantity(lambda draws: draws)]
        else:
            parts = [self[name] for name in self.parameters.names]
        figures = [(part.mean, part.sd, *part.quantiles) for part in parts]
        columns = [torch.cat([_flat(values) for values in column]).tolist() for column in zip(*figures, strict=True)]
        return list(zip(self.names, *columns, strict=True))

    def summary(self) -> str:
        """A table: mean, sd and quantiles of every parameter, then what the fit did and how far to trust it."""
        rows = self._rows()
        width = max(9, *(len(row[0]) for row in rows))
        lines = [f"{'':<{width}} {'mean':>11} {'sd':>10} {'5 %':>11} {'median':>11} {'95 %':>11}"]
        for name, mean, sd, low, median, high in rows:
            lines.append(f"{name:<{width}} {mean:>11.4g} {sd:>10.4g} {low:>11.4g} {median:>11.4g} {high:>11.4g}")
        return "\n".join([*lines, "", str(self)])

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain numbers and lists, as for JSON; None for what is not finite."""
        keys = ("mean", "sd", "5%", "median", "95%")
        found = {
            "parameters": {row[0]: dict(zip(keys, row[1:], strict=True)) for row in self._rows()},
            "family": self.family,
            "khat": self.khat,
            "bound": self.bound,
            "bound_error": self.bound_error,
            "log_evidence": self.log_evidence,
            "log_evidence_error": self.log_evidence_error,
            "effective_sample_size": self.effective_sample_size,
            "converged": self.converged,
            "reliable": self.reliable,
            "n_evaluations": self.n_evaluations._asdict(),
            "steps": [step._asdict() for step in self.steps],
            "message": self.message,
        }
        return _plain(found)

    def __repr__(self) -> str:
        value, error = self.bound, self.bound_error
        if self._weighed.trusted:  # of heavy tails the bound is far below, or minus infinity
            value, error = self.log_evidence, self.log_evidence_error
        shown = f"{'log evidence' if self._weighed.trusted else 'bound'} {value:.4f}"
        shown += f" ± {error:.2g}" if error == error else ""
        verdict = "reliable" if self.reliable else "NOT RELIABLE"
        return (
            f"Posterior of {self.dim} dimensions by {self.family}: {verdict}; k-hat {self.khat:.2f}, "
            f"{shown} nats, effective sample size {self.effective_sample_size:.0f} of "
            f"{len(self._weights)}, {'converged' if self.converged else 'NOT converged'}\n{self.message}"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _flat(values: Tensor) -> Tensor:
    return values.double().cpu().reshape(-1)


def _resample(weighed: Weighed, n: int, generator: torch.Generator) -> Tensor:
    """Systematic resampling: n draws, each as often as its weight says but for less than one."""
    edges = weighed.log_weights.exp().cumsum(0)
    shift = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device).to(edges.device)
    places = (torch.arange(n, dtype=torch.float64, device=edges.device) + shift) / n
    chosen = torch.searchsorted(edges, places * edges[-1]).clamp(max=len(edges) - 1)
    order = torch.randperm(n, generator=generator, device=generator.device).to(edges.device)
    return weighed.draws[chosen][order]


def _quantity(values: Tensor, weights: Tensor) -> Quantity:
    if values.shape[:1] != weights.shape:
        raise ValueError(f"Expected values of shape ({len(weights)}, ...), one a draw, got {tuple(values.shape)}")
    flat, shape = values.double().reshape(len(weights), -1), values.shape[1:]
    mean = weights @ flat
    sd = (weights @ (flat - mean).square()).sqrt()
    ordered, order = flat.sort(0)
    cumulated = weights[order].cumsum(0) - 0.5 * weights[order]
    found = []
    for level in QUANTILES:
        above = (cumulated < level).sum(0).clamp(1, len(weights) - 1)[None]
        low, high = cumulated.gather(0, above - 1), cumulated.gather(0, above)
        share = ((level - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        found.append((ordered.gather(0, above - 1) * (1 - share) + ordered.gather(0, above) * share)[0].reshape(shape))
    return Quantity(mean.reshape(shape), sd.reshape(shape), (found[0], found[1], found[2]))

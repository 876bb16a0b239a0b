"""Families by name, and the way up: richer ones where an approximation is no stand-in for the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch

from .divergences import match_moments
from .draws import standard_draws
from .families import Family, Flow, FullRank, GaussianMixtureFamily, LowRank, MeanField, Student
from .laplace import fit_laplace
from .posterior import Posterior
from .problem import Problem
from .stochastic import fit_family
from .variational import DENSE, RESPONSE, MeanFieldFit, fit_full_rank

__all__ = ["FAMILIES", "MOST_FOR_TAILS", "Candidate", "climb", "fit_named", "heavier_tails", "matched"]

# Names that `fit_posterior` takes; "linear-response" is the mean-field fit with covariances by linear response.
FAMILIES = ("auto", "mean-field", "linear-response", "full-rank", "low-rank", "mixture", "flow", "laplace")

MOST_FOR_TAILS = 50
"""Dimensions; in more, too few draws of heavier tails are where the mass is."""

TAIL_DF = 3.0  # the heaviest tails of finite variance with whole degrees of freedom


class Candidate(NamedTuple):
    """A fitted family, whether it converged, and what there is to say."""

    name: str
    family: Family
    converged: bool
    note: str = ""


def climb(
    problem: Problem,
    fit: MeanFieldFit,
    several: GaussianMixtureFamily | None,
    generator: torch.Generator,
    notes: list[str],
) -> Iterator[Candidate]:
    """Richer and richer families, each fitted when it is asked for.

    Of several optima only a mixture is tried further: other families would settle in one.
    """
    if several is not None:
        yield _stochastic("mixture", several, problem, generator)
        return
    for name in ("full-rank", "flow") if problem.log_density.dim <= DENSE else ("low-rank",):
        try:
            yield fit_named(name, problem, fit, generator)
        except ModuleNotFoundError:
            notes.append("A flow of one dimension takes zuko, which is not installed: pip install isthmus[flows].")
        except ValueError as error:  # a density with borders, at which this family's start has draws beyond
            notes.append(f"{name.capitalize()} was left out: {error}.")


def heavier_tails(fit: MeanFieldFit) -> Candidate | None:
    """The linear-response normal with heavier tails, which cost no fit; None in many dimensions."""
    normal = fit.response if fit.response is not None else _diagonal(fit)
    if normal.dim > MOST_FOR_TAILS:
        return None
    location, factor = normal.location.detach(), normal.factor.detach()
    student = Student(normal.dim, location, factor, df=TAIL_DF, dtype=location.dtype)
    # Whether its location is an optimum does not matter: where weights of such tails are even, they are right.
    name = "Student's t by linear response" if fit.response is not None else "Student's t"
    return Candidate(name, student, converged=True)


def fit_named(
    name: str,
    problem: Problem,
    fit: MeanFieldFit,
    generator: torch.Generator,
    *,
    direction: Literal["reverse", "forward", "alpha"] = "reverse",
    **options: Any,
) -> Candidate:
    """A family by its name, fitted from a mean-field fit.

    Args:
        name: one of `FAMILIES`, but not "auto".
        problem: what is to be fitted.
        fit: its mean-field fit, to start from.
        generator: of random numbers.
        direction: of the divergence, as `fit_family` takes it.
        **options: others that it takes.

    Returns:
        the fit.
    """
    log_density, guess = problem.log_density, fit.response
    if direction == "reverse" and not options:
        if name == "linear-response" and guess is not None:
            return Candidate("mean field with linear response", guess, fit.optimum.converged)
        if name in ("mean-field", "linear-response"):
            note = "" if name == "mean-field" else "Covariances by linear response are not positive definite."
            if name == "linear-response" and log_density.dim > RESPONSE:
                note = (
                    f"Beyond {RESPONSE} dimensions covariances are those of mean field; linear_response() gives others."
                )
            return Candidate("mean-field", fit.family, fit.optimum.converged, note)
        if name == "laplace":
            family, optimum = fit_laplace(log_density, fit.optimum.theta[: log_density.dim])
            return Candidate("laplace", family, optimum.converged)
        if name == "full-rank" and log_density.dim <= DENSE:
            n_draws = max(128, 4 * log_density.dim)
            noise = standard_draws(n_draws, log_density.dim, generator, dtype=log_density.dtype)
            start = guess if guess is not None else _diagonal(fit)
            family, optimum = fit_full_rank(log_density, start, noise.to(log_density.device), problem.free_names)
            return Candidate("full-rank", family, optimum.converged)
    start = _start(name, fit, log_density.dtype, direction)
    return _stochastic(name, start, problem, generator, direction=direction, **options)


def matched(name: str, posterior: Posterior) -> Candidate | None:
    """The normal distribution of least KL(p||q), that of a reliable posterior's moments; None of another one."""
    if not posterior.reliable:
        return None
    like = posterior.draws
    family = (MeanField if name == "mean-field" else FullRank)(posterior.dim, dtype=like.dtype).to(like.device)
    note = f"Its moments are those of the posterior by {posterior.family}, k-hat {posterior.khat:.2f}."
    return Candidate(name, match_moments(family, posterior.mean, posterior.covariance), converged=True, note=note)


def _stochastic(name: str, start: Family, problem: Problem, generator: torch.Generator, **options: Any) -> Candidate:
    found = fit_family(problem.log_density, start, generator=generator, **options)
    return Candidate(name, found.family, found.converged, f"{name.capitalize()}: {found.message}.")


def _start(name: str, fit: MeanFieldFit, dtype: torch.dtype, direction: str) -> Family:
    """A family at what is known already, wide where the divergence covers."""
    dim, location, scale = fit.family.dim, fit.family.location.detach(), fit.family.scale.detach()
    wide = fit.response if fit.response is not None else _diagonal(fit)
    factor = wide.factor.detach()
    if direction != "reverse":
        scale = factor.norm(dim=1)
    if name in ("mean-field", "linear-response"):
        return MeanField(dim, location, scale, dtype=dtype)
    if name == "low-rank":
        return LowRank(dim, min(10, dim), location, scale, dtype=dtype)
    if name == "mixture":
        return GaussianMixtureFamily(dim, location=location, scale=factor.norm(dim=1), dtype=dtype)
    if name == "flow":
        return Flow(dim, location=location, scale=factor, dtype=dtype)
    return FullRank(dim, location, factor, dtype=dtype)


def _diagonal(fit: MeanFieldFit) -> FullRank:
    return FullRank(fit.family.dim, fit.family.location.detach(), fit.family.scale.detach().diag(),
                    dtype=fit.family.location.dtype)  # fmt: skip

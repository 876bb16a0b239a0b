"""From a log-density to a posterior: no learning rate, no number of steps, and a word on how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from inspect import signature
from numbers import Integral
from typing import Any, get_args

import torch
from torch import Tensor

from .climb import FAMILIES, MOST_FOR_TAILS, Candidate, climb, fit_named, heavier_tails, matched
from .density import LogDensity
from .divergences import Direction
from .linear_response import linear_response_of
from .parameters import Parameters
from .posterior import Posterior, Step
from .problem import Problem, finite_start
from .starts import mixture_of, other_optima
from .stochastic import fit_family
from .variational import FEW, MeanFieldFit, fit_mean_field, mean_field_noise
from .weigh import TRUSTED_KHAT, Weighed, missed_share, weigh, weigh_surely

__all__ = ["fit_posterior"]

CHECKED_KHAT = 0.3  # from which on heavier tails are tried
LOST = 5.0  # nats by which a weight may exceed the mean one where an approximation reaches
MISSED = 0.05  # nats of evidence that a family may miss: a twentieth of the posterior
ENOUGH = 0.25  # of the draws, as effective sample size; with fewer, a better family is looked for


def fit_posterior(
    log_density: Callable[..., Tensor],
    dim: int | Parameters,
    *,
    family: str = "auto",
    direction: Direction = "reverse",
    start: Tensor | Mapping[str, Any] | None = None,
    n_draws: int | None = None,
    n_weighed: int = 2000,
    n_starts: int = 3,
    batched: bool | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    random_state: int = 0,
    **options: Any,
) -> Posterior:
    r"""A posterior from its unnormalised log-density, with a verdict on how far to trust it.

    .. math:: \max_q E_q[\log p(x) - \log q(x)] \le \log \int p(x) dx

    Use it for any differentiable log-density of some hundred real numbers or fewer: it needs no learning rate and no
    number of steps. By default independent normals are fitted to fixed, whitened draws by a real optimiser, linear
    response gives the covariance, and fresh draws with importance weights say by k-hat whether this stands for the
    posterior. Where it does not, or may not, heavier tails, a full-rank normal and then a flow are tried. Scattered
    points that climb the density look for other optima; several become a mixture.

    Args:
        log_density: in nats, up to a constant. Of an unconstrained vector (dim,), or batched (S, dim) to (S,); with
            `Parameters`, of these by name, `f(mu, tau)`.
        dim: dimension of the vector, or the `Parameters`.
        family: "auto" as said above, or only this one: "mean-field", "linear-response", "full-rank", "low-rank",
            "mixture", "flow", "laplace".
        direction: "reverse" for KL(q||p); "forward" for KL(p||q), which the posterior's own moments minimise over
            normal distributions; "alpha" for Renyi's divergence. These by stochastic gradients for other families.
        start: where to begin: a vector, or values of the parameters by name; the origin unless said.
        n_draws: fixed draws, even; max(32, 2 dim) unless said.
        n_weighed: fresh draws that are weighed; of Student's t twice as many, and at least 20,000 of a last family
            whose k-hat is between 0.4 and 0.7.
        n_starts: how many of the places where scattered points end may lead to no other optimum before it is believed
            that there is none; 0 to look for none.
        batched: whether the function takes (S, dim); found out unless said.
        dtype: torch.float64, and float32 only where the function can't do with it, unless said.
        device: where the function is evaluated.
        random_state: seed of everything.
        **options: passed on to `fit_family`, such as alpha.

    Returns:
        the posterior; `print(posterior.summary())`.

    Raises:
        TypeError, ValueError: the function returns no log-density, or is finite nowhere; an argument makes no sense.
        ImproperDensityError: the density has no finite integral.

    References:
        Giordano, Ingram, Broderick (2024). Black box variational inference with a deterministic objective: faster,
            more accurate, and even more black box. JMLR 25(18).
        Yao, Vehtari, Simpson, Gelman (2018). Yes, but did it work?: Evaluating variational inference. ICML.

    Example:
        >>> from torch.distributions import Normal, constraints
        >>> data = torch.tensor([4.1, 5.2, 3.8, 4.9, 4.4, 4.7, 4.2, 4.8, 4.6, 4.3], dtype=torch.float64)
        >>> def log_density(mu, sigma):
        ...     prior = Normal(0.0, 10.0).log_prob(mu) + Normal(0.0, 5.0).log_prob(sigma)
        ...     return prior + Normal(mu, sigma).log_prob(data).sum()
        >>> parameters = Parameters(mu=constraints.real, sigma=constraints.positive)
        >>> posterior = fit_posterior(log_density, parameters)
        >>> posterior.reliable, round(float(posterior["mu"].mean), 1)
        (True, 4.5)
    """
    if family not in FAMILIES:
        raise ValueError(f"Expected family to be one of {', '.join(FAMILIES)}, got {family!r}")
    if direction not in get_args(Direction):
        raise ValueError(f"Expected direction to be one of {', '.join(get_args(Direction))}, got {direction!r}")
    _check_options(family, direction, options)
    if n_weighed < 100:
        raise ValueError(f"Expected n_weighed >= 100, as fewer draws have no tail to judge by, got {n_weighed}")
    if isinstance(n_starts, bool) or not isinstance(n_starts, Integral) or n_starts < 0:
        raise ValueError(f"Expected n_starts to be a whole number, got {n_starts!r}; use 0 to look for no other optima")
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise ValueError(f"Expected random_state to be a whole number, got {random_state!r}")
    problem = Problem.of(log_density, dim, batched, dtype, device)
    generator = torch.Generator().manual_seed(int(random_state))
    fit, few = _mean_field(problem, start, n_draws, generator)
    if family == "auto" and direction == "reverse":
        return _climbing(problem, fit, few, n_weighed, n_starts, generator)
    name = "full-rank" if family == "auto" else family
    candidate = None
    if direction == "forward" and name in ("mean-field", "full-rank") and not options:
        candidate = matched(name, _climbing(problem, fit, few, n_weighed, n_starts, generator))
    if candidate is None:
        candidate = fit_named(name, problem, fit, generator, direction=direction, **options)
    tried = [(candidate, weigh_surely(problem.log_density, candidate.family, n_weighed, generator))]
    return _posterior(problem, fit, tried, [], generator)


def _check_options(family: str, direction: str, options: Mapping[str, Any]) -> None:
    """Names that nothing takes are refused: those of `fit_family` are taken where it is what fits."""
    own = list(signature(fit_posterior).parameters)[:-1]
    passed = [] if (family, direction) == ("auto", "reverse") else list(signature(fit_family).parameters)[2:]
    unknown = [name for name in options if name not in passed or name == "generator"]
    if unknown:
        close = get_close_matches(unknown[0], own + passed, 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(own[2:])}"
        raise TypeError(f"Expected no argument {unknown[0]} with family={family!r} and direction={direction!r}; {hint}")


def _mean_field(
    problem: Problem, start: Any, n_draws: int | None, generator: torch.Generator
) -> tuple[MeanFieldFit, Tensor]:
    """The mean-field fit, and the few draws that it began with."""
    target = problem.log_density
    noise, few = mean_field_noise(n_draws, target, generator), mean_field_noise(FEW, target, generator)
    everything = torch.cat([noise, few])
    theta = finite_start(target, everything, None if start is None else problem.vector(start), generator)
    return fit_mean_field(target, theta, noise, few, problem.free_names), few


def _climbing(
    problem: Problem, fit: MeanFieldFit, few: Tensor, n_weighed: int, n_starts: int, generator: torch.Generator
) -> Posterior:
    """Linear response first; richer families while k-hat says that it is no stand-in."""
    target, notes = problem.log_density, []
    others: list[MeanFieldFit] = []
    try:
        others = other_optima(fit, few, n_starts, generator, problem.free_names)
    except Exception as error:  # whatever a user's function may raise far out; the fit itself does not go there
        notes.append(f"Other optima were not looked for, as the log-density fails far from this one: {error}.")
    several = None
    if others:
        notes.append(_about_others(fit, others))
        fits = sorted([fit, *others], key=lambda one: one.optimum.value)
        fit, several = fits[0], mixture_of(fits)
        first = Candidate(f"mixture of {len(fits)} optima", several, fit.optimum.converged)
    else:
        first = fit_named("linear-response", problem, fit, generator)
    tried = _with_tails(target, first, None if others else heavier_tails(fit), n_weighed, generator)
    if not any(_is_good(*pair) for pair in tried):
        known = torch.stack([one.family.location.detach() for one in [fit, *others]])
        for candidate in climb(problem, fit, several, generator, notes):
            weighed = weigh_surely(target, candidate.family, n_weighed, generator)
            weighed = weighed._replace(whole=_covers(target, weighed, known))
            good = _is_good(candidate, weighed)
            if good and target.dim <= MOST_FOR_TAILS:
                good = missed_share(target, weighed, 2 * n_weighed, generator) <= MISSED
                weighed = weighed._replace(whole=good)
            tried.append((candidate, weighed))
            if good:
                break
    return _posterior(problem, fit, tried, notes, generator)


def _with_tails(
    target: LogDensity, first: Candidate, tails: Candidate | None, n_weighed: int, generator: torch.Generator
) -> list[tuple[Candidate, Weighed]]:
    """A candidate weighed; where that leaves doubt, one with heavier tails, too, which reach what its draws don't."""
    if tails is None:
        return [(first, weigh_surely(target, first.family, n_weighed, generator))]
    weighed = weigh(target, first.family, n_weighed, generator)
    if first.converged and weighed.khat <= CHECKED_KHAT:
        return [(first, weighed)]
    # Twice as many draws, as a part of them is lost where the normal would have done.
    further = weigh_surely(target, tails.family, 2 * n_weighed, generator)
    if not further.trusted or weighed.log_evidence < further.least_evidence - MISSED:
        weighed = weighed._replace(whole=False)
    elif not _is_good(tails, further):
        weighed = weigh_surely(target, first.family, n_weighed, generator)
    return [(first, weighed), (tails, further)]


def _covers(target: LogDensity, weighed: Weighed, optima: Tensor) -> bool:
    """Whether a draw at each optimum that is known would have no weight out of all proportion: a fit may lose some."""
    with torch.no_grad():
        log_weights = target.values(optima).double() - weighed.family().log_prob(optima).double()
    return bool(log_weights.max() <= weighed.log_evidence + LOST)


def _is_good(candidate: Candidate, weighed: Weighed) -> bool:
    return candidate.converged and weighed.trusted and weighed.effective_sample_size >= ENOUGH * len(weighed.draws)


def _posterior(
    problem: Problem,
    fit: MeanFieldFit,
    tried: list[tuple[Candidate, Weighed]],
    notes: list[str],
    generator: torch.Generator,
) -> Posterior:
    """The best of what was tried, in words, too."""
    # Evidence above another's says that the other one misses a part of the posterior.
    least = max(weighed.least_evidence for _, weighed in tried) - MISSED
    tried = [(one, weighed._replace(whole=weighed.whole and weighed.log_evidence >= least)) for one, weighed in tried]

    def worth(pair: tuple[Candidate, Weighed]) -> tuple[bool, bool, float]:
        good, weighed = _is_good(*pair), pair[1]
        return good, weighed.trusted, 0.0 if good else weighed.bound

    candidate, weighed = max(reversed(tried), key=worth)  # of good ones the last: it was looked for to be surer
    steps = [
        Step(one.name, judged.khat, judged.bound, judged.bound_error, judged.effective_sample_size)
        for one, judged in tried
    ]
    message = [*_story(tried, candidate, weighed, problem.log_density), *notes, *problem.notes]
    return Posterior(
        weighed, problem.log_density, problem.parameters, problem.names, steps, generator,
        converged=candidate.converged, family=candidate.name, message=" ".join(message),
        respond=partial(_respond, fit),
    )  # fmt: skip


def _respond(fit: MeanFieldFit, directions: Tensor) -> Tensor:
    theta, scale = fit.optimum.theta, fit.family.scale.detach().double().cpu().numpy()
    return linear_response_of(fit.objective.product(theta), directions.double().cpu().numpy(), scale)


def _story(
    tried: list[tuple[Candidate, Weighed]], chosen: Candidate, weighed: Weighed, log_density: LogDensity
) -> list[str]:
    said = [f"Tried: {one.name}, k-hat {w.khat:.2f}." for one, w in tried if one is not chosen]
    if weighed.trusted:
        said.append("Moments and draws are importance-corrected.")
    elif not weighed.whole:
        said.append(
            "Draws of another family that was tried find mass that these may miss: the mean may be useful, the rest is "
            "not to be trusted; reparameterise the model, or try family='flow' or 'mixture'."
        )
    else:
        said.append(
            f"k-hat is above {TRUSTED_KHAT}: no family that was tried stands for the posterior. Means may be useful, "
            "tails and draws are not to be trusted; reparameterise the model, or try family='flow' or 'mixture'."
        )
    if not chosen.converged:
        said.append("The optimiser did not converge: the answer is where it stopped.")
    said += [candidate.note for candidate, _ in tried if candidate.note]
    if weighed.n_outside:
        said.append(f"{weighed.n_outside} of {len(weighed.draws)} draws have a density of zero, or none.")
    elif log_density.n_not_finite:
        said.append(f"At {log_density.n_not_finite} points the log-density was not finite; they were avoided.")
    return said


def _about_others(fit: MeanFieldFit, others: list[MeanFieldFit]) -> str:
    gap = fit.optimum.value - others[0].optimum.value
    which = f"{abs(gap):.1f} nats {'better' if gap > 0 else 'worse'} than"
    return (
        f"WARNING: different starts end in different optima ({len(others)} more, the best of them {which} the first). "
        "The posterior has several modes, and there may be more than were found."
    )

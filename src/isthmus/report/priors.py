"""Distributions of codes to draw from, and in numbers what each buys."""

from __future__ import annotations

from .view import ModelView

__all__ = ["bought", "can_fit", "own_prior", "prior_names"]

N_SAMPLES = 200
"""Samples whose distance to the training examples is measured."""


def own_prior(view: ModelView) -> str | None:
    """Where samples come from if nothing is said: None is the model's own prior, or the one that it keeps."""
    if view.kind != "deterministic" or view.has_chains or hasattr(view.estimator, "prior_"):
        return None
    return "mixture" if can_fit(view, "mixture") else "gaussian"


def can_fit(view: ModelView, prior: str) -> bool:
    """Whether there are codes enough: a mixture of components that each have seen eight codes a dimension."""
    return prior != "mixture" or view.n_mixture > 1


def prior_names(view: ModelView, prior: str | None) -> str:
    """A distribution of codes in words."""
    return {
        None: "its own Gibbs chains" if view.has_chains else "its prior",
        "normal": "N(0, I), as for a VAE",
        "gaussian": "a Gaussian fitted to its codes",
        "mixture": f"a mixture of {view.n_mixture} Gaussians fitted to its codes",
    }[prior]


def bought(view: ModelView, prior: str | None) -> str:
    """The numbers of a distribution of codes as a sentence: density of codes not fitted to, nearness of samples."""
    if view.kind == "linear":
        return ""
    drawn = view.samples(N_SAMPLES, prior)
    distance = view.data.nearest_distance(drawn)
    if prior is None and view.has_chains:
        return f" Samples {distance:.3g} from the nearest training example."
    density = view.prior(prior or "normal").log_density(view.codes).mean()
    known = f"Log-density of codes {f'{density:,.1f}'.replace('-', '−')} nats"
    if density < -1e5:  # such as of units that no training example turned on, and these do
        known = "It takes some codes for impossible"
    return f" {known}; samples {distance:.3g} from the nearest training example."

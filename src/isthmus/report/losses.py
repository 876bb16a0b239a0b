"""Objectives as mathematical text: what a model minimises, to be written below its picture."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["loss_text", "words_of"]

_PENALTIES = {
    "KLSparsity": r"$\beta \Sigma_j\, \mathrm{KL}(\rho \,\Vert\, \hat{\rho}_j)$",
    "L1Sparsity": r"$\beta \Sigma_j\, |h_j|$",
    "Contractive": r"$\lambda\, \Vert \partial z / \partial x \Vert_F^2$",
}


def loss_text(objective: Any, given: str = "z") -> str:
    """An objective as text in which dollars mark mathematics; one that is not known by its name."""
    name = type(objective).__name__
    if name == "Denoising":
        corruption = objective.corruption
        corruption = words_of(type(getattr(corruption, "corruption", corruption)).__name__)  # on whatever scale it is
        return f"{loss_text(objective.objective, given)},  encoder sees $\\tilde{{x}}$: {corruption}"
    if name == "DynamicBinarisation":
        return f"{loss_text(objective.objective, given)},  pixels drawn anew at every step"
    if name == "Penalised":
        named = [type(p).__name__ for p in objective.penalties if not callable(getattr(p, "__get__", None))]
        parts = [_PENALTIES.get(name, words_of(name)) for name in named]  # a function only has something recorded
        return " + ".join([loss_text(objective.objective, given), *parts])
    if name == "Reconstruction":
        return rf"$-\log p(x \mid {given})$"
    if name == "ELBO":
        weight = "" if objective.beta == 1 else f"{objective.beta:g}\\,"
        posterior = given.replace("z", "x", 1)  # q is told what p is
        kl = rf"\mathrm{{KL}}(q(z \mid {posterior}) \,\Vert\, p(z))"
        return rf"$-\mathrm{{E}}_q[\log p(x \mid {given})] + {weight}{kl}$"
    if name == "ContrastiveDivergence":
        count = f"{objective.n_steps} Gibbs step" + ("s" if objective.n_steps != 1 else "")
        start = "in persistent chains" if objective.persistent else "from $x$"
        return rf"$F(x) - F(x_k)$,  $x_k$: after {count} {start}"
    if name == "Classification":
        return r"$-\log p(y \mid x)$"
    inner = getattr(objective, "objective", None)
    return words_of(name) + (f" of {loss_text(inner, given)}" if inner is not None else "")


def words_of(name: str) -> str:
    """`ContrastiveDivergence` -> `contrastive divergence`; capitals that stand together stay, and a name."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", name)
    kept = [part if part == "Gaussian" or (part.isupper() and len(part) > 1) else part.lower() for part in parts]
    return " ".join(kept)

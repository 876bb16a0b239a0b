"""What a likelihood is a likelihood of, as that decides what it may be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ..data.dataset import binarisation_text

__all__ = ["Scored", "what_is_scored"]


class Scored(NamedTuple):
    """In a few words, for tables and files, and in a sentence."""

    name: str
    description: str


def what_is_scored(
    likelihood: str, x: Tensor | None, binarisation: Mapping[str, Any] | None = None, conditional: bool = False
) -> Scored:
    """What is scored when a model of some likelihood scores some rows.

    Args:
        likelihood: its name, such as "bernoulli"; any other than those known here is a density.
        x: the rows in the model's units, (n, F); only looked at for Bernoulli.
        binarisation: how they were binarised, {"kind": "static" or "dynamic", "seed": ...}, or None.
        conditional: whether the model is told y of each row, so that what is scored is p(x|y).

    Returns:
        Its name and description.

    Example:
        >>> what_is_scored("bernoulli", Tensor([[0.0, 1.0]]), {"kind": "static", "seed": 3}).name
        'static binarisation (seed 3)'
        >>> what_is_scored("bernoulli", Tensor([[0.5, 1.0]])).name
        'grey pixels as probabilities'
    """
    if conditional:
        return _with("given y", what_is_scored(likelihood, x, binarisation))
    how = "" if binarisation is None else binarisation_text(binarisation)
    if likelihood == "bernoulli" and x is not None:
        if bool(((x != 0) & (x != 1)).any()):
            text = "grey pixels as probabilities"
            return Scored(text, f"{text}: a cross-entropy, not a normalised likelihood of grey pixels")
        pixels = f"black and white pixels, {how}" if how else "binary data"
        return Scored(how or "binary data", f"log-probability of {pixels}")
    if likelihood == "discretised_logistic":
        return _with(how, Scored("8-bit values", "log-probability of 8-bit values"))
    return _with(how, Scored("continuous density", "log-density in units of the features, which may be positive"))


def _with(how: str, scored: Scored) -> Scored:
    return Scored(*(f"{text}, {how}" for text in scored)) if how else scored

"""What an estimator is told that is trained as a layer of others."""

from __future__ import annotations

from typing import NamedTuple

from ..nets import Activation
from ..training import Scaling

__all__ = ["Layer", "MaybeLayer"]


class Layer(NamedTuple):
    """A place in a stack; see `pretraining`.

    Attributes:
        title: for progress.
        scaling: of its rows, in place of one chosen from them.
        activation: of its rows, where they are codes whose range the reconstruction shall keep to; None for none.
    """

    title: str
    scaling: Scaling
    activation: Activation | None = None


class MaybeLayer:
    """An estimator that may be trained as a layer of others."""

    _layer: Layer | None = None

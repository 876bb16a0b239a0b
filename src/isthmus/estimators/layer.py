"""What an estimator is told that is trained as a layer of others."""

from __future__ import annotations

from typing import NamedTuple

from ..nets import Activation
from ..training import Scaling
from ..training.rows import mix

__all__ = ["Layer", "MaybeLayer", "layer_seed"]


class Layer(NamedTuple):
    """A place in a stack; see `pretraining`.

    Attributes:
        title: for progress.
        seed: of its training, in place of one from `random_state`.
        scaling: of its rows, in place of one chosen from them.
        activation: of its rows, where they are codes whose range the reconstruction shall keep to; None for none.
    """

    title: str
    seed: int
    scaling: Scaling
    activation: Activation | None = None


def layer_seed(seed: int, number: int) -> int:
    """Seed of a layer, numbered from 0, from that of the whole.

    The first one has the same: a run that was stopped in a layer has no other record of its seed.
    """
    return mix(seed, number + 1) % 2**31 if number else seed


class MaybeLayer:
    """An estimator that may be trained as a layer of others."""

    _layer: Layer | None = None

"""Draws from a predicted distribution as a function of a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from .common import random_generator, seeded_noise
from .parameters import fits

__all__ = ["drawn"]


def drawn(p: Distribution, n_samples: Any, random_state: int | np.random.RandomState | None) -> Tensor:
    """(n_samples, *batch_shape, *event_shape); torch's own generator is afterwards as it was.

    Raises:
        ValueError: n_samples below 1.
    """
    if not fits(n_samples, int) or n_samples < 1:
        raise ValueError(f"Expected n_samples >= 1, got {n_samples!r}.")
    with seeded_noise(random_generator(random_state), torch.device("cpu")):
        return p.sample(torch.Size((int(n_samples),)))

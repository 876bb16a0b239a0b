"""Dropout as a posterior: networks from which units are missing, when training and when predicting."""

from __future__ import annotations

import torch
from torch import Tensor

from .network import Perturb

__all__ = ["dropped"]


def dropped(rate: Tensor, generator: torch.Generator | None = None, shared: bool = False) -> Perturb:
    """Leave out inputs of each layer at random, and let the others grow by 1 / (1 - rate).

    Args:
        rate: share that is left out, (M,), of each network its own.
        generator: of what is left out; None is torch's own, on the device of the rate.
        shared: leave out the same units for all rows: each network is then one draw of the posterior, and what it says
            of a row does not depend on the others.

    Returns:
        What `Network` takes as `perturb`.

    References:
        Gal, Ghahramani (2016). Dropout as a Bayesian approximation. ICML.
    """
    keep = (1 - rate).view(-1, 1, 1)

    def perturb(layer: int, x: Tensor) -> Tensor:
        n_rows, width = x.shape[-2:]
        shape = (len(rate), 1 if shared else n_rows, width)
        device = x.device if generator is None else generator.device
        noise = torch.rand(shape, generator=generator, device=device).to(x.device)
        return x * ((noise < keep) / keep).to(x.dtype)

    return perturb

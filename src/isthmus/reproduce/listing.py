"""The network of a lecture's listing: one layer each way, a sigmoid at the end, squared error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation.chunks import device_of, evaluating, map_rows
from ..heads import FixedGaussianHead, PointHead
from ..heads.top_k import top_k_mask
from ..model import Conditional, LatentVariableModel
from ..nets import MLP
from ..objectives import Objective
from ..training import Settings, fit
from .table import Job

__all__ = ["KeepLargest", "Listing"]


class KeepLargest(nn.Module):
    """All but the k largest are set to zero, with nothing that revives units: unlike `isthmus.heads.TopKHead`."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, h: Tensor) -> Tensor:
        """Activations or zeros."""
        return h * top_k_mask(h, self.k)


class Listing:
    """A listing's network, trained by the settings n_components, max_epochs, batch_size and learning_rate of a job.

    Args:
        job: settings, seed, and the folder for checkpoints.
        x: rows (n, F) in [0, 1].
        activation: of the code.
        objective: that the sum of squares, halved, is the `Reconstruction` of.
    """

    def __init__(self, job: Job, x: np.ndarray, activation: nn.Module, objective: Objective) -> None:
        n_features, n_units = x.shape[1], job.settings["n_components"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed)
            self.encoder = Conditional(MLP(n_features), PointHead(n_features, n_units, activation=activation))
            self.decoder = Conditional(MLP(n_units), FixedGaussianHead(n_units, n_features, project=_sigmoid_layer))
        self.model = LatentVariableModel(self.encoder, self.decoder, None)
        chosen: dict[str, Any] = {name: job.settings[name] for name in ("max_epochs", "batch_size", "learning_rate")}
        settings = Settings(seed=job.seed, **chosen)
        place = job.place("model")
        fit(self.model, objective, x, settings, folder=place, resume=True, progress=job.verbose)

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Codes of rows."""
        return self._mapped(lambda rows: self.encoder(rows).mean, x)

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Rows, encoded and decoded."""
        return self._mapped(lambda rows: self.decoder(self.encoder(rows).mean).mean, x)

    def _mapped(self, function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
        with evaluating(self.model):
            return map_rows(function, torch.from_numpy(x), device=device_of(self.model))[0].numpy()


def _sigmoid_layer(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, n_outputs), nn.Sigmoid())

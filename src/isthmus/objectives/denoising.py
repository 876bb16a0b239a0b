"""Denoising: the encoder sees corrupted rows, the loss the clean ones."""

from __future__ import annotations

from dataclasses import dataclass

from ..corruption import Corruption
from ..model import Batch
from .base import Wrapped

__all__ = ["Denoising"]


@dataclass(frozen=True)
class Denoising(Wrapped):
    r"""Another objective on corrupted inputs, :math:`\mathrm{loss}(x, \tilde x)` with :math:`\tilde x \sim c(x)`.

    Scores of a trained model (`isthmus.evaluation`) know nothing of it: they are of clean rows.

    Args:
        objective: what is minimised, on the clean target.
        corruption: of the inputs, such as `isthmus.corruption.Masking`.

    References:
        Vincent et al. (2008). Extracting and composing robust features with denoising autoencoders. ICML, eq. 5.

    Example:
        >>> import torch
        >>> from isthmus.corruption import Masking
        >>> from isthmus.objectives import Reconstruction
        >>> x = torch.ones(2, 4)
        >>> batch = Denoising(Reconstruction(), Masking(0.5)).prepare(Batch(x, x))
        >>> bool((batch.x <= batch.target).all()), bool((batch.target == x).all())
        (True, True)
    """

    corruption: Corruption

    def prepare(self, batch: Batch) -> Batch:
        """Corrupt what the encoder sees, after what the inner objective prepares."""
        batch = self.objective.prepare(batch)
        return batch._replace(x=self.corruption(batch.x))

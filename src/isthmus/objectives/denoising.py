"""Denoising: the encoder sees corrupted rows, the loss the clean ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..corruption import Corruption
from ..model import Batch
from .base import Wrapped

__all__ = ["Denoising"]


@dataclass(frozen=True)
class Denoising(Wrapped):
    r"""Another objective on corrupted inputs, :math:`\mathrm{loss}(x, \tilde x)` with :math:`\tilde x \sim c(x)`.

    With an emphasis, the log-likelihood of the clean target is weighted by feature, and no log-likelihood any more:

    .. math:: \alpha \sum_{j \in J} \log p(x_j | z) + \beta \sum_{j \notin J} \log p(x_j | z)

    where J are the features drawn for corruption. With alpha above beta, the model is to fill in what was lost, more
    than to repeat what it sees. Scores of a trained model (`isthmus.evaluation`) know nothing of either: they are of
    clean rows, and of plain log-likelihoods.

    Args:
        objective: what is minimised, on the clean target.
        corruption: of the inputs, such as `isthmus.corruption.Masking`; or a function of rows (B, F).
        emphasis: alpha and beta, the weights of corrupted and of clean features; (1, 1) changes nothing.

    Raises:
        ValueError: weights out of range, or weights with a corruption that leaves no feature clean.
        TypeError: weights with a function, which does not say what it corrupts; when called with weights, a likelihood
            whose features are not independent.

    References:
        Vincent et al. (2008). Extracting and composing robust features with denoising autoencoders. ICML, eq. 5.
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11, sec. 3.4 (emphasis).

    Example:
        >>> from isthmus.corruption import Masking
        >>> from isthmus.objectives import Reconstruction
        >>> x = torch.ones(2, 4)
        >>> batch = Denoising(Reconstruction(), Masking(0.5)).prepare(Batch(x, x))
        >>> bool((batch.x <= batch.target).all()), bool((batch.target == x).all())
        (True, True)
    """

    corruption: Corruption | Callable[[Tensor], Tensor]
    emphasis: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        weights = tuple(self.emphasis)
        if len(weights) != 2 or not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise ValueError(f"Expected two finite weights >= 0 in emphasis, and one above 0, got {self.emphasis!r}.")
        if weights == (1, 1):
            return
        if not isinstance(self.corruption, Corruption):
            raise TypeError(
                f"Expected a corruption that says where it corrupts for emphasis {self.emphasis!r}, got a "
                f"{type(self.corruption).__name__}; use one of isthmus.corruption, or a class of that kind."
            )
        if self.corruption.everywhere:
            raise ValueError(
                f"Expected a corruption of some of the features for emphasis {self.emphasis!r}, got "
                f"{type(self.corruption).__name__}, which leaves none clean; use masking, salt and pepper or blocks."
            )

    def prepare(self, batch: Batch) -> Batch:
        """Corrupt what the encoder sees, after what the inner objective prepares."""
        batch = self.objective.prepare(batch)
        if not isinstance(self.corruption, Corruption) or tuple(self.emphasis) == (1, 1):
            return batch._replace(x=self.corruption(batch.x))
        x, where = self.corruption.draw(batch.x)
        alpha, beta = self.emphasis
        weight = torch.where(where, alpha, torch.full_like(x, beta))
        if batch.feature_weight is not None:
            weight = weight * batch.feature_weight
        return batch._replace(x=x, feature_weight=weight)

"""The k-sparse autoencoder: of each example only the k largest activations are kept."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..heads import TopKHead
from ..model import Trace
from ..objectives import Loss, Objective, Reconstruction
from .autoencoder import Autoencoder
from .blocks import in_blocks

__all__ = ["KSparseAutoencoder"]


@dataclass(eq=False, repr=False)
class KSparseAutoencoder(Autoencoder):
    r"""Autoencoder that keeps the k largest activations of each row.

    The code is :math:`z = h \odot [h \in \mathrm{top}_k(h)]`. Minimises :math:`-\log p(x \mid z)`, in nats summed over
    features. Use it for sparse features whose sparsity is chosen and not the outcome of a weight; a small k gives parts
    that are almost whole examples, a large one strokes. While training, k falls from all units to its value, and units
    that no example keeps are revived (see `isthmus.heads.TopKHead`).

    Args:
        n_components: units of the code.
        k: units that are kept, at most n_components.
        alpha: in evaluation (codes, reconstructions, scores) alpha k units are kept; the paper's classifiers read codes
            with alpha about 3, reconstructions are best with 1.
        annealing: share of the training in which k falls linearly from n_components to its value.
        code_activation: before the choice.
        hidden, likelihood, tied, max_epochs, batch_size, learning_rate, ...: see `Autoencoder`, `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch, in nats; dead_units is the number of units that hardly any example kept of late,
            in the mean over the epoch's steps.
        dead_units_: the numbers of those that were dead in the end.

    References:
        Makhzani, Frey (2014). k-Sparse autoencoders. ICLR.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = KSparseAutoencoder(n_components=32, k=5, hidden=(), max_epochs=1, random_state=0).fit(X)
        >>> sorted(set((model.transform(X) != 0).sum(axis=1).tolist()))
        [5]
    """

    n_components: int = 144
    _: KW_ONLY
    k: int = 25
    alpha: float = 1.0
    annealing: float = 0.5
    hidden: tuple[int, ...] | None = ()

    def _code_head(self, n_features: int, n_components: int) -> nn.Module:
        return TopKHead(
            n_features,
            n_components,
            self.k,
            k_test=min(n_components, round(self.alpha * self.k)),
            annealing_steps=round(self.annealing * getattr(self, "n_steps_", 0)),
            activation=self._activation_of_code(),
        )

    def _objective(self) -> Objective:
        return Reconstruction() + _count_dead

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 1 <= self.k <= self.n_components:
            raise ValueError(f"Expected 1 <= k <= n_components={self.n_components}, got {self.k}.")
        if not self.alpha >= 1:
            raise ValueError(f"Expected alpha >= 1, got {self.alpha}.")
        if not 0 <= self.annealing <= 1:
            raise ValueError(f"Expected annealing, a share of the training, in [0, 1], got {self.annealing}.")

    @property
    def dead_units_(self) -> np.ndarray:
        """Units that hardly any training example kept in the last steps, as numbers."""
        check_is_fitted(self)
        return np.flatnonzero(self._head.dead.cpu().numpy())

    @property
    def _head(self) -> Any:
        return self.model_.encoder.head  # type: ignore[union-attr]

    def unit_use(self, X: Any) -> np.ndarray:
        """Share of rows in which each unit is kept: 0 for those that these rows never use.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Shares, (n_components,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        used = in_blocks(X, self._rows, lambda rows: self._codes(rows) != 0)
        return used.mean(axis=0)

    def _facts(self) -> dict[str, str]:
        active = self._head.k_test
        return super()._facts() | {"active units a row": str(active), "dead units": str(len(self.dead_units_))}


def _count_dead(trace: Trace, model: Any) -> Loss:
    """No penalty: it only has the number of dead units recorded."""
    dead: Tensor = model.encoder.head.dead.sum().to(trace.batch.x.dtype)
    return Loss(trace.batch.x.new_zeros(len(trace.batch.x)), terms={"dead_units": dead})

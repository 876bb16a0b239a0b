"""The contractive autoencoder: a code that moves only where reconstruction needs it to."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..evaluation import jacobian_norm
from ..objectives import Contractive, Objective, Reconstruction
from .autoencoder import Autoencoder
from .blocks import in_blocks

__all__ = ["ContractiveAutoencoder"]


@dataclass(eq=False, repr=False)
class ContractiveAutoencoder(Autoencoder):
    r"""Autoencoder whose code resists small changes of the input.

    Minimises :math:`-\log p(x \mid f(x)) + \lambda \|\partial f(x) / \partial x\|_F^2`, in nats summed over features.
    Use it for features that do not change with what the data don't vary in: the code moves along the directions in
    which the data lie, and hardly across them. One layer and tied weights, as in the paper: ``hidden=()`` (the default)
    and ``tied=True``. One layer's penalty is exact and nearly free, that of deeper encoders estimated without bias.

    Args:
        n_components: units of the code.
        contraction: lambda, in nats for a Jacobian of squared norm 1, in the model's units (pixels in [0, 1]).
        n_directions: of the estimator for deep encoders: its variance falls with them and its cost rises; with
            n_components of them it is exact.
        code_activation: "sigmoid" bounds the code, so that a small Jacobian is no matter of its scale alone.
        tied: the decoder's weights are the encoder's, transposed, so that a small Jacobian is not bought by a large
            decoder.
        hidden, activation, likelihood, max_epochs, batch_size, learning_rate, ...: see `Autoencoder` and
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch, in nats; "contraction" is the squared norm without its weight.

    References:
        Rifai, Vincent, Muller, Glorot, Bengio (2011). Contractive auto-encoders: explicit invariance during feature
            extraction. ICML, eq. 6 and 9.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = ContractiveAutoencoder(n_components=50, contraction=0.1, max_epochs=1, random_state=0).fit(X)
        >>> model.transform(X).shape, model.jacobian_norm(X).shape
        ((1797, 50), (1797,))
    """

    n_components: int = 144
    _: KW_ONLY
    contraction: float = 1.0
    n_directions: int = 1
    code_activation: Literal["identity", "relu", "leaky_relu", "sigmoid", "tanh"] = "sigmoid"
    hidden: tuple[int, ...] | None = ()

    def _objective(self) -> Objective:
        return Reconstruction() + Contractive(self.contraction, self.n_directions)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._objective()  # its values check themselves
        if self.sharded:
            raise ValueError("Expected layers in one piece for the contractive penalty, got sharded=True; use False.")

    def jacobian_norm(self, X: Any) -> np.ndarray:
        """Frobenius norm of the encoder's Jacobian at each row, exactly; see `isthmus.evaluation.jacobian_norm`.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Units of the code per unit of the model's input (pixels in [0, 1]), (n,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        return in_blocks(X, self._rows, lambda rows: jacobian_norm(self.model_, self._scaled(rows)).numpy())

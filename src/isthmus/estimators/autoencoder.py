"""The plain autoencoder: squeeze rows through a narrow code and get them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..heads import PointHead
from ..model import LatentVariableModel
from ..objectives import Objective, Reconstruction
from .code_prior import CodePrior
from .network import BaseAutoencoder

__all__ = ["Autoencoder"]


@dataclass(eq=False, repr=False)
class Autoencoder(BaseAutoencoder):
    r"""Autoencoder: a code f(x) from which p(x | z = f(x)) gives x back.

    Minimises :math:`-\log p(x \mid f(x))`, in nats summed over features: the cross-entropy for data in [0, 1], half
    the squared error (in the model's units) otherwise. Use it for compact features and for reconstruction errors;
    for samples, or for a likelihood, use `VAE`. With `hidden=()` and `likelihood="fixed_gaussian"` it is linear, and
    its code spans the subspace of PCA.

    Args:
        n_components: dimension of the code.
        hidden, activation, encoder, decoder, likelihood, max_epochs, batch_size, learning_rate, ...: see
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch, in nats.
        prior_: distribution of the codes, once `fit_prior` was called.

    References:
        Rumelhart, Hinton, Williams (1986). Learning internal representations by error propagation.
        Hinton, Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> codes = Autoencoder(n_components=4, hidden=(32,), max_epochs=1, random_state=0).fit_transform(X)
        >>> codes.shape
        (1797, 4)
    """

    real_likelihood: ClassVar[str] = "fixed_gaussian"

    def _model(self, n_features: int) -> LatentVariableModel:
        return LatentVariableModel(self._encoder(n_features, PointHead), self._decoder(n_features), prior=None)

    def _objective(self) -> Objective:
        return Reconstruction()

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the squared error of each row, summed over features, (n,): a deterministic code has no likelihood."""
        return -self.squared_error(X)

    def fit_prior(self, X: Any, kind: Literal["gaussian", "mixture"] = "gaussian", n_mixture: int = 10) -> Self:
        """Fit a distribution to the codes of rows X, so that the model can be sampled.

        Args:
            X: rows, usually the training data.
            kind: one Gaussian with full covariance, or a mixture of them.
            n_mixture: components of the mixture.

        Raises:
            ValueError: unknown kind, or too few rows.
        """
        self.prior_ = CodePrior.fit(self.transform(X), 1 if kind == "gaussian" else n_mixture, kind)
        return self

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> np.ndarray:
        """Decode codes drawn from the fitted prior: (n_samples, *shape of a row).

        Raises:
            ValueError: `fit_prior` was not called. Training asks nothing of the codes' distribution, so codes drawn
                from, say, N(0, I) fall where the decoder has never been.
        """
        check_is_fitted(self)
        if not hasattr(self, "prior_"):
            raise ValueError(
                "Expected a prior over the codes, got none: an autoencoder learns no distribution to draw codes from; "
                "use fit_prior(X) first, or a VAE."
            )
        seed = self.random_state if random_state is None else random_state
        return self.inverse_transform(self.prior_.sample(n_samples, np.random.default_rng(seed)))

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        if hasattr(self, "prior_"):
            tensors |= {f"prior.{name}": torch.from_numpy(array) for name, array in self.prior_._asdict().items()}
        return tensors, fitted

    def _restore(self, tensors: dict[str, Tensor], fitted: dict[str, Any]) -> None:
        super()._restore(tensors, fitted)
        if "prior.weights" in tensors:
            self.prior_ = CodePrior(*(tensors[f"prior.{name}"].numpy() for name in CodePrior._fields))

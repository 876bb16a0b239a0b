"""The variational autoencoder: a code with a distribution, and so a bound on the likelihood."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..evaluation.chunks import device_of, evaluating, map_rows
from ..heads import GaussianHead
from ..model import LatentVariableModel
from ..objectives import ELBO, Objective
from ..priors import StandardNormal
from .blocks import in_blocks
from .network import BaseAutoencoder

__all__ = ["VAE", "BaseVAE", "gaussian_vae"]


def gaussian_vae(estimator: BaseAutoencoder, n_features: int) -> LatentVariableModel:
    """p(z) = N(0, I), q(z|x) a diagonal Gaussian, p(x|z) the estimator's likelihood: what VAEs have in common."""
    return LatentVariableModel(
        estimator._encoder(n_features, GaussianHead),
        estimator._decoder(n_features),
        StandardNormal(estimator.n_components),
    )


class BaseVAE(BaseAutoencoder):
    """Autoencoders with p(z) = N(0, I) and q(z|x) a diagonal Gaussian: a leaf says by which bound they are trained."""

    def _model(self, n_features: int) -> LatentVariableModel:
        return gaussian_vae(self, n_features)

    def posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """What the encoder says of the code of each row, q(z|x).

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Mean and standard deviation, each (n, n_components).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        mean, scale = in_blocks(X, self._rows, self._moments).swapaxes(0, 1)
        return np.ascontiguousarray(mean), np.ascontiguousarray(scale)

    def _moments(self, rows: np.ndarray, condition: Tensor | None = None) -> np.ndarray:
        """Means and standard deviations of validated rows, (n, 2, n_components)."""
        encoder: Any = self.model_.encoder

        def moments(x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
            q = encoder(x, condition)
            return q.mean, q.stddev

        with evaluating(self.model_):
            return np.stack(map_rows(moments, self._scaled(rows), condition, device=device_of(self.model_)), axis=1)


@dataclass(eq=False, repr=False)
class VAE(BaseVAE):
    r"""Variational autoencoder with prior N(0, I) and diagonal Gaussian posteriors.

    Maximises the evidence lower bound :math:`E_q[\log p(x|z)] - KL(q(z|x) \| p(z)) \le \log p(x)`, in nats summed
    over features. Use it to generate, to compare models by likelihood, and for codes with a known distribution.

    Args:
        n_components: dimension of the code.
        n_samples: samples of z a row and step.
        free_bits: nats of rate that each dimension of the code has for free; above 0 keeps dimensions in use.
        kl_warm_up: steps over which the weight of the rate rises from 0 to 1.
        gradient: how the encoder's gradient is estimated: "reparameterised"; "stl", sticking the landing, whose noise
            vanishes as the posterior becomes exact, without free_bits; or "score", the score function, for comparison,
            with n_samples of 2 or more. The bound is the same.
        hidden, activation, encoder, decoder, likelihood, max_epochs, batch_size, learning_rate, ...: see
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch: loss (minus the bound), distortion and rate, in nats.

    References:
        Kingma, Welling (2014). Auto-encoding variational Bayes. ICLR, eq. 3.
        Rezende, Mohamed, Wierstra (2014). Stochastic backpropagation and approximate inference. ICML.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> vae = VAE(n_components=2, hidden=(32,), max_epochs=1, random_state=0).fit(X)
        >>> vae.transform(X).shape, vae.sample(3).shape, vae.score_samples(X).shape
        ((1797, 2), (3, 64), (1797,))
    """

    _: KW_ONLY
    n_samples: int = 1
    free_bits: float = 0.0
    kl_warm_up: int = 0
    gradient: Literal["reparameterised", "stl", "score"] = "reparameterised"

    def _objective(self) -> Objective:
        return ELBO(n_samples=self.n_samples, free_bits=self.free_bits, warm_up=self.kl_warm_up, gradient=self.gradient)

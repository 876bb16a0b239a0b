"""The importance-weighted autoencoder: a VAE that is trained on a tighter bound."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from ..objectives import ImportanceWeightedBound, Objective
from .vae import BaseVAE

__all__ = ["IWAE"]


@dataclass(eq=False, repr=False)
class IWAE(BaseVAE):
    r"""Importance-weighted autoencoder: a VAE trained on a bound that rises to log p(x) with the number of samples.

    Maximises :math:`\mathrm{E}\left[\log \frac{1}{k} \sum_{i=1}^k p(x, z_i) / q(z_i|x)\right] \le \log p(x)`, in nats
    summed over features, over k samples from the encoder's q(z|x). With one sample it is the bound of `VAE`. With more
    the model need not be one whose posteriors are Gaussian, as samples that fit badly count for little: use it for a
    better likelihood with codes that use more dimensions, at k times the decoder's work. Its q(z|x) is made to be
    sampled from and weighted, and one sample of it is worth less; where codes are used as they are, take a `VAE`.

    Args:
        n_components: dimension of the code.
        n_samples: k, samples of z a row and step: the more, the tighter the bound; the paper has 5 and 50.
        gradient: how the encoder's gradient is estimated: "dreg", doubly reparameterised, whose signal-to-noise ratio
            rises with k; "reparameterised", as first published, whose ratio falls with k; "stl", sticking the landing,
            biased for k above 1; or "score", the score function, for comparison. The bound is the same.
        hidden, activation, encoder, decoder, likelihood, max_epochs, batch_size, learning_rate, ...: see
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        history_: one record an epoch, in nats: loss (minus the bound), and distortion and rate, unweighted.

    References:
        Burda, Grosse, Salakhutdinov (2016). Importance weighted autoencoders. ICLR, eq. 8.
        Tucker, Lawson, Gu, Maddison (2019). Doubly reparameterized gradient estimators for Monte Carlo objectives.
            ICLR.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> iwae = IWAE(n_components=2, n_samples=5, hidden=(32,), max_epochs=1, random_state=0).fit(X)
        >>> iwae.transform(X).shape, bool((iwae.score_samples(X, 1000) - iwae.score_samples(X)).mean() > 0)
        ((1797, 2), True)
    """

    _: KW_ONLY
    n_samples: int = 5
    gradient: Literal["dreg", "reparameterised", "stl", "score"] = "dreg"

    def _objective(self) -> Objective:
        return ImportanceWeightedBound(n_samples=self.n_samples, gradient=self.gradient)

    @property
    def default_importance_samples(self) -> int:
        """Scores are of the bound that it was trained on where no other number of samples is asked for."""
        return int(self.parameters_["n_samples"])

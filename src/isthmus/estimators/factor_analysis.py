"""Factor analysis: a linear map of a Gaussian code, and each feature its own noise."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..linear import Covariance, factor_analysis
from .linear_gaussian import BaseLatentGaussian

__all__ = ["FactorAnalysis"]


@dataclass(eq=False, repr=False)
class FactorAnalysis(BaseLatentGaussian):
    r"""Factor analysis by EM: what features have in common is the code, what each has for itself is noise.

    :math:`z \sim N(0, I), \; x \mid z \sim N(W^T z + \mu, \mathrm{diag}(\Psi))`, at a maximum of the likelihood. The
    code is the exact :math:`E[z \mid x]`. Use it where features have unlike units or unlike noise: scaling one changes
    nothing but its loadings, where `PCA` would turn towards the largest.

    Args:
        n_components: dimension of the code, at most min(rows, features).
        noise_floor: smallest variance of a feature's noise, as a part of the feature's variance; of a feature that
            does not vary, of the mean variance. Without it some data have no most likely model.
        tolerance: gain of a step of EM, in nats a row, under which it has converged.
        max_iter: most steps of EM.

    Attributes:
        mean_: of the features, (F,), in data units (pixels in [0, 1]).
        components_: W, the loadings, (n_components, F), turned so that the most certain number of a code is first.
        noise_variance_: Psi, (F,).
        log_likelihoods_: mean log-likelihood of a row after each step that was kept, in nats: it never falls.
        n_iter_: steps of EM.

    References:
        Rubin, Thayer (1982). EM algorithms for ML factor analysis. Psychometrika 47.
        Varadhan, Roland (2008). Simple and globally convergent methods for accelerating the convergence of any EM
        algorithm. Scandinavian Journal of Statistics 35.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> X = load_wine().data
        >>> model = FactorAnalysis(n_components=2).fit(X)
        >>> mean, deviation = model.posterior(X)
        >>> mean.shape, round(model.score(X), 2)
        ((178, 2), -19.53)
    """

    n_components: int = 2
    _: KW_ONLY
    noise_floor: float = 1e-6
    tolerance: float = 1e-6
    max_iter: int = 1000

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 < self.noise_floor < 1:
            raise ValueError(f"Expected noise_floor in (0, 1), got {self.noise_floor}.")

    def _learn(self, covariance: Covariance, total: float) -> None:
        found = factor_analysis(
            covariance,
            int(self.n_components),
            noise_floor=float(self.noise_floor),
            tolerance=float(self.tolerance),
            max_iter=int(self.max_iter),
        )
        self.noise_variance_ = found.noise.numpy()
        self._take_fit(found)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return super()._shapes() | {"noise_variance_": (self.n_features_in_,)}

    def _plain(self) -> dict[str, Any]:
        return {name: hint for name, hint in super()._plain().items() if name != "noise_variance_"}

"""The base of mixtures: exact densities, responsibilities, draws, and criteria to choose the number of components."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..mixtures import EMResult
from .blocks import checked_weight
from .clusters import BaseClusters
from .common import random_generator
from .parameters import fits

__all__ = ["BaseMixture"]


class BaseMixture(DensityMixin, BaseClusters):
    """A density p(x) = sum_k weights_k p(x|k) with the interface of scikit-learn's mixtures; a code of its own too.

    A leaf gives `_learn`, `_scorer` (log p(x, k) in nats), `_draw`, `_n_parameters`, `_shapes` and `_plain`, and calls
    `_take_fit` with what EM found.

    Attributes:
        weights_: probabilities of the components, (n_components,).
        log_likelihoods_: the bound before the first step and after each: mean per row, in nats, of the best start.
        lower_bound_: the last of them.
        n_iter_: steps of the best start.
        converged_: whether it converged.
    """

    n_components: int
    weights_: np.ndarray
    log_likelihoods_: list[float]
    lower_bound_: float
    converged_: bool

    @abstractmethod
    def _draw(self, labels: np.ndarray, generator: np.random.RandomState) -> np.ndarray:
        """A row from the component of each label, (n, F), in units of the data (pixels in [0, 1])."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Free parameters of the model."""

    @property
    def _n_clusters(self) -> int:
        return int(self.n_components)

    def _take_fit(self, found: EMResult) -> None:
        """Take over how one start went, the bounds of which are numbers, and warn where it was not done."""
        bounds: Any = found.bounds
        self.log_likelihoods_, self.lower_bound_ = bounds, bounds[-1]
        self.n_iter_, self.converged_ = found.n_steps, found.converged
        if not found.converged:
            self._warn_of(found.n_steps, bounds[-1] - bounds[max(0, len(bounds) - 2)])

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    # --- densities --------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Exact log p(x) of each row.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Nats, in units of the data (pixels in [0, 1]), (n,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        scorer = self._scorer()
        return self._of_rows(X, lambda rows: scorer(rows).logsumexp(dim=1))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`, so that model selection works; y is ignored."""
        return float(np.mean(self.score_samples(X)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Responsibilities p(k|x) of the components.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Probabilities, (n, n_components), which sum to 1.

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        scorer = self._scorer()

        def responsibilities(rows: Tensor) -> Tensor:
            return scorer(rows).softmax(dim=1)

        return self._of_rows(X, responsibilities)

    def transform(self, X: Any) -> np.ndarray:
        """The code of a row is how far each component answers for it: see `predict_proba`."""
        return self.predict_proba(X)

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        r"""Bayesian information criterion, :math:`-2 \log L + p \log n`: the model with the smallest is chosen.

        Args:
            X: the rows of the fit, (n, features) or images.
            sample_weight: how many rows each row counts as, (n,).

        Returns:
            Nats, twice.

        References:
            Schwarz (1978). Estimating the dimension of a model. Annals of Statistics 6.
        """
        likelihood, n_samples = self._likelihood(X, sample_weight)
        return -2 * likelihood + self._n_parameters() * math.log(n_samples)

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        r"""Akaike's information criterion, :math:`-2 \log L + 2 p`; see `bic`, which prefers smaller models."""
        return -2 * self._likelihood(X, sample_weight)[0] + 2 * self._n_parameters()

    def _likelihood(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        """Log-likelihood of all rows, and how many those are."""
        each = self.score_samples(X)
        weight = np.ones(len(each)) if sample_weight is None else checked_weight(sample_weight, each)
        return float(weight @ each), float(weight.sum())

    # --- draws ------------------------------------------------------------------------------

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from p(x), those of one component together.

        Args:
            n_samples: rows to draw.
            random_state: a seed gives the same rows again; None takes the estimator's own.

        Returns:
            Rows in the units and the shape of the data, (n_samples, *feature_shape_), and the component of each.

        Raises:
            ValueError: n_samples below 1.
        """
        check_is_fitted(self)
        if not fits(n_samples, int) or n_samples < 1:
            raise ValueError(f"Expected n_samples >= 1, got {n_samples!r}.")
        generator = random_generator(self.random_state if random_state is None else random_state)
        counts = generator.multinomial(int(n_samples), self.weights_ / self.weights_.sum())
        labels = np.repeat(np.arange(len(counts)), counts)
        return self._shaped(self._draw(labels, generator) * self.scaling_.scale), labels

    # --- files and notebook -------------------------------------------------------------------

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weights_": (self._n_clusters,)}

    def _plain(self) -> dict[str, Any]:
        return {"log_likelihoods_": list[float], "lower_bound_": float, "n_iter_": int, "converged_": bool}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        for name in self._shapes():
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} that are not finite")
        if not ((self.weights_ >= 0).all() and abs(self.weights_.sum() - 1) < 1e-6):
            raise ValueError("weights_ that are no probabilities")

    def _facts(self) -> dict[str, str]:
        facts = super()._facts() | {"components": str(len(self.weights_)), "steps of EM": str(self.n_iter_)}
        return facts | {"bound": f"{self.lower_bound_:.2f} nats a row of the training data"}

"""What every model of p(y|x) of numbers can do: densities, predictions with their spread, draws, calibration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Distribution

from .common import BaseIsthmus, as_array
from .components import Components
from .draws import drawn
from .saved import value_of
from .standardise import Standardisation
from .targets import checked_targets

__all__ = ["BaseDensityRegressor", "BaseStandardised", "Coverage"]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


class Coverage(NamedTuple):
    """How often central intervals hold what they should.

    Attributes:
        levels: what they should, (L,).
        coverage: share of targets inside, (L,), or (L, k) for k targets.
    """

    levels: np.ndarray
    coverage: np.ndarray


class BaseStandardised(BaseIsthmus):
    """Inputs standardised inside the model, each column on its own.

    Attributes:
        inputs_: means and scales of the features.
    """

    inputs_: Standardisation

    def _scaled(self, rows: np.ndarray, seed: int = 0) -> Tensor:
        x = self.inputs_(rows)
        if not x.abs().max() < torch.finfo(torch.float32).max:
            raise ValueError(
                "Expected rows of the size of those at fit, got numbers too large for float32 in the model's units; "
                "use np.clip(X, ...)."
            )
        return x

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.inputs_.named("inputs"), {}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.inputs_ = Standardisation.taken(tensors, "inputs", self.n_features_in_)


class BaseDensityRegressor(RegressorMixin, BaseStandardised):
    """A regressor that predicts a density of y, (n,) or (n, k), for each row.

    Attributes:
        targets_: means and scales of the targets.
        n_targets_: k.
    """

    targets_: Standardisation
    n_targets_: int
    one_target_: bool

    @abstractmethod
    def _components(self, x: Tensor) -> Components:
        """Densities of standardised targets, of standardised rows (n, F)."""

    def predict_components(self, X: Any) -> Components:
        """The predictive density of each row as a mixture of Gaussians, in units of y."""
        check_is_fitted(self)
        return self._components(self._scaled(self._rows(X))).rescaled(*self.targets_)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of p(y|x) of each row.

        Args:
            X: rows as at fit.
            return_std: also give its standard deviation.

        Returns:
            Means, shaped as y at fit, or a tuple with the standard deviations.

        Raises:
            ValueError: rows of another shape.
        """
        found = self.predict_components(X)
        return (self._as_given(found.mean), self._as_given(found.sd)) if return_std else self._as_given(found.mean)

    def predict_interval(self, X: Any, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Central interval of each target that holds it with a probability.

        Args:
            X: rows as at fit.
            level: the probability.

        Returns:
            Low and high ends, each shaped as y at fit.

        Raises:
            ValueError: a level outside (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"Expected a level in (0, 1), got {level}.")
        found = self.predict_components(X)
        return self._as_given(found.quantile((1 - level) / 2)), self._as_given(found.quantile((1 + level) / 2))

    def predict_distribution(self, X: Any) -> Distribution:
        """p(y|x) in units of y, with batch shape (n,): `log_prob(y)`, `mean`, `sample()`.

        Events are numbers where y was (n,) at fit, else vectors (k,).
        """
        return self.predict_components(X).distribution(self.one_target_)

    def sample(self, X: Any, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Draws of y from p(y|x), noise included: what else might have been measured.

        Args:
            X: rows as at fit.
            n_samples: draws for each row, independent of each other.
            random_state: a seed gives the same draws again; None takes the estimator's own.

        Returns:
            In units of y, (n_samples, n), or (n_samples, n, k) for k targets.

        Raises:
            ValueError: rows of another shape, or n_samples below 1.
        """
        p = self.predict_distribution(X)
        return drawn(p, n_samples, self.random_state if random_state is None else random_state).numpy()  # type: ignore[attr-defined]

    def score_samples(self, X: Any, y: Any) -> np.ndarray:
        """log p(y|x) of each row, in nats and in units of y.

        Raises:
            ValueError: rows or targets of another shape.
        """
        found = self.predict_distribution(X)
        y = self._targets(y, found.batch_shape[0])
        values = torch.from_numpy(y[:, 0] if self.one_target_ else y)
        return found.log_prob(values).numpy()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean of log p(y|x) in nats, in units of y. scikit-learn's own regressors give R^2 here."""
        return float(np.average(self.score_samples(X, y), weights=sample_weight))

    def calibration(self, X: Any, y: Any, levels: Sequence[float] = LEVELS) -> Coverage:
        """Share of targets in central intervals of p(y|x), which should be the intervals' levels.

        Args:
            X: rows that the model was not fitted to.
            y: their targets.
            levels: probabilities of intervals.

        Returns:
            Levels and shares.
        """
        found = self.predict_components(X)
        place = found.cdf(torch.from_numpy(self._targets(y, len(found.means)))).numpy()
        inside = np.stack([(np.abs(2 * place - 1) <= level).mean(0) for level in levels])
        return Coverage(np.asarray(levels), inside[:, 0] if self.one_target_ else inside)

    def _as_given(self, values: Tensor) -> np.ndarray:
        """Numbers for each target (n, k) as y was at fit."""
        return (values[:, 0] if self.one_target_ else values).numpy()

    def _targets(self, y: Any, n_rows: int) -> np.ndarray:
        y = checked_targets(y, n_rows)
        if y.shape[1] != self.n_targets_:
            raise ValueError(f"Expected y with {self.n_targets_} columns, as at fit, got {y.shape[1]}.")
        return y

    def _learn_targets(self, y: Any, n_rows: int, weight: np.ndarray | None = None) -> Tensor:
        """Targets at fit, standardised, (n, k)."""
        targets = checked_targets(y, n_rows)
        self.one_target_, self.n_targets_ = np.ndim(as_array(y)) == 1, targets.shape[1]
        self.targets_ = Standardisation.of(targets, weight)
        return self.targets_(targets)

    def _learned(self, y: Any, n_rows: int, weight: np.ndarray | None) -> tuple[np.ndarray, Tensor]:
        return np.ones(n_rows, dtype=bool), self._learn_targets(y, n_rows, weight)

    def _told(self, y: Any, n_rows: int) -> Tensor:
        return self.targets_(self._targets(y, n_rows))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True  # `score` is no R^2
        return tags

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors | self.targets_.named("targets"), fitted | {"one_target_": self.one_target_}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.targets_ = Standardisation.taken(tensors, "targets")
        self.n_targets_, self.one_target_ = len(self.targets_.mean), value_of(fitted, "one_target_", bool)
        super()._restore(tensors, fitted)

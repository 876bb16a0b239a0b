"""What a mixture of Gaussians says of some values given others, and how it goes on learning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.frames import is_frame
from ..mixtures.conditional import ConditionalGaussians, conditional
from ..mixtures.covariance_rule import CovarianceRule
from ..mixtures.gaussian import Gaussians
from ..mixtures.missing import draw_missing, impute
from ..mixtures.moments import Moments
from ..mixtures.online import OnlineMixture, online_step
from ..mixtures.prepared import QUARTILE_ROWS
from .blocks import checked_weight
from .common import as_array, random_generator
from .filled import filled_frame
from .mixture import BaseMixture

__all__ = ["BaseGaussianGiven"]

QUANTILES = 32  # of each component, to tell quartiles of a mixture by


class BaseGaussianGiven(BaseMixture):
    """A mixture of Gaussians as it is used once fitted: missing values, some columns from others, more rows.

    Attributes:
        n_seen_: rows learnt from, by weight; `partial_fit` goes on from them.
    """

    means_: np.ndarray
    covariances_: np.ndarray
    collapsed_: list[int]
    n_seeded_: int
    n_seen_: float

    @abstractmethod
    def _gaussians(self) -> Gaussians:
        """The mixture, on the device."""

    @abstractmethod
    def _rule(self, variances: Tensor, rows: Tensor, weight: Tensor | None) -> CovarianceRule:
        """What keeps covariances from collapsing, of features with these variances, and rows that are spread alike."""

    @abstractmethod
    def _take_mixture(self, gaussians: Gaussians) -> None:
        """Take over a mixture."""

    def impute(
        self, X: Any, n_draws: int | None = None, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """Rows whose missing values, NaN, are filled in from the values that are there.

        Args:
            X: rows as at fit, with NaN for what is missing; a frame also with its own kinds of missing cells.
            n_draws: None fills in E[x_missing | x_seen]; a number gives so many tables drawn from
                p(x_missing | x_seen), for multiple imputation.
            random_state: of the draws; None takes the estimator's own.

        Returns:
            Rows in the units and the shape of the data, (n, *feature_shape_), or (n_draws, n, *feature_shape_); what
            was known is as it was, to the bit. Of a frame a frame, or a list of n_draws, with its columns and index.

        Raises:
            ValueError: rows of another shape or out of range, or n_draws below 1.
        """
        check_is_fitted(self)
        gaussians, scale = self._gaussians(), self.scaling_.scale
        if n_draws is None:
            filled = self._of_rows(X, lambda rows: impute(rows, gaussians))
            return filled_frame(X, filled) if is_frame(X) else self._shaped(filled * scale)
        if n_draws < 1:
            raise ValueError(f"Expected n_draws >= 1, got {n_draws}.")
        seed = int(random_generator(self.random_state if random_state is None else random_state).randint(2**31 - 1))
        generator = torch.Generator(device=gaussians.means.device).manual_seed(seed)
        rows = torch.from_numpy(self.data_units(self._rows(X))).to(gaussians.means)
        drawn = draw_missing(rows, gaussians, generator, int(n_draws)).cpu().numpy()
        if is_frame(X):
            return [filled_frame(X, each) for each in drawn]
        drawn = drawn * scale
        return drawn.reshape(*drawn.shape[:2], *self.feature_shape_)

    def conditional(self, values: Any, given: int | str | Sequence[int | str]) -> ConditionalGaussians:
        """The mixture of the other columns given the values of some: regression with all that a density says.

        Args:
            values: of the columns that are known, (n, A), in units of the data (pixels in [0, 1]).
            given: numbers of those columns, or their names after a fit to a frame, in the order of the values.

        Returns:
            A mixture for each row, with `mean()`, `covariance()`, `log_density(values)` and `sample(seed)`, all
            tensors on the CPU; its `asked` are the numbers of the other columns, in their order.

        Raises:
            ValueError: columns that are not there, or values of another shape.
        """
        check_is_fitted(self)
        known = torch.from_numpy(np.array(as_array(values), dtype=np.float64))
        columns = [given] if isinstance(given, int | str) else list(given)
        if len(columns) == 1 and known.ndim == 1:
            known = known[:, None]
        return conditional(self._gaussians().each(Tensor.cpu), [self._column(column) for column in columns], known)

    def _column(self, column: int | str) -> int:
        """The number of a column that may be a name."""
        if not isinstance(column, str):
            return column
        names = list(getattr(self, "feature_names_in_", ()))
        if column not in names:
            known = (
                f"one of {', '.join(map(str, names))}" if names else "a number, as the fit was to rows without names"
            )
            raise ValueError(f"Expected given to name a column, {known}, got {column!r}.")
        return names.index(column)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from some more rows: one step of stepwise EM, in which what was learnt before fades slowly.

        The first rows are fitted as `fit` does, so let them be some hundreds.

        Args:
            X: some rows, (m, features) or images; NaN where a value is missing.
            y: ignored.
            sample_weight: how many rows each row counts as, (m,).

        Returns:
            The estimator itself; `log_likelihoods_` ends with that of these rows before they were learnt from.

        Raises:
            ValueError, TypeError: bad data, or rows of another shape than before.
        """
        if not hasattr(self, "means_"):
            return self.fit(X, sample_weight=sample_weight)
        with self._all_or_nothing():
            rows = self._rows(X)
            weight = None if sample_weight is None else torch.from_numpy(checked_weight(sample_weight, rows))
            x = torch.from_numpy(self.data_units(rows)).to(self._device())
            weight = None if weight is None else weight.to(x)
            gaussians = self._gaussians()
            rule = self._rule(_variances(gaussians), *_typical_rows(gaussians))
            before = OnlineMixture(gaussians, _moments(gaussians, rule), self.n_seen_)
            after, likelihood = online_step(before, x, weight, rule=rule)
            self._take_mixture(after.gaussians)
            self.n_seen_, self.n_iter_ = after.n_seen, self.n_iter_ + 1
            self.log_likelihoods_, self.lower_bound_ = [*self.log_likelihoods_, likelihood], likelihood
        return self

    def _plain(self) -> dict[str, Any]:
        return super()._plain() | {"n_seen_": float}


def _moments(gaussians: Gaussians, rule: CovarianceRule) -> Moments:
    """Moments, a row, that the mixture follows from: without what was added to variances, which would add up."""
    weights, means, covariances, kind = gaussians
    added = torch.as_tensor(rule.added, dtype=means.dtype, device=means.device)
    if kind in ("full", "tied"):
        covariances = covariances - torch.diag(added.expand(means.shape[1]))
    else:
        covariances = covariances - (added.mean() if kind == "spherical" else added)
    if kind == "full":
        covariances = weights[:, None, None] * covariances
    elif kind == "diag":
        covariances = weights[:, None] * covariances
    elif kind == "spherical":
        covariances = (weights * covariances)[:, None].expand_as(means)
    return Moments(weights, means, covariances, kind)


def _variances(gaussians: Gaussians) -> Tensor:
    """Variance of each feature under the mixture, (F,)."""
    weights, means = gaussians.weights, gaussians.means
    return weights @ (_variances_within(gaussians) + (means - weights @ means).square())


def _variances_within(gaussians: Gaussians) -> Tensor:
    """Variance of each feature in each component, (K, F)."""
    _, means, covariances, kind = gaussians
    within = covariances.diagonal(dim1=-2, dim2=-1) if kind in ("full", "tied") else covariances
    return (within[:, None] if kind == "spherical" else within).expand_as(means)


def _typical_rows(gaussians: Gaussians) -> tuple[Tensor, Tensor]:
    """Rows whose columns, each alone, are spread as under the mixture, (n, F), and their weights, (n,).

    A batch may be all of one component, and says nothing of how far apart they are.
    """
    means = gaussians.means
    n = max(1, min(QUANTILES, QUARTILE_ROWS // len(means)))
    places = torch.special.ndtri((torch.arange(n, dtype=means.dtype, device=means.device) + 0.5) / n)
    rows = means + places[:, None, None] * _variances_within(gaussians).sqrt()
    return rows.flatten(0, 1), gaussians.weights.repeat(n) / n

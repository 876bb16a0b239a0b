"""A mixture of independent Bernoullis: binary images of a few sorts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.frames import is_frame
from ..mixtures import Bernoullis, bernoulli_log_joint, fit_bernoullis, start_bernoullis
from .common import TOLERANCE
from .filled import filled_frame
from .mixture import BaseMixture

__all__ = ["BernoulliMixture"]


@dataclass(eq=False, repr=False)
class BernoulliMixture(BaseMixture):
    r"""Mixture of Bernoullis by EM: binary images of a few sorts, each with a probability for every pixel.

    .. math:: p(x) = \sum_k \pi_k \prod_f \mu_{kf}^{x_f} (1 - \mu_{kf})^{1 - x_f}

    Use it for binary data of any kind, to see what sorts there are, and as the simplest model of images with an exact
    likelihood. NaN stands for a value that is not known, and is left out exactly. Grey values count as probabilities.

    Args:
        n_components: sorts, K.
        prior_count: rows with a 1, and as many with a 0, that each sort is taken to have had before, > 0: a prior
            Beta(1 + c, 1 + c), so that nothing is impossible.
        binarize: values above it count as 1, others as 0, in units of the data (pixels in [0, 1]); None takes data in
            [0, 1] as they are.
        tol: gain of the bound, in nats a row, at which EM has converged.
        max_iter: most steps of EM.
        n_init: starts, of which the one with the highest bound is kept.
        init_params: "kmeans", a few steps of it, or "random_from_data", the nearest of random rows.
        device: "auto", "cpu" or "cuda".
        random_state: a seed gives the same model again.

    Attributes:
        weights_: probabilities of the sorts, (n_components,).
        means_: probability of each feature in each sort, (n_components, F).
        log_likelihoods_: the bound after each step: mean log-likelihood of a row plus the log prior of the means,
            divided by the number of rows, in nats; it never falls.
        lower_bound_, n_iter_, converged_: see `BaseMixture`.

    References:
        Bishop (2006). Pattern recognition and machine learning. Springer, section 9.3.3.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data > 7
        >>> model = BernoulliMixture(10, random_state=0).fit(X)
        >>> rows, labels = model.sample(5, random_state=0)
        >>> rows.shape, model.predict(X).shape, model.score(X) > -25
        ((5, 64), (1797,), True)
    """

    n_components: int = 10
    _: KW_ONLY
    prior_count: float = 0.5
    binarize: float | None = None
    tol: float = 1e-3
    max_iter: int = 200
    n_init: int = 1
    init_params: Literal["kmeans", "random_from_data"] = "kmeans"
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None

    missing_values: ClassVar[bool] = True

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.prior_count > 0:
            raise ValueError(f"Expected prior_count > 0, got {self.prior_count}.")

    def _rows(self, X: Any, *, reset: bool = False) -> np.ndarray:
        rows = super()._rows(X, reset=reset)
        if self.binarize is None and not self.pixels_:
            least, most = np.fmin.reduce(rows, axis=None), np.fmax.reduce(rows, axis=None)
            if least < -TOLERANCE or most > 1 + TOLERANCE:
                raise ValueError(
                    f"Expected data in [0, 1], got numbers in [{least:g}, {most:g}]; use binarize=..., or uint8 pixels."
                )
        return rows

    def _prepared(self, x: Tensor) -> Tensor:
        if self.binarize is None:
            return x.clamp(0.0, 1.0)
        return torch.where(x.isnan(), x, (x > self.binarize).to(x.dtype))

    def _learn(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> None:
        share = torch.ones(len(rows), dtype=torch.float64, device=rows.device) if weight is None else weight
        count, kmeans = float(self.prior_count), self.init_params == "kmeans"
        runs = []
        for _ in range(int(self.n_init)):
            start = start_bernoullis(rows, self._n_clusters, generator, share, count, kmeans)
            settings: dict[str, Any] = {"tolerance": float(self.tol), "max_iter": int(self.max_iter)}
            runs.append(fit_bernoullis(rows, start, weight=share, prior_count=count, **settings))
        found = max(runs, key=lambda run: run.bounds[-1])
        self.weights_, self.means_ = (part.cpu().numpy() for part in found.parameters)
        self._take_fit(found)

    def _scorer(self) -> Callable[[Tensor], Tensor]:
        model = Bernoullis(self._tensor("weights_"), self._tensor("means_"))
        return lambda rows: bernoulli_log_joint(rows, model)

    def impute(self, X: Any) -> Any:
        """Rows whose missing values are their means given the others, E[x_f | x_known].

        Args:
            X: rows as at fit, with NaN for what is not known; a frame also with its own kinds of missing cells.

        Returns:
            Rows in the units and the shape of the data, (n, *feature_shape_) float64; with `binarize` known values as
            they count, 0 or 1, else as they were. Of a frame a frame, with its columns and index.

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        scorer, means = self._scorer(), self._tensor("means_")

        def filled(rows: Tensor) -> Tensor:
            return torch.where(rows.isnan(), scorer(rows).softmax(dim=1) @ means, rows)

        found = self._of_rows(X, filled)
        if not is_frame(X):
            return self._shaped(found * self.scaling_.scale)
        return filled_frame(X, found, known=self.binarize is not None)

    def _draw(self, labels: np.ndarray, generator: np.random.RandomState) -> np.ndarray:
        return (generator.random_sample((len(labels), self.n_features_in_)) < self.means_[labels]).astype(np.float64)

    def _n_parameters(self) -> int:
        return len(self.weights_) - 1 + self.means_.size

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return super()._shapes() | {"means_": (self._n_clusters, self.n_features_in_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        if not ((self.means_ > 0) & (self.means_ < 1)).all():
            raise ValueError("means_ that are not between 0 and 1")

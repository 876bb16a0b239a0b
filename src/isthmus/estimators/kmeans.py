"""k-means: each row belongs to the nearest of a few centres, each of which is the mean of its rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn import cluster
from sklearn.base import ClusterMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..mixtures import k_means, k_means_plus_plus, lloyd, mini_batch_k_means, mini_batch_step, squared_distances
from .blocks import checked_weight
from .clusters import BaseClusters

__all__ = ["KMeans"]


@dataclass(eq=False, repr=False)
class KMeans(ClusterMixin, BaseClusters):
    r"""k-means: a few centres, and each row belongs to the nearest.

    .. math:: \min_{c} \sum_n w_n \min_k \|x_n - c_k\|^2

    The limit of a mixture of round Gaussians of one small variance. Use it to split rows into groups of like size and
    shape, to compress rows to one number each, or to start a mixture; scale the features first where their units
    differ. Whole batches on a CPU are left to scikit-learn's own code, the fastest there is.

    Args:
        n_clusters: K, at most the number of rows.
        init: how centres start: "k-means++" far apart, or "random", any rows.
        n_init: starts, of which the best is kept.
        max_iter: most steps; with batch_size, most passes over the rows.
        tol: move of the centres (gain, with batch_size or on a GPU) at which it has converged, relative to the
            variance of the data.
        batch_size: rows of a step, for data so many that one step over all is slow; None takes all.
        device: "auto", "cpu" or "cuda".
        random_state: a seed gives the same centres again.

    Attributes:
        cluster_centers_: (n_clusters, F), in units of the data (pixels in [0, 1]).
        labels_: the cluster of each row at fit, (n,); a loaded model has none.
        inertia_: sum of squared distances of the rows to their centres.
        counts_: weight of the rows whose mean each centre is, (n_clusters,).
        n_iter_: steps, or passes with batch_size.

    References:
        Lloyd (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28.
        Arthur, Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.
        Sculley (2010). Web-scale k-means clustering. WWW.

    Example:
        >>> model = KMeans(2, random_state=0).fit([[1.0, 2.0], [1.0, 4.0], [9.0, 2.0], [9.0, 4.0]])
        >>> model.inertia_, model.predict([[2.0, 2.0]]) == model.labels_[0]
        (4.0, array([ True]))
    """

    n_clusters: int = 8
    _: KW_ONLY
    init: Literal["k-means++", "random"] = "k-means++"
    n_init: int = 3
    max_iter: int = 300
    tol: float = 1e-4
    batch_size: int | None = None
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"Expected batch_size >= 1, got {self.batch_size}.")

    @property
    def _n_clusters(self) -> int:
        return int(self.n_clusters)

    # --- fit --------------------------------------------------------------------------------

    def _learn(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> None:
        if self.batch_size is not None:
            found = mini_batch_k_means(
                rows,
                self._n_clusters,
                generator,
                batch_size=int(self.batch_size),
                n_init=int(self.n_init),
                weight=weight,
                tolerance=float(self.tol),
                max_epochs=int(self.max_iter),
            )
            centers, labels, inertia, n_steps = found.centers, found.labels, found.inertia, found.n_steps
        elif rows.device.type == "cpu":
            centers, labels, inertia, n_steps = self._by_scikit_learn(rows, weight, generator)
        else:
            centers, labels, inertia, n_steps = self._by_lloyd(rows, weight, generator)
        self.cluster_centers_ = centers.double().cpu().numpy()
        self.labels_, self.inertia_, self.n_iter_ = labels.cpu().numpy(), float(inertia), int(n_steps)
        counted = None if weight is None else weight.cpu().numpy()
        self.counts_ = np.bincount(self.labels_, counted, minlength=self._n_clusters).astype(np.float64)
        n_distinct = len(np.unique(self.cluster_centers_, axis=0))
        if n_distinct < self._n_clusters:
            warnings.warn(
                f"Expected rows that differ for n_clusters={self.n_clusters}, got only {n_distinct} distinct centers; "
                "use fewer n_clusters.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _by_scikit_learn(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> tuple[Any, ...]:
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        model = cluster.KMeans(
            self._n_clusters,
            init=self.init,
            n_init=int(self.n_init),
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of rows too alike, of which we warn for all ways
            model.fit(rows.numpy(), sample_weight=None if weight is None else weight.numpy())
        labels = torch.from_numpy(model.labels_.astype(np.int64))
        return torch.from_numpy(model.cluster_centers_), labels, model.inertia_, model.n_iter_

    def _by_lloyd(self, rows: Tensor, weight: Tensor | None, generator: torch.Generator) -> tuple[Any, ...]:
        known: dict[str, Any] = {"weight": weight, "tolerance": float(self.tol), "max_iter": int(self.max_iter)}
        if self.init == "k-means++":
            found = k_means(rows, self._n_clusters, generator, n_init=int(self.n_init), **known)
        else:
            starts = [torch.randperm(len(rows), generator=generator)[: self._n_clusters] for _ in range(self.n_init)]
            runs = [lloyd(rows, rows[start.to(rows.device)], **known) for start in starts]
            found = min(runs, key=lambda run: run.inertia)
        return found.centers, found.labels, found.inertia, found.n_steps

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from some more rows: each centre becomes the mean of all rows that were ever given to it.

        Args:
            X: rows, (n, features) or images; the first call starts the centres among them.
            y: ignored.
            sample_weight: how many rows each row counts as, (n,).

        Returns:
            The estimator itself.

        Raises:
            ValueError: bad data, or fewer rows than clusters at the first call.
        """
        with self._all_or_nothing():
            first = not hasattr(self, "cluster_centers_")
            rows = np.asarray(self._begin_fit(X) if first else self._rows(X))
            told = None if sample_weight is None else torch.from_numpy(checked_weight(sample_weight, rows))
            weight = None if told is None else told.to(self._device())
            if first:
                self._check_enough(len(rows) if told is None else int((told > 0).sum()))
                self._begin_scale()
            x = self._as_data(rows)
            if first:
                self.cluster_centers_ = (
                    k_means_plus_plus(x, self._n_clusters, self._generator(), weight).double().cpu().numpy()
                )
                self.counts_, self.n_iter_, self.inertia_ = np.zeros(self._n_clusters), 0, 0.0
            before, counts = self._tensor("cluster_centers_").to(x.dtype), self._tensor("counts_")
            centers, counts = mini_batch_step(x, before, counts, weight)
            self.cluster_centers_, self.counts_ = centers.double().cpu().numpy(), counts.cpu().numpy()
            self.n_iter_ += 1
            self.labels_ = self.predict(X)
            error = self.squared_error(X)
            self.inertia_ = float(error.sum() if told is None else told.numpy() @ error)
        return self

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    # --- use --------------------------------------------------------------------------------

    def _scorer(self) -> Callable[[Tensor], Tensor]:
        centers = self._tensor("cluster_centers_")
        return lambda rows: -squared_distances(rows, centers)

    def transform(self, X: Any) -> np.ndarray:
        """Distances of rows to all centres.

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            In units of the data (pixels in [0, 1]), (n, n_clusters).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        scorer = self._scorer()
        return self._of_rows(X, lambda rows: (-scorer(rows)).sqrt())

    def squared_error(self, X: Any) -> np.ndarray:
        """Squared distance of each row to the nearest centre, in squared units of the data, (n,)."""
        check_is_fitted(self)
        scorer = self._scorer()
        return self._of_rows(X, lambda rows: -scorer(rows).amax(dim=1))

    def reconstruct(self, X: Any) -> np.ndarray:
        """The centre of each row's cluster, in the units and the shape of the data, (n, *feature_shape_)."""
        check_is_fitted(self)
        scorer, centers = self._scorer(), self._tensor("cluster_centers_")
        nearest = self._of_rows(X, lambda rows: centers[scorer(rows).argmax(dim=1)])
        return self._shaped(nearest * self.scaling_.scale)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the weighted sum of `squared_error`, as scikit-learn has it; y is ignored."""
        error = self.squared_error(X)
        return -float(error.sum() if sample_weight is None else checked_weight(sample_weight, error) @ error)

    # --- files and notebook -------------------------------------------------------------------

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"cluster_centers_": (self._n_clusters, self.n_features_in_), "counts_": (self._n_clusters,)}

    def _plain(self) -> dict[str, Any]:
        return {"inertia_": float, "n_iter_": int}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        if not (np.isfinite(self.cluster_centers_).all() and (self.counts_ >= 0).all()):
            raise ValueError("centers that are not finite, or counts below 0")

    def _facts(self) -> dict[str, str]:
        facts = super()._facts() | {"clusters": str(self._n_features_out), "steps": str(self.n_iter_)}
        return facts | {"inertia": f"{self.inertia_:.4g}"}

"""What a report needs of a fitted model, computed once: codes, reconstructions, errors, samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..estimators.code_prior import CodePrior
from ..evaluation.given import given, is_conditional
from .images import ImageStyle, is_image, tiles
from .plots import is_classes
from .style import Theme

__all__ = ["MOST_POINTS", "DataView", "ModelView"]

MOST_POINTS = 5000
"""Examples beyond these add nothing to a scatter or a histogram but size."""


MOST_BYTES = 2**29
"""Of examples as float64: fewer are shown where they are large images."""


@dataclass(frozen=True)
class DataView:
    """The examples that a report shows, and how.

    Attributes:
        x: test examples, or training examples where there are no others; at most `MOST_POINTS`, drawn by `seed`.
        y: their labels, or None.
        x_train: training examples, at most `MOST_POINTS`.
        y_train: their labels, or None.
        noun: what the examples shown are called.
        feature_names: of a table's columns, or None.
        style: of images; None for tables.
        seed: of everything that is drawn.
    """

    x: np.ndarray
    y: np.ndarray | None
    x_train: np.ndarray
    y_train: np.ndarray | None
    noun: str
    feature_names: tuple[str, ...] | None
    style: ImageStyle | None
    seed: int

    @classmethod
    def of(cls, data: Any, seed: int = 0, part: str | None = None) -> DataView:
        """Choose from a `DataSet`: the part of this name, by default its test examples where it has any."""
        part = part or ("test" if len(data.x_test) else "train")
        x, y = data.part(part)
        noun = {"train": "training examples", "all": "examples"}.get(part, f"{part} examples")
        most = min(MOST_POINTS, max(100, MOST_BYTES // (8 * max(1, int(np.prod(data.feature_shape))))))
        rows, train_rows = some_rows(len(x), seed, most), some_rows(len(data.x_train), seed, most)
        style = ImageStyle.of(data.x_train[train_rows]) if is_image(data.feature_shape) else None
        y, y_train = (None if labels is None else labels[r] for labels, r in ((y, rows), (data.y_train, train_rows)))
        return cls(x[rows], y, data.x_train[train_rows], y_train, noun, data.feature_names, style, seed)

    @property
    def n_features(self) -> int:
        """Numbers that an example has."""
        return int(np.prod(self.x.shape[1:]))

    @property
    def photographs(self) -> bool:
        """Colour, and images too large to be enlarged: as PNG they would make a page weigh megabytes."""
        style = self.style
        return style is not None and not style.ink and (self.x.ndim == 4 or max(self.x.shape[-2:]) > 48)

    def tiles(self, x: np.ndarray, theme: Theme, size: int = 96) -> np.ndarray:
        """Tiles of examples that are images."""
        return x if self.style is None else tiles(x, self.style, theme, size)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Rows of a dozen examples to show: one of each class where there are about as many, else the first."""
        wanted = min(12 if self.style is None or max(self.x.shape[-2:]) <= 64 else 10, len(self.x))
        if self.y is None or not is_classes(self.y):
            return np.arange(wanted)
        firsts = np.unique(self.y, return_index=True)[1]
        if len(firsts) > wanted:
            return np.arange(wanted)
        if 6 <= len(firsts):
            return firsts
        others = np.setdiff1d(np.arange(len(self.x)), firsts)
        return np.concatenate((firsts, others))[:wanted]

    @property
    def seen(self) -> bool:
        """The examples shown are among those trained on."""
        return self.noun in ("training examples", "examples")

    def measured(self, x: np.ndarray) -> np.ndarray:
        """Rows (n, d) of examples in the units of errors: pixels in [0, 1], other data as given."""
        return np.asarray(x, np.float64).reshape(len(x), -1) / (255.0 if self.x.dtype == np.uint8 else 1.0)

    def nearest_distance(self, x: np.ndarray, *, itself: bool = False) -> float:
        """Squared distance of examples to the nearest training example, in the mean over at most 1,000 of them.

        Args:
            x: examples in the units of the data.
            itself: they are training examples, of which each one's nearest is another.
        """
        x, train = self.measured(x[:1000]), self.measured(self.x_train)
        squared = (x**2).sum(axis=1)[:, None] - 2 * x @ train.T + (train**2).sum(axis=1)
        return float(np.maximum(np.partition(squared, int(itself), axis=1)[:, int(itself)], 0).mean())

    def table(self, x: np.ndarray) -> np.ndarray:
        """Rows (n, d) of examples, each feature standardised as in the training examples; gaps at its mean."""
        train = np.asarray(self.x_train, np.float64).reshape(len(self.x_train), -1)
        mean, scale = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
        return np.nan_to_num((np.asarray(x, np.float64).reshape(len(x), -1) - mean) / np.where(scale > 0, scale, 1))


@dataclass(frozen=True)
class ModelView:
    """A fitted estimator seen through its public methods."""

    name: str
    estimator: Any
    data: DataView

    @property
    def kind(self) -> Literal["linear", "deterministic", "probabilistic"]:
        """Components in closed form, a network with a point as code, or one whose codes have a prior."""
        model = getattr(self.estimator, "model_", None)
        if model is None:
            return "linear"
        return "deterministic" if getattr(model, "prior", None) is None else "probabilistic"

    @property
    def has_chains(self) -> bool:
        """The model draws examples by Gibbs chains of its own, as Boltzmann machines do."""
        return bool(getattr(self.estimator, "is_belief_net_", False)) and not hasattr(self.estimator, "prior_")

    @cached_property
    def codes(self) -> np.ndarray:
        """Codes of the examples shown, (n, k)."""
        return np.asarray(self.estimator.transform(self.data.x, **self._told(self.data.y)), np.float64)

    @cached_property
    def train_codes(self) -> np.ndarray:
        """Codes of the training examples, (n, k)."""
        told = self._told(self.data.y_train)
        return np.asarray(self.estimator.transform(self.data.x_train, **told), np.float64)

    @property
    def n_components(self) -> int:
        """Numbers in a code."""
        return self.codes.shape[1]

    @cached_property
    def reconstructions(self) -> np.ndarray:
        """The examples shown, encoded and decoded."""
        return np.asarray(self.estimator.reconstruct(self.data.x, **self._told(self.data.y)))

    @cached_property
    def noisy(self) -> np.ndarray:
        """The examples shown, corrupted as a denoising model's inputs are in training."""
        return np.asarray(self.estimator.corrupt(self.data.x, random_state=self.data.seed))

    @cached_property
    def denoised(self) -> np.ndarray:
        """The corrupted examples, encoded and decoded."""
        return np.asarray(self.estimator.reconstruct(self.noisy))

    @cached_property
    def errors(self) -> np.ndarray:
        """Summed squared error of each example shown, pixels counted in [0, 1], (n,)."""
        return np.square(self.data.measured(self.data.x) - self.data.measured(self.reconstructions)).sum(axis=1)

    @property
    def code_scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each dimension of a code: the prior's, or those of the training codes."""
        if self.kind == "probabilistic":
            return np.zeros(self.n_components), np.ones(self.n_components)
        return self.train_codes.mean(axis=0), self.train_codes.std(axis=0)

    def decode(self, codes: np.ndarray, conditions: Any = None) -> np.ndarray:
        """Examples decoded from codes (n, k); a conditional model is told these conditions, or the usual one."""
        told = self._told(self.usual_condition if conditions is None else conditions)
        return np.asarray(self.estimator.inverse_transform(codes.astype(np.float32), **told))

    @property
    def conditional(self) -> bool:
        """The model is told something of each example, such as its class."""
        return is_conditional(self.estimator)

    def _told(self, conditions: Any) -> dict[str, Any]:
        return given(self.estimator, conditions, "use data with labels")

    @cached_property
    def usual_condition(self) -> Any:
        """What a conditional model is told where one condition serves for all: the most frequent class."""
        if self.data.y_train is None or not self.conditional:
            return None
        labels = np.asarray(self.data.y_train)
        if labels.ndim == 2:  # side information: the mean
            return labels.mean(axis=0)
        values, counts = np.unique(labels, return_counts=True)
        return values[counts.argmax()]

    @property
    def n_mixture(self) -> int:
        """Components of a mixture that is fitted to the codes: ten, or fewer where each had seen few codes."""
        return min(10, len(self.data.x_train) // (8 * self.n_components))

    @cached_property
    def _fitted_priors(self) -> dict[str, CodePrior]:
        return {}

    def prior(self, kind: str) -> CodePrior:
        """A distribution of codes: "normal" is N(0, I); "gaussian" and "mixture" are fitted to the training codes."""
        if kind == "normal":
            k = self.n_components
            return CodePrior(np.ones(1), np.zeros((1, k)), np.eye(k)[None])
        if kind not in self._fitted_priors:
            self._fitted_priors[kind] = CodePrior.fit(self.train_codes, kind, max(1, self.n_mixture))
        return self._fitted_priors[kind]

    def samples(self, n: int, prior: str | None = None) -> np.ndarray:
        """New examples: decoded draws from a distribution of codes, see `prior`, or from the model's own where None."""
        conditions = None
        if self.conditional:  # as often as in training
            labels = self._told(self.data.y_train)["conditions"]
            conditions = np.random.default_rng(self.data.seed).choice(labels, n)
        if prior is None:
            drawn = self.estimator.sample(n, random_state=self.data.seed, **self._told(conditions))
            return np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)  # mixtures tell the component too
        return self.decode(self.prior(prior).sample(n, np.random.RandomState(self.data.seed)), conditions)

    def class_samples(self, label: Any, n: int) -> np.ndarray:
        """New examples of a class, from a model that has a condition."""
        return np.asarray(self.estimator.sample(n, conditions=label, random_state=self.data.seed))


def some_rows(n: int, seed: int, most: int = MOST_POINTS) -> np.ndarray:
    """At most so many of n rows, in order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))

"""All measures of a fitted estimator at once, each with its error, its unit and what it means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.shards import Shards, is_large_map
from .annealed_measures import measures_of_decoder, measures_of_machine
from .chunks import CHUNK_SIZE
from .classification import evaluate_classifier
from .clusters import evaluate_clusters, has_clusters
from .given import given
from .likelihood import NoDensityError, bound, importance_log_likelihood
from .mean import Mean
from .measures import Evaluation, Measure
from .reconstruction import ReconstructionError
from .regression import evaluate_regressor, predicts_densities
from .representation import active_units, probe_accuracy
from .scored import Scored, what_is_scored

__all__ = ["evaluate"]

BLOCK_ROWS = 16 * CHUNK_SIZE
"""Rows of shards that are scored at once: whole chunks, so that a row's score is what it is among all of them."""

_DETERMINISTIC = "A deterministic code has no density, so there is no bound on log p(x); a VAE has one."
_DENSITY = "exact log-density in units of the features, which may be positive"


def evaluate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    X_train: Any = None,
    y_train: Any = None,
    n_importance_samples: int = 0,
    n_temperatures: int = 0,
    seed: int = 0,
    binarisation: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Every measure that a fitted estimator has on data X.

    All of them: squared error. Models with a likelihood: the exact one, or its bound with distortion and rate, and
    by importance sampling. With labels: how well simple classifiers read them from the codes. Densities are in units
    of the data (pixels in [0, 1]), so that models of the same data compare. Classifiers have other ones, of their
    labels: see `evaluate_classifier`; so have mixtures and clusters: see `evaluate_clusters`.

    Args:
        estimator: a fitted estimator.
        X: data that it was not trained on, (n, ...); `isthmus.data.Shards` and large memory maps are read a block at a
            time.
        y: class labels, (n,); for a conditional model its conditions, and then all measures are given y.
        X_train: data whose codes the classifiers learn from; without it they learn from one half of X and are tested
            on the other. Of a mixture, the rows of the fit, which BIC and AIC are for; labels are not needed there.
        y_train: its labels.
        n_importance_samples: samples of each example for the likelihood; 5000 is what papers report, 0 leaves it out.
        n_temperatures: steps of annealed importance sampling, which scores a hundred of the rows without the encoder,
            and says on simulated ones how far off it may be; 0 leaves it out, 1000 takes minutes. For models whose
            log p(x) is exact, or who have none, a note says so.
        seed: seed of the noise of bounds, and there of the pixels of a model that was trained with dynamic
            binarisation; all else is of the pixels of seed 0, as the estimator draws them.
        binarisation: how X was binarised before, as `DataSet.binarisation` says; told with every likelihood.

    Returns:
        Measures by name, notes on those that there can't be, and what the likelihoods are likelihoods of.

    Raises:
        ValueError: data that the estimator refuses, labels of only one of X_train and y_train, or not one a row. Labels
            that classifiers can't learn are a note.

    Example:
        >>> from isthmus.estimators import PCA
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> measures = evaluate(PCA(n_components=2).fit(X[:1000]), X[1000:])
        >>> round(measures["squared_error"].value, 2), measures["squared_error"].unit
        (3.47, 'squared error per example')
    """
    if hasattr(estimator, "predict_log_proba"):
        found = evaluate_classifier(estimator, X, y)
    elif predicts_densities(estimator):
        found = evaluate_regressor(estimator, X, y)
    elif has_clusters(estimator):
        found = evaluate_clusters(estimator, X, y, X_train=X_train)
    else:
        if (X_train is None) != (y_train is None):
            raise ValueError("Expected X_train and y_train together, got one of them.")
        train = None if X_train is None else (X_train, y_train)
        found = _evaluate(estimator, X, y, train, (n_importance_samples, n_temperatures), seed, binarisation)
    if not n_temperatures or "annealed_log_likelihood" in found:
        return found
    name = type(estimator).__name__
    of_rows = "log_likelihood" in found and not predicts_densities(estimator)
    why = f"The log_likelihood of {name} is exact" if of_rows else f"{name} has no p(x)"
    return replace(found, notes=(*found.notes, f"annealed_log_likelihood: none. {why}."))


def _evaluate(
    estimator: Any,
    X: Any,
    y: Any,
    train: tuple[Any, Any] | None,
    effort: tuple[int, int],
    seed: int,
    binarisation: Mapping[str, Any] | None,
) -> Evaluation:
    """Measures of a model that encodes and decodes rows."""
    X = Shards(X) if is_large_map(X) else X
    measures, notes, scored = list(_reconstruction(estimator, X, given(estimator, y))), [], None
    try:
        scored, likelihoods = _likelihood(estimator, X, y, effort, seed, binarisation)
        measures += likelihoods
    except NoDensityError as error:
        deterministic = getattr(estimator, "model_", None) is not None and not hasattr(estimator, "log_likelihood")
        notes.append(f"log_likelihood: none. {_DETERMINISTIC if deterministic else error}")
    if y is not None:
        learned = None if train is None else _labelled(estimator, *train)
        test = _labelled(estimator, X, y)
        try:
            measures += list(_probes(learned, test))
            if given(estimator, y):
                notes.append("probe accuracies: the decoder is told y, so that codes need not tell it.")
        except ValueError as error:  # one class, too few rows, and whatever else a classifier can't learn
            notes.append(f"probe accuracies: none. {error}")
    return Evaluation(tuple(measures), tuple(notes), None if scored is None else scored.name)


def _measure(name: str, mean: Mean, unit: str, description: str) -> Measure:
    error = None if math.isnan(mean.standard_error) else mean.standard_error
    return Measure(name, mean.value, error, unit, description)


def _reconstruction(estimator: Any, X: Any, told: Mapping[str, Any]) -> Iterator[Measure]:
    error = ReconstructionError(estimator.squared_error(X, **told), estimator.n_features_in_)
    yield _measure(
        "squared_error",
        error.mean,
        "squared error per example",
        "squared difference of x and its reconstruction, summed over features",
    )
    yield _measure(
        "squared_error_per_feature",
        error.per_feature,
        "squared error per feature",
        f"the same divided by the {error.n_features} features",
    )


def _likelihood(
    estimator: Any, X: Any, y: Any, effort: tuple[int, int], seed: int, binarisation: Mapping[str, Any] | None
) -> tuple[Scored, list[Measure]]:
    """What has a likelihood, and that likelihood with all that belongs to it."""
    if getattr(estimator, "model_", None) is None:
        return what_is_scored("", None, binarisation), [_exact_likelihood(estimator.score_samples, X, _DENSITY)]
    exact = hasattr(estimator, "log_likelihood")
    seeds, seed = (), 0 if exact else seed  # the seed by which an estimator itself draws pixels
    if getattr(estimator, "parameters_", {}).get("binarisation") == "dynamic":
        # Of pixels that were black and white before, nothing is left to draw.
        seeds, binarisation = (seed,), binarisation or {"kind": "dynamic", "seed": seed}
    told = given(estimator, y)
    blocks = _Blocks(estimator, X, seeds, estimator.to_condition(y, len(X)) if told else None)
    scored = what_is_scored(getattr(estimator, "likelihood_", ""), _grey(blocks), binarisation, bool(told))
    n_importance_samples, n_temperatures = effort
    if exact:
        annealed = measures_of_machine(estimator, X, n_temperatures)
        try:
            what = f"log p(x), exact; {scored.description}"
            return scored, [_exact_likelihood(estimator.log_likelihood, X, what), *annealed]
        except NoDensityError:
            if not annealed:
                raise
            return scored, annealed
    n_weighted = n_importance_samples or getattr(estimator, "default_importance_samples", 0)
    measures = list(_bounds(estimator, blocks, n_weighted, seed, scored.description))
    if n_temperatures:
        measures += measures_of_decoder(estimator, blocks, len(X), n_temperatures, n_importance_samples, seed)
    if estimator.model_.encoder is not None:
        active = active_units(estimator.transform(X, **told))
        description = f"of {len(active)}, those whose posterior mean varies with x (variance above 0.01)"
        measures.append(Measure("active_units", int(active.sum()), None, "units", description))
    return scored, measures


@dataclass(frozen=True)
class _Blocks:
    """Rows in the model's units, and their conditions: all at once, or of shards some at a time."""

    estimator: Any
    X: Any
    seeds: tuple[int, ...]
    condition: Tensor | None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        start = 0
        for rows in self.X.blocks(BLOCK_ROWS) if isinstance(self.X, Shards) else [self.X]:
            x = self.estimator.to_tensor(rows, *self.seeds)
            yield x, None if self.condition is None else self.condition[start : start + len(x)]
            start += len(x)


def _grey(blocks: Iterable[tuple[Tensor, Tensor | None]]) -> Tensor | None:
    """Rows with values between 0 and 1 if there are any, else some others."""
    x = None
    for x, _ in blocks:
        if bool(((x != 0) & (x != 1)).any()):
            break
    return x


def _together(parts: Iterable[Any]) -> Any:
    """Results of blocks, each a tuple of tensors, as those of all rows."""
    first, *others = parts
    return type(first)(*map(torch.cat, zip(first, *others, strict=True))) if others else first


def _exact_likelihood(log_likelihood: Callable[[Any], np.ndarray], X: Any, description: str) -> Measure:
    """A model whose likelihood is known, such as PCA or a small Boltzmann machine."""
    try:
        log_density = log_likelihood(X)
    except ValueError as error:  # X itself was accepted before: there is no such density
        raise NoDensityError(str(error)) from error
    return _measure("log_likelihood", Mean.of(log_density), "nats", description)


def _bounds(estimator: Any, blocks: _Blocks, n_importance_samples: int, seed: int, what: str) -> Iterator[Measure]:
    """Bound, its parts, importance sampling: computed in the model's units, told in those of the data."""
    model, kind = estimator.model_, getattr(estimator, "likelihood_", "")
    p = "p(x)" if blocks.condition is None else "p(x|y)"
    shift = estimator.n_features_in_ * estimator.log_scale_
    parts = _together(bound(model, x, condition=condition, seed=seed) for x, condition in blocks)
    best, source = Mean.of(parts.bound - shift), "the bound"
    yield _measure("bound", best, "nats", f"lower bound on log {p} = -distortion - rate; {what}")
    yield _measure("distortion", Mean.of(parts.distortion + shift), "nats", "-E_q[log p(x|z)], what the code misses")
    yield _measure("rate", Mean.of(parts.rate), "nats", "KL(q(z|x) || p(z)), what the code holds")
    if n_importance_samples:
        estimate = _together(
            importance_log_likelihood(model, x, n_importance_samples, condition=condition, seed=seed)
            for x, condition in blocks
        )
        best, source = Mean.of(estimate.log_likelihood - shift), "log_likelihood"
        samples = f"{n_importance_samples} importance samples"
        yield _measure("log_likelihood", best, "nats", f"log {p} from {samples}, in the mean from below; {what}")
        trust = f"how many of the {samples} count; near 1, log_likelihood is too low"
        yield _measure("effective_sample_size", Mean.of(estimate.effective_sample_size), "samples", trust)
    if kind == "discretised_logistic":
        bits = -1 / (estimator.n_features_in_ * math.log(2))
        best = Mean(best.value * bits, best.standard_error * abs(bits))
        yield _measure("bits_per_dimension", best, "bits", f"length of a lossless code per value, by {source}")


Labelled = tuple[np.ndarray, np.ndarray]  # codes (n, D) and labels (n,)


def _labelled(estimator: Any, X: Any, y: Any) -> Labelled:
    codes, labels = estimator.transform(X, **given(estimator, y)), np.asarray(y)
    if len(labels) != len(codes):
        raise ValueError(f"Expected one label a row, got {len(labels)} labels and {len(codes)} rows.")
    return codes, labels


def _probes(train: Labelled | None, test: Labelled) -> Iterator[Measure]:
    from sklearn.utils.multiclass import type_of_target

    kind = type_of_target(test[1])
    if kind not in ("binary", "multiclass"):
        raise ValueError(f"They need one class label a row, and y is {kind}.")
    where = ""
    if train is None:
        # One half, drawn at random: data often come sorted by class.
        codes, labels = test
        order = np.random.RandomState(0).permutation(len(codes))
        learn, ask = order[: len(order) // 2], order[len(order) // 2 :]
        train, test = (codes[learn], labels[learn]), (codes[ask], labels[ask])
        where = "; learned from one half of X and tested on the other"
    logistic = probe_accuracy(*train, *test, kind="logistic")
    yield _measure("logistic_accuracy", logistic, "accuracy", f"of logistic regression on the codes{where}")
    neighbours = probe_accuracy(*train, *test, kind="neighbours")
    yield _measure("neighbours_accuracy", neighbours, "accuracy", f"of the 5 nearest neighbours in code space{where}")

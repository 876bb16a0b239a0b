"""`isthmus predict RUN`: the classes or clusters of data, or numbers and how sure they are, as a file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..estimators.blocks import row_blocks
from ..evaluation.clusters import has_clusters
from ..evaluation.regression import predicts_densities
from ..files import write_bytes
from .main import UsageError
from .options import RowsOptions
from .terminal import parse, print_result

__all__ = ["PredictOptions", "run"]


@dataclass(kw_only=True)
class PredictOptions(RowsOptions):
    """Write the most probable class, or cluster, of each row of some data, in their order, and how probable all are;
    of a regressor, the mean and standard deviation of each number and the interval that holds it."""

    out: Path = Path("labels.csv")
    """File to write: .csv, or .npy for labels or probabilities alone."""
    probabilities: bool = False
    """Write the probabilities of all classes or components too; in place of labels to .npy."""
    level: float = 0.9
    """Of a regressor's intervals: the probability that they hold the number."""


def run(arguments: list[str]) -> None:
    """Parse and predict."""
    options = parse(PredictOptions, arguments, "predict")
    if options.out.suffix not in (".csv", ".npy"):
        raise UsageError(f"expected --out to end in .csv or .npy, got {str(options.out)!r}")
    estimator: Any
    estimator, X, _ = options.load()
    if not hasattr(estimator, "predict"):
        raise ValueError(
            f"Expected a classifier, regressor, mixture or k-means in {options.run}, got {type(estimator).__name__}; "
            "isthmus encode writes its codes."
        )
    if not hasattr(estimator, "predict_proba") and options.probabilities:
        raise UsageError(f"expected no --probabilities for {type(estimator).__name__}, whose clusters are certain")
    if predicts_densities(estimator):
        names, numbers = _numbers(estimator, X, options.level)
        write_bytes(options.out, _table(options.out, names, numbers))
        print_result({"rows": len(numbers), "columns": names, "out": str(options.out)}, options.json)
        return
    labels, probabilities, classes = _predicted(estimator, X)
    write_bytes(options.out, _content(options, classes, labels, probabilities))
    what = "clusters" if has_clusters(estimator) else "classes"
    print_result({"rows": len(labels), what: len(classes), "out": str(options.out)}, options.json)


def _predicted(estimator: Any, X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The label of each row, the probabilities of all (of each row, or none), and the labels that there are."""
    if not hasattr(estimator, "predict_proba"):
        labels = np.concatenate([estimator.predict(block) for block in row_blocks(X)])
        return labels, np.empty((len(labels), 0)), np.arange(estimator.n_clusters)
    probabilities = np.concatenate([estimator.predict_proba(block) for block in row_blocks(X)])
    classes = np.arange(probabilities.shape[1]) if has_clusters(estimator) else estimator.classes_
    return classes[probabilities.argmax(axis=1)], probabilities, classes


def _numbers(estimator: Any, X: Any, level: float) -> tuple[list[str], np.ndarray]:
    """Names of columns and numbers: mean, standard deviation, and both ends of the interval, of each target."""
    if not 0 < level < 1:
        raise UsageError(f"expected --level in (0, 1), got {level}")
    blocks = [
        np.stack([*estimator.predict(block, return_std=True), *estimator.predict_interval(block, level)], axis=-1)
        for block in row_blocks(X)
    ]
    numbers = np.concatenate(blocks)
    names = ["mean", "sd", "low", "high"]
    if numbers.ndim == 3:
        names = [f"{name}_{i}" for i in range(numbers.shape[1]) for name in names]
    return names, numbers.reshape(len(numbers), -1)


def _table(out: Path, names: list[str], numbers: np.ndarray) -> bytes:
    """Columns of numbers as the file holds them."""
    if out.suffix == ".npy":
        file = io.BytesIO()
        np.save(file, numbers, allow_pickle=False)
        return file.getvalue()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{value:.8g}" for value in row] for row in numbers.tolist())
    return text.getvalue().encode()


def _content(options: PredictOptions, classes: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> bytes:
    """What the file holds."""
    if options.out.suffix == ".npy":
        file = io.BytesIO()
        # Text as such: objects would be pickled.
        np.save(file, probabilities if options.probabilities else np.array(labels.tolist()), allow_pickle=False)
        return file.getvalue()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", *(f"p({label})" for label in classes.tolist())] if options.probabilities else ["label"])
    for label, row in zip(labels.tolist(), probabilities, strict=True):
        writer.writerow([label, *(f"{p:.6g}" for p in row)] if options.probabilities else [label])
    return text.getvalue().encode()

"""`isthmus predict RUN`: the classes of data, as a file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..estimators.blocks import row_blocks
from ..files import write_bytes
from .main import UsageError
from .options import RowsOptions
from .terminal import parse, print_result

__all__ = ["PredictOptions", "run"]


@dataclass(kw_only=True)
class PredictOptions(RowsOptions):
    """Write the most probable class of each row of some data, in their order, and how probable all classes are."""

    out: Path = Path("labels.csv")
    """File to write: .csv, or .npy for labels or probabilities alone."""
    probabilities: bool = False
    """Write the probabilities of all classes too; in place of labels to .npy."""


def run(arguments: list[str]) -> None:
    """Parse and predict."""
    options = parse(PredictOptions, arguments, "predict")
    if options.out.suffix not in (".csv", ".npy"):
        raise UsageError(f"expected --out to end in .csv or .npy, got {str(options.out)!r}")
    estimator: Any
    estimator, X, _ = options.load()
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"Expected a classifier in {options.run}, got {type(estimator).__name__}; isthmus encode writes its codes."
        )
    probabilities = np.concatenate([estimator.predict_proba(block) for block in row_blocks(X)])
    labels = estimator.classes_[probabilities.argmax(axis=1)]
    write_bytes(options.out, _content(options, estimator.classes_, labels, probabilities))
    print_result({"rows": len(labels), "classes": len(estimator.classes_), "out": str(options.out)}, options.json)


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

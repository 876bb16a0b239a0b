"""`isthmus impute RUN`: data with their missing values filled in, as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data import DataSet
from ..data.table_preparation import Preparation
from ..estimators.blocks import row_blocks
from .data_options import filled_part, own_units, recorded_preparation
from .options import RowsOptions
from .rows import write_rows
from .terminal import parse, print_result

__all__ = ["ImputeOptions", "run"]


@dataclass(kw_only=True)
class ImputeOptions(RowsOptions):
    """Fill the missing values of data with what a trained model expects there, given the values that are known.

    Missing are empty cells of a table, and NaN in .npy. Columns are in the units and the order of the training data.
    """

    as_written: ClassVar[bool] = True
    out: Path = Path("filled.csv")
    """File to write: .npy, .npz or .csv."""


def run(arguments: list[str]) -> None:
    """Parse and fill."""
    options = parse(ImputeOptions, arguments, "impute")
    estimator: Any
    estimator, data = options.load_whole()
    if not hasattr(estimator, "impute"):
        raise ValueError(
            f"Expected a model that fills missing values in {options.run}, got {type(estimator).__name__}; train a "
            "gaussian-mixture, or a bernoulli-mixture of binary data."
        )
    X, _ = filled_part(data, options.part)
    to_model = _to_model(options.run, data)
    n_missing = 0

    def filled() -> Iterator[tuple[np.ndarray, list[str] | None]]:
        nonlocal n_missing
        for block in row_blocks(X):
            missing = np.isnan(block) if block.dtype.kind == "f" else np.zeros(block.shape, bool)
            n_missing += int(missing.sum())
            rows, names = own_units(options.run, estimator.impute(block if to_model is None else to_model(block)))
            given = own_units(options.run, block)[0] if to_model is None else block
            yield np.where(missing, rows.astype(given.dtype, copy=False), given), names  # what is known, as it was read

    blocks = filled()
    first, names = next(blocks)
    write_rows(options.out, chain([first], (rows for rows, _ in blocks)), len(X), "feature", names)
    print_result({"rows": len(X), "values_filled": n_missing, "out": str(options.out)}, options.json)


def _to_model(run: Path, data: DataSet) -> Callable[[np.ndarray], np.ndarray] | None:
    """From rows of a table as they are written to what the model knows; None where they are that already."""
    record = recorded_preparation(run)
    if record is None or record.get("kind") != "table" or (data.preparation or {}).get("scales", True):
        return None
    return Preparation.from_dict(record).standardised

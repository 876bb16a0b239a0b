"""`isthmus reconstruct RUN`: data through the code and back, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..estimators.blocks import row_blocks, told_blocks
from .data_options import own_units
from .options import RowsOptions
from .rows import write_rows
from .terminal import parse, print_result

__all__ = ["ReconstructOptions", "run"]


@dataclass(kw_only=True)
class ReconstructOptions(RowsOptions):
    """Encode data, decode them again, write the result in the units and the order of the data."""

    decodes: ClassVar[bool] = True
    out: Path = Path("reconstructions.npy")
    """File to write: .npy, .npz or .csv."""


def run(arguments: list[str]) -> None:
    """Parse and reconstruct."""
    options = parse(ReconstructOptions, arguments, "reconstruct")
    estimator, X, told = options.load()
    blocks = told_blocks(row_blocks(X), told)
    rebuilt = (own_units(options.run, estimator.reconstruct(block, **beside)) for block, beside in blocks)
    first, names = next(rebuilt)
    write_rows(options.out, chain([first], (rows for rows, _ in rebuilt)), len(X), "feature", names)
    error = float(np.mean(estimator.squared_error(X, **told)))
    print_result({"rows": len(X), "squared_error": round(error, 6), "out": str(options.out)}, options.json)

"""`isthmus reconstruct RUN`: data through the code and back, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data_options import own_units
from .options import RowsOptions, parse, print_result, write_array

__all__ = ["ReconstructOptions", "run"]


@dataclass(kw_only=True)
class ReconstructOptions(RowsOptions):
    """Encode data, decode them again, write the result in the units and the order of the data."""

    out: Path = Path("reconstructions.npy")
    """File to write: .npy, .npz or .csv."""


def run(arguments: list[str]) -> None:
    """Parse and reconstruct."""
    options = parse(ReconstructOptions, arguments, "reconstruct")
    estimator, X = options.load()
    rows, names = own_units(options.run, estimator.reconstruct(X))
    write_array(options.out, rows, "feature", names)
    error = float(np.mean(estimator.squared_error(X)))
    print_result({"rows": len(X), "squared_error": round(error, 6), "out": str(options.out)}, options.json)

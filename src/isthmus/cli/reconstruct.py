"""`isthmus reconstruct RUN`: data through the code and back, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from .options import load_run, parse, print_result, run_data, write_array

__all__ = ["ReconstructOptions", "run"]


@dataclass
class ReconstructOptions:
    """Encode data, decode them again, write the result in the units and the order of the data."""

    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    data: str | None = None
    """File or named set; the run's own data if not given."""
    label: str | None = None
    """Column of a .csv file that is a label and no feature."""
    part: Literal["all", "train", "test"] = "all"
    """Part of the data; "all" keeps a file's order."""
    out: Path = Path("reconstructions.npy")
    """File to write: .npy, .npz or .csv."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and reconstruct."""
    options = parse(ReconstructOptions, arguments, "reconstruct")
    estimator = load_run(options.run)
    X, _ = run_data(options.run, options.data, options.label, split=options.part != "all").part(options.part)
    write_array(options.out, estimator.reconstruct(X), "feature")
    error = float(np.mean(estimator.squared_error(X)))
    print_result({"rows": len(X), "squared_error": round(error, 6), "out": str(options.out)}, options.json)

"""`isthmus encode RUN`: the codes of data, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .options import load_run, parse, print_result, run_data, write_array

__all__ = ["EncodeOptions", "run"]


@dataclass
class EncodeOptions:
    """Write the codes of data, one row for each row, in their order."""

    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    data: str | None = None
    """File or named set; the run's own data if not given."""
    label: str | None = None
    """Column of a .csv file that is a label and no feature."""
    part: Literal["all", "train", "test"] = "all"
    """Part of the data; "all" keeps a file's order."""
    out: Path = Path("codes.npy")
    """File to write: .npy, .npz or .csv."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and encode."""
    options = parse(EncodeOptions, arguments, "encode")
    estimator = load_run(options.run)
    X, _ = run_data(options.run, options.data, options.label, split=options.part != "all").part(options.part)
    codes = estimator.transform(X)
    write_array(options.out, codes, "code")
    print_result({"rows": len(codes), "components": codes.shape[1], "out": str(options.out)}, options.json)

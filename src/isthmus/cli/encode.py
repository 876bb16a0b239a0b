"""`isthmus encode RUN`: the codes of data, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .options import RowsOptions, parse, print_result, write_array

__all__ = ["EncodeOptions", "run"]


@dataclass(kw_only=True)
class EncodeOptions(RowsOptions):
    """Write the codes of data, one row for each row, in their order."""

    out: Path = Path("codes.npy")
    """File to write: .npy, .npz or .csv."""


def run(arguments: list[str]) -> None:
    """Parse and encode."""
    options = parse(EncodeOptions, arguments, "encode")
    estimator, X = options.load()
    codes = estimator.transform(X)
    write_array(options.out, codes, "code")
    print_result({"rows": len(codes), "components": codes.shape[1], "out": str(options.out)}, options.json)

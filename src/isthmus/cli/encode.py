"""`isthmus encode RUN`: the codes of data, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..estimators.blocks import row_blocks
from .options import RowsOptions
from .rows import write_rows
from .terminal import parse, print_result

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
    codes = (estimator.transform(block) for block in row_blocks(X))
    n_rows, n_components = write_rows(options.out, codes, len(X), "code")
    print_result({"rows": n_rows, "components": n_components, "out": str(options.out)}, options.json)

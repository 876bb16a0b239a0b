"""`isthmus decode RUN CODES`: rows from codes, compressed or plain, as a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from ..coding.codes import check_model, decoded_blocks
from ..coding.container import MAGIC, open_codes
from ..data import load_data
from ..estimators.blocks import row_blocks
from .data_options import own_units
from .main import UsageError
from .options import RowsOptions, load_run
from .rows import write_rows
from .terminal import parse, print_result

__all__ = ["DecodeOptions", "run"]


@dataclass(kw_only=True)
class DecodeOptions(RowsOptions):
    """Decode codes, and write the rows in the units of the data.

    A conditional model decodes with labels, which are not in the codes: --data and --part name the rows that were
    encoded. Other models need no data.
    """

    codes: tyro.conf.Positional[Path]
    """What `isthmus encode` wrote: .isth, .npy, .npz or .csv."""
    out: Path = Path("decoded.npy")
    """File to write: .npy, .npz or .csv."""


def run(arguments: list[str]) -> None:
    """Parse and decode."""
    options = parse(DecodeOptions, arguments, "decode")
    if options.out.exists() and options.codes.exists() and options.out.samefile(options.codes):
        raise UsageError(f"--out {options.out} is the file that the codes are read from; use another")
    estimator, told = load_run(options.run, decodes=True), {}
    if estimator.conditional:
        estimator, _, told = options.load()
    n_rows, codes = _codes(options.codes, estimator)
    if told and {len(values) for values in told.values()} != {n_rows}:
        raise ValueError(f"Expected data of the {n_rows:,} rows of {options.codes}, got others; use --data or --part.")
    decoded = (own_units(options.run, rows) for rows in decoded_blocks(estimator, codes, told))
    first, names = next(decoded)
    write_rows(options.out, chain([first], (rows for rows, _ in decoded)), n_rows, "feature", names)
    print_result({"rows": n_rows, "out": str(options.out)}, options.json)


def _codes(path: Path, estimator: Any) -> tuple[int, Iterable[np.ndarray]]:
    """How many codes a file holds, and these in blocks.

    Raises:
        ValueError: missing, damaged or foreign; or compressed codes of another model.
    """
    if not path.is_file():
        raise ValueError(f"Expected a file of codes at {path}, got none; isthmus encode writes one.")
    with path.open("rb") as file:
        compressed = file.read(len(MAGIC)) == MAGIC
    if compressed or path.suffix == ".isth":
        opened = open_codes(path)
        check_model(opened, estimator)
        return opened.n_rows, opened.blocks()
    codes = load_data(str(path), seed=None).part("all")[0]
    return len(codes), row_blocks(codes)

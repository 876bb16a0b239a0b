"""`isthmus encode RUN`: the codes of data, as a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..coding.codes import code_blocks, write_codes
from ..coding.quantiser import MOST_BITS
from .main import UsageError
from .options import RowsOptions, load_run
from .rows import write_rows
from .terminal import parse, print_result

__all__ = ["EncodeOptions", "run"]


@dataclass(kw_only=True)
class EncodeOptions(RowsOptions):
    """Write the codes of data, one row for each row, in their order; with --bits, as compressed data."""

    bits: int | None = None
    """Quantise each dimension of the code to so many bits, 1 to 16, and entropy-code them; 6 to 8 are usually enough.
    isthmus decode makes rows of them again."""
    ranges: Literal["each", "shared"] = "each"
    """With --bits: whether each dimension has a step of its own or they share one, as suits PCA."""
    out: Path | None = None
    """File to write: .npy, .npz or .csv; with --bits, .isth. codes.npy or codes.isth if not given."""


def run(arguments: list[str]) -> None:
    """Parse and encode."""
    options = parse(EncodeOptions, arguments, "encode")
    bits, out = options.bits, options.out or Path("codes.npy" if options.bits is None else "codes.isth")
    if bits is not None and not 1 <= bits <= MOST_BITS:
        raise UsageError(f"expected --bits from 1 to {MOST_BITS}, got {bits}")
    if (out.suffix == ".isth") != (bits is not None):
        fix = "--bits 8, or so, for .isth" if bits is None else "--out to end in .isth with --bits"
        raise UsageError(f"expected {fix}, got {str(out)!r}")
    options.out = out
    if bits is not None:
        load_run(options.run, decodes=True)  # else nothing could make rows of the file again
    estimator, X, told = options.load()
    if bits is None:
        n_rows, n_components = write_rows(out, code_blocks(estimator, X, told), len(X), "code")
        result = {"rows": n_rows, "components": n_components}
    else:
        n_rows, n_bytes = write_codes(out, estimator, X, bits, ranges=options.ranges, **told)
        per_feature = 8 * n_bytes / (n_rows * math.prod(X.shape[1:]))
        result = {"rows": n_rows, "bytes": n_bytes, "bits_per_feature": round(per_feature, 4)}
    print_result({**result, "out": str(out)}, options.json)

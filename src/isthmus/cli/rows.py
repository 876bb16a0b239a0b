"""Files of rows, written block by block: memory does not grow with them."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from ..files import replacing
from .main import UsageError

__all__ = ["write_rows"]


def write_rows(
    path: Path, blocks: Iterable[np.ndarray], n_rows: int, column: str, names: list[str] | None = None
) -> tuple[int, ...]:
    """Write rows as .npy, .npz (member x) or .csv (with these names, or named after `column`), whole or not at all.

    Args:
        path: of the file; its ending says the format.
        blocks: the rows, some at a time.
        n_rows: how many there are in all.
        column: what a column is called, before its number.
        names: of all columns.

    Returns:
        The shape of what was written.

    Raises:
        UsageError: another ending.
    """
    if path.suffix not in (".npy", ".npz", ".csv"):
        raise UsageError(f"expected --out to end in .npy, .npz or .csv, got {str(path)!r}")
    blocks = iter(blocks)
    first = next(blocks)
    shape = (n_rows, *first.shape[1:])
    with replacing(path) as file, _member(file, path.suffix) as target:
        if path.suffix == ".csv":
            _write_names(target, names or [f"{column}{i}" for i in range(first[0].size)])
        else:
            header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(target, header)
        for block in chain([first], blocks):
            if path.suffix == ".csv":
                for row in block.reshape(len(block), -1):
                    target.write((",".join(map(_number, row)) + "\n").encode())
            else:
                target.write(np.ascontiguousarray(block).data)
    return shape


@contextmanager
def _member(file: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    """Where rows go: the file itself, or the one member of an archive."""
    if suffix != ".npz":
        yield file
        return
    with zipfile.ZipFile(file, "w") as archive, archive.open("x.npy", "w", force_zip64=True) as member:
        yield member


def _number(value: np.generic) -> str:
    """The fewest digits that are read as this number again."""
    text = str(value)
    return text[:-2] if text.endswith(".0") else text


def _write_names(file: IO[bytes], names: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    file.write(text.getvalue().encode())

"""`isthmus data convert DATA --out FOLDER`: tables and images as .npy files, for data larger than memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..data.convert import convert_images, convert_table
from ..data.table_read import TABLES
from .data_options import READING, ReadingOptions, recorded_preparation
from .main import UsageError
from .terminal import parse, print_result, say

__all__ = ["ConvertOptions", "run"]


@dataclass(kw_only=True)
class ConvertOptions(ReadingOptions):
    """Write a table or a folder of images as a folder of .npy files, in constant memory, to train on afterwards."""

    data: tyro.conf.Positional[str] = dataclasses.field()
    """A .csv, .tsv or .parquet file, or a folder of images."""
    out: Path
    """Folder to write; it must not be there yet."""
    like: Path | None = None
    """A run, or a folder written before: columns get its means and values, images its size and colours."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and convert."""
    options = parse(ConvertOptions, arguments, "data convert")
    source, keywords = Path(options.data).expanduser(), options.changed(READING)
    convert, fits = (convert_images, IMAGES) if source.is_dir() else (convert_table, COLUMNS)
    if not source.is_dir() and (not source.is_file() or source.suffix.lower() not in TABLES):
        raise UsageError(f"expected a {', '.join(TABLES)} file or a folder of images, got {options.data}")
    if wrong := [name for name in keywords if name not in fits]:
        kind = "a folder of images" if source.is_dir() else "a table"
        raise UsageError(f"expected no --{wrong[0]} for {kind}; leave it out")
    if options.like is not None:
        keywords["preparation"] = recorded_preparation(options.like)
        if keywords["preparation"] is None:
            raise UsageError(f"{options.like} does not say how its rows became features; leave --like out")
    note = convert(source, options.out, progress=lambda n: say(f"{n:,} rows written"), **keywords)
    result = {"rows": note["rows"], "shape": note["shape"], "dtype": note["dtype"], "out": str(options.out)}
    print_result(result, options.json)


COLUMNS = ("label", "drop", "text", "missing", "standardise")
"""Options for tables."""

IMAGES = ("size", "fit", "colour", "bad")
"""Options for images."""

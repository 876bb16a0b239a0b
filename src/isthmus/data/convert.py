"""Tables and folders of images as folders of .npy files, piece by piece: for data larger than memory."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..files import FORMAT, TEMPORARY, may_write, write_bytes, write_json
from .images import Bad, ImageFolder
from .images_decode import Colour, Fit
from .table import Table, is_text, joined, text_column
from .table_preparation import Missing, Preparation, label_values, learn
from .table_read import Text, choose, complete_rows, labelled, matched, missing_message, open_table, words
from .validation import check_examples, check_labels

__all__ = ["SHARD_BYTES", "convert_images", "convert_table", "write_shards"]

SHARD_BYTES = 2**26
"""Size of a file, about."""

Progress = Callable[[int], None]
"""Is told how many rows are written."""


def convert_table(
    source: Path,
    out: Path,
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    text: Text = "error",
    missing: Missing = "error",
    standardise: bool = False,
    preparation: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a `.csv` or `.parquet` table as a folder of .npy files, in memory that does not grow with the table.

    The options are those of `read_table`; means and values of text are learnt from all rows, as none are set apart.

    Args:
        source: the file.
        out: folder to write, whole or not at all; it must not be there yet. Labels go to `labels/labels.npy` in it,
            how the rows were made to `conversion.json`.
        label: as in `read_table`, like all below.
        drop: likewise.
        text: likewise.
        missing: likewise.
        standardise: likewise.
        preparation: likewise.
        progress: is told how many rows are written.

    Returns:
        What `conversion.json` says: rows, shape of one, dtype, names of features, preparation.

    Raises:
        ValueError: as `read_table` does, or `out` is there.
    """
    table = open_table(source)
    if preparation is None:
        plan = choose(table, label, drop, text, missing)
    else:
        plan = matched(table, Preparation.from_dict(preparation), label)
    names = [*plan.columns, *([] if plan.label is None else [plan.label])]
    as_text = {*plan.categories, *([] if plan.label is None else [plan.label])}
    counts: dict[str, int] = {}

    def pieces() -> Iterator[Table]:
        for piece in table.pieces(names, as_text):
            for name, n in plan.missing_by_column(piece).items():
                counts[name] = counts.get(name, 0) + n
            if len(kept := complete_rows(plan, piece)):
                yield kept

    if preparation is None:
        learnt = learn(plan, pieces(), standardise=standardise)
        if counts and missing == "error":
            raise ValueError(missing_message(counts, table.title, new=True))
        plan = learnt
    labels: list[Table] = []
    keep = plan.missing == "keep"
    once: dict[str | None, str | None] = {}  # equal labels as one object: all of them stay in memory
    with _Writer(out, progress) as writer:
        for piece in pieces():
            if counts and plan.missing == "error":
                raise ValueError(missing_message(counts, table.title, new=False))
            writer.add(check_examples(plan.features(piece), table.title, plan.feature_names, missing=keep))
            if plan.label is not None:
                column = piece[plan.label]
                if is_text(column):
                    column = text_column([once.setdefault(cell, cell) for cell in column])
                labels.append(Table((plan.label,), (column,)))
        y = label_values(joined(labels).columns[0], table.title) if labels else None
        description = "; ".join([f"Read from {table.title}", *labelled(plan), *words(plan)])
        names_of = {"feature_names": list(plan.feature_names), "preparation": plan.to_dict()}
        return writer.finish(y, {"description": description} | names_of)


def convert_images(
    source: Path,
    out: Path,
    *,
    size: int | Sequence[int] | None = None,
    fit: Fit = "error",
    colour: Colour | None = None,
    bad: Bad = "error",
    preparation: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a folder of images as a folder of .npy files, in memory that does not grow with their number.

    Args:
        source: as in `read_images`, without parts of its own.
        out: as in `convert_table`.
        size: as in `read_images`, like all below.
        fit: likewise.
        colour: likewise.
        bad: likewise.
        preparation: likewise.
        progress: is told how many images are written.

    Returns:
        What `conversion.json` says: rows, shape of one, dtype, and how the images were read.

    Raises:
        ValueError: as `read_images` does, or `out` is there.
    """
    images = ImageFolder(source, size=size, fit=fit, colour=colour, bad=bad, preparation=preparation)
    if "" not in (parts := images.parts(range(len(images)))):
        raise ValueError(f"Expected one set of images in {source}, got {' and '.join(parts)}; convert each by itself.")
    kept: list[int] = []
    with _Writer(out, progress) as writer:
        for rows, block in images.blocks():
            writer.add(block)
            kept += rows
        _, y = images.parts(kept)[""]
        return writer.finish(y, {"description": images.description(), "preparation": images.record()})


def write_shards(blocks: Iterable[np.ndarray], out: str | Path, labels: ArrayLike | None = None) -> dict[str, Any]:
    """Write rows that come some at a time as a folder of .npy files, for `load_data` and `Shards`.

    Args:
        blocks: arrays (k, d), (k, h, w) or (k, c, h, w) of one dtype and shape but for k.
        out: folder to write, whole or not at all; it must not be there yet.
        labels: of all rows, (n,), an array or a list.

    Returns:
        What `conversion.json` says: rows, shape of one, dtype.

    Raises:
        ValueError: blocks of unlike shapes, numbers that are not finite, no rows, or `out` is there.

    Example:
        >>> import tempfile
        >>> from isthmus.data import load_data
        >>> folder = Path(tempfile.mkdtemp()) / "squares"
        >>> write_shards((np.full((2, 3), i * i) for i in range(5)), folder)["rows"]
        10
        >>> load_data(folder, seed=None).x_train[-1]
        array([16., 16., 16.])
    """
    with _Writer(Path(out), None) as writer:
        n_rows = 0
        for block in blocks:
            writer.add(check_examples(np.asarray(block), f"the rows for {out}"))
            n_rows += len(block)
        y = None if labels is None or not n_rows else check_labels(np.asarray(labels), n_rows, str(out))
        return writer.finish(y, {})


class _Writer:
    """Rows into files of some size, in a folder that appears when all are there.

    Of several processes that convert together, one writes.
    """

    def __init__(self, out: Path, progress: Progress | None):
        self._writes = may_write()
        if self._writes and out.exists():
            raise ValueError(f"Expected a new folder to write, got {out}, which is there; use another --out.")
        self.out, self._progress = out, progress
        self._folder = out.with_name(f".{out.name}{TEMPORARY}")
        self._rows: list[np.ndarray] = []
        self._n_files = self._n_rows = self._n_bytes = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = ""

    def __enter__(self) -> _Writer:
        if self._writes:
            shutil.rmtree(self._folder, ignore_errors=True)  # of a conversion that was killed
            self._folder.mkdir(parents=True)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None and self._writes:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, x: np.ndarray) -> None:
        """Some rows."""
        if self._n_rows and (x.shape[1:] != self._shape or x.dtype.name != self._dtype):
            raise ValueError(
                f"Expected rows of shape {self._shape} and {self._dtype}, as before, got {x.shape[1:]} and {x.dtype}."
            )
        self._rows.append(x)
        self._shape, self._dtype = x.shape[1:], x.dtype.name
        self._n_rows += len(x)
        self._n_bytes += x.nbytes
        if self._n_bytes >= SHARD_BYTES:
            self._flush()

    def finish(self, y: np.ndarray | None, note: dict[str, Any]) -> dict[str, Any]:
        """The last rows, the labels, and a note; returns the note."""
        self._flush()
        if not self._n_rows:
            raise ValueError(f"Expected rows to write to {self.out}, got none.")
        if y is not None:
            self._write("labels/labels.npy", y)
        note = {"format": FORMAT, "rows": self._n_rows, "shape": list(self._shape), "dtype": self._dtype} | note
        write_json(self._folder / "conversion.json", note)
        if self._writes:
            self._folder.rename(self.out)
        return note

    def _flush(self) -> None:
        if self._rows:
            self._write(f"{self._n_files:06}.npy", np.concatenate(self._rows))
            self._n_files += 1
            self._rows, self._n_bytes = [], 0
            if self._progress is not None:
                self._progress(self._n_rows)

    def _write(self, name: str, array: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_bytes(self._folder / name, buffer.getvalue())

"""One door for all data: a name, a path, or what is in memory already."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import read_npy_folder
from .binarise import binarise_data
from .catalogue import CATALOGUE
from .dataset import DataSet, make_data_set
from .frames import is_frame
from .shards import Shards, is_large_map, is_shard_folder
from .split import TEST_FRACTION, VALIDATION_FRACTION, random_split, split_data
from .table import column_of
from .table_preparation import label_values
from .validation import check_labels

__all__ = ["FILES", "load_data"]

# Ending of a file's name -> the module and the function that reads it; imported when it is needed.
_READERS = {
    ".npy": ("arrays", "read_npy"),
    ".npz": ("arrays", "read_npz"),
    ".csv": ("table_read", "read_table"),
    ".tsv": ("table_read", "read_table"),
    ".parquet": ("table_read", "read_table"),
    ".gz": ("formats", "read_idx_data"),
    ".amat": ("formats", "read_amat_data"),
    ".mat": ("formats", "read_mat_data"),
}

FILES = tuple(_READERS)
"""Endings of files that can be read."""


def load_data(
    source: Any,
    *,
    label: str | None = None,
    seed: int | None = 0,
    validation_fraction: float = VALIDATION_FRACTION,
    test_fraction: float = TEST_FRACTION,
    binarise: int | None = None,
    download: bool = True,
    **options: Any,
) -> DataSet:
    """Read data, check them, and divide them into training, validation and test parts.

    A source is a name of the catalogue (`isthmus data list`), the path of a file or folder, or data in memory:

    - `.npy`: examples (n, d), (n, h, w) or (n, c, h, w), or a folder of such files, one after the other; what is larger
      than a buffer (`buffer_bytes`, 256 MB) is read when it is needed, see `isthmus.data.Shards`;
    - `.npz`: the same as `x`, `X` or `data` with labels `y` or `labels`, or in parts `x_train`, `y_train`, `x_valid`,
      `y_valid`, `x_test`, `y_test`;
    - `.csv`, `.tsv` and `.parquet`: one example a row, see `isthmus.data.table_read.read_table` for the options;
    - a folder of images, see `isthmus.data.images.read_images` for sizes, colours, labels and bad files;
    - `.gz` (idx, as of MNIST), `.amat` (numbers as text) and `.mat` (MATLAB 5): see `isthmus.data.formats`;
    - a NumPy array, a torch tensor, a pandas or polars frame, or a pair (examples, labels) of them.

    Parts that a source does not bring are drawn with `seed`; `split` of the result says which, and how.

    Args:
        source: a name, a path, or data.
        label: the column of a table that is a label and no feature: its name, or its number from 0.
        seed: of the random parts; None draws none and keeps the rows in order.
        validation_fraction: share of the examples that are not for testing to keep for validation; 0 keeps none.
        test_fraction: share of all examples to keep for testing; 0 keeps none.
        binarise: a seed for static binarisation: each grey pixel becomes black or white once and for all, white with
            its own value as probability. None leaves pixels as they are.
        download: fetch a named set that is not at hand.
        options: what the reader of this kind of source takes besides.

    Returns:
        The examples, as they are: uint8 stays uint8, nothing is centred or scaled.

    Raises:
        ValueError: an unknown name; a missing, truncated or foreign file; numbers that are not finite; an unfit shape.
        TypeError: no kind of data known here, or an option that its reader does not take.

    Example:
        >>> data = load_data("digits")
        >>> data.x_train.shape, data.x_valid.shape, data.x_test.shape, float(data.x_train.max())
        ((1294, 8, 8), (144, 8, 8), (359, 8, 8), 1.0)
        >>> load_data(np.eye(10), test_fraction=0.5, validation_fraction=0).split
        {'validation': 'none', 'test': 'random', 'seed': 0, 'test_fraction': 0.5}
    """
    seed, binarise = _checked_seed("seed", seed), _checked_seed("binarise", binarise)
    options = options | ({} if label is None else {"label": label})

    def training(n: int) -> np.ndarray:
        """Rows to learn means and the like from, where the reader does: never those for testing."""
        if seed is None:
            return np.arange(n)
        return random_split(n, seed, "the table", validation_fraction, test_fraction)[0]

    data = _read(source, options, download=download, training=training)
    if binarise is not None and isinstance(data.x_train, Shards):
        raise ValueError(
            f"Expected data that fit in a buffer to be made black and white once and for all, got {data.x_train!r}; "
            "use binarisation='dynamic' of the model."
        )
    if binarise is not None:
        data = binarise_data(data, binarise)
    return data if seed is None else split_data(data, seed, validation_fraction, test_fraction)


def _checked_seed(name: str, seed: Any) -> int | None:
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__") or operator.index(seed) < 0):
        raise ValueError(f"Expected {name} as a whole number from 0 on, or None, got {seed!r}.")
    return None if seed is None else operator.index(seed)


def _read(source: Any, options: dict[str, Any], **known: Any) -> DataSet:
    """The source as it comes: not divided, but for parts of its own."""
    if not isinstance(source, (str, Path)):
        return _in_memory(source, options, known)
    if str(source) in CATALOGUE:
        return _call(CATALOGUE[str(source)].load, f"the set {source}", options, **known)
    path = Path(source).expanduser()
    suffix = path.suffix.lower()
    if is_shard_folder(path):
        return _call(read_npy_folder, "a folder of .npy files", options, path, **known)
    if path.is_dir():
        from .images import read_images

        return _call(read_images, "a folder of images", options, path, **known)
    if suffix not in _READERS:
        raise ValueError(
            f"Expected a name ({', '.join(CATALOGUE)}), a folder of images, or a file ending in {', '.join(FILES)}, "
            f"got {str(source)!r}{_did_you_mean(str(source))}"
        )
    if not path.is_file():
        raise ValueError(f"Expected a file at {source}, got no such file; use its path, or a name of the catalogue.")
    module, function = _READERS[suffix]
    reader = getattr(import_module(f".{module}", __package__), function)
    return _call(reader, f"a {suffix} file", options, path, **known)


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, list(CATALOGUE), n=1)
    return f"; did you mean {close[0]}?" if close else "."


def _call(reader: Callable[..., DataSet], what: str, options: dict[str, Any], *given: Any, **known: Any) -> DataSet:
    """Call a reader with the options that it takes, refusing others by name, and with what it wants of the rest."""
    parameters = inspect.signature(reader).parameters.values()
    known = {p.name: known[p.name] for p in parameters if p.name in known}
    takes = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in known]
    if wrong := [name for name in options if name not in takes]:
        known_ones = f"{', '.join(takes)} only" if takes else "no such option"
        kind = ValueError if wrong == ["label"] else TypeError
        raise kind(f"Expected {known_ones} for {what}, got {', '.join(wrong)}; leave that out.")
    return reader(*given, **options, **known)


def _in_memory(source: Any, options: dict[str, Any], known: dict[str, Any]) -> DataSet:
    labels = None
    if isinstance(source, tuple) and len(source) == 2:
        source, labels = source[0], _labels(source[1])
    if is_frame(source):
        if labels is not None and "label" in options:
            raise ValueError("Expected labels apart or in a column, got both; leave one of them out.")
        from .table_read import read_table

        data = _call(read_table, "a frame", options, source, **known)
        return data if labels is None else data._replace(y_train=check_labels(labels, len(data.x_train), data.name))
    if options:
        raise ValueError(
            f"Expected no option for an array, got {', '.join(options)}; use a pair (examples, labels), or a frame."
        )
    source = Shards(source, name="the memory map") if is_large_map(source) else source
    rows = source if isinstance(source, Shards) and not source.fits_buffer else _array(source)
    return make_data_set("data", (rows, labels), description="From memory")


def _labels(values: Any) -> np.ndarray:
    """Labels as an array; a series of text holds Python objects."""
    labels = _array(values)
    if labels.dtype.kind == "O" and labels.ndim == 1:
        column = column_of(labels.tolist())
        return label_values(column, "the labels") if isinstance(column, np.ndarray) else labels
    return labels


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a torch tensor, without importing torch for it
        values = values.detach().cpu()
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, (set, dict)) or values is None or np.isscalar(values):
        raise TypeError(
            f"Expected a name, a path, an array, a frame, a tensor, or a pair of examples and labels, got "
            f"{type(values).__name__}."
        )
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            "Expected a value in every place of an array, got masked ones; use its method filled, or drop those rows."
        )
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"Expected rows of one length, got a ragged list ({error}).") from error

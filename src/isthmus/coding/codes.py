"""The codes of a model as compressed data, and rows from them again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np

from ..data.memory import check_fits
from ..estimators.blocks import block_rows, row_blocks, told_blocks
from ..files import replacing
from .container import CodesFile, open_codes, write_container
from .entropy import regrouped
from .quantiser import Ranges

__all__ = ["check_model", "code_blocks", "compress_codes", "decoded_blocks", "decompress_codes", "write_codes"]


def compress_codes(estimator: Any, X: Any, bits: int = 8, *, ranges: Ranges = "each", **told: Any) -> bytes:
    r"""Rows as the bytes of their quantised codes: lossy, and small.

    Each dimension of the code is cut into :math:`2^{bits}` steps over its range, and the steps are entropy-coded:
    the bytes are within a percent or two of :math:`-\sum_j \sum_i \log_2 p_j(\hat z_{ij})`, p_j the frequencies of
    dimension j. 6 to 8 bits usually cost next to no squared error; fewer cost more of it than fewer components do.

    Args:
        estimator: fitted, with `transform` and `inverse_transform`.
        X: rows as at fit; `Shards` are read twice, a block at a time.
        bits: 1 to 16.
        ranges: "each" dimension has its own step, or one is "shared", as suits axes that are a rotation of the data's
            (`PCA`); see `Quantiser`.
        **told: what `transform` takes beside rows, one for each: conditions= of a `ConditionalVAE`. They are not in the
            file: decoding needs them again.

    Returns:
        The file, as `write_codes` writes it.

    Raises:
        ValueError: rows of another shape or out of range, other bits, or constriction is not installed.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from isthmus import PCA
        >>> X = load_digits().data / 16
        >>> pca = PCA(n_components=8).fit(X)
        >>> data = compress_codes(pca, X, bits=6)
        >>> round(len(data), -2), X.astype(np.uint8).nbytes, decompress_codes(pca, data).shape
        (10400, 115008, (1797, 64))
    """
    file = io.BytesIO()
    write_container(file, lambda: code_blocks(estimator, X, told), bits, ranges, estimator.fingerprint())
    return file.getvalue()


def write_codes(
    path: str | os.PathLike[str], estimator: Any, X: Any, bits: int = 8, *, ranges: Ranges = "each", **told: Any
) -> tuple[int, int]:
    """Write the codes of rows as a compressed file, whole or not at all; see `compress_codes`.

    Memory does not grow with `Shards`.

    Returns:
        Rows and bytes written.

    Raises:
        ValueError: as of `compress_codes`.
        OSError: the file can't be written.
    """
    with replacing(path) as file:
        return write_container(file, lambda: code_blocks(estimator, X, told), bits, ranges, estimator.fingerprint())


def code_blocks(estimator: Any, X: Any, told: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """Codes of rows, those of shards a block at a time; `told` is what `transform` takes beside them."""
    return (np.asarray(estimator.transform(rows, **beside)) for rows, beside in told_blocks(row_blocks(X), told))


def decompress_codes(estimator: Any, source: str | os.PathLike[str] | bytes, **told: Any) -> np.ndarray:
    """Rows decoded from compressed codes.

    Args:
        estimator: the one that made the codes, or the same loaded again.
        source: file or bytes that `write_codes` or `compress_codes` made.
        **told: what `inverse_transform` takes beside codes, one for each: conditions= of a `ConditionalVAE`.

    Returns:
        Rows in the units and the shape of the data, (n, *feature_shape_).

    Raises:
        UnreadableFile: missing, truncated, altered or foreign.
        ValueError: codes of another model, or constriction is not installed.
        TooLargeError: the rows don't fit in memory.
    """
    codes = open_codes(source)
    check_model(codes, estimator)
    n_bytes = 4 * codes.n_rows * estimator.n_features_in_
    check_fits(n_bytes, f"{codes.n_rows:,} decoded rows", "use isthmus decode, which writes them to a file")
    rows, start = np.empty(0), 0
    for block in decoded_blocks(estimator, codes.blocks(), told):
        if start == 0:
            rows = np.empty((codes.n_rows, *block.shape[1:]), block.dtype)
        rows[start : start + len(block)] = block
        start += len(block)
    return rows


def decoded_blocks(estimator: Any, codes: Iterable[np.ndarray], told: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """Rows decoded from codes, a block at a time; `told` is what `inverse_transform` takes beside them."""
    blocks = regrouped(codes, repeat(block_rows(np.empty((0, estimator.n_features_in_)))))
    return (estimator.inverse_transform(block, **beside) for block, beside in told_blocks(blocks, told))


def check_model(codes: CodesFile, estimator: Any) -> None:
    """Codes mean something only to the model that made them.

    Raises:
        ValueError: another one did.
    """
    if codes.model != estimator.fingerprint():
        raise ValueError(
            f"Expected codes of this {type(estimator).__name__}, got those of another model, or of this one trained "
            "anew; use the run that encoded them."
        )

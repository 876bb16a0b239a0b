"""Readers of the sets that have a name: from the archives that were published, or from NumPy's."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import read_array, read_members
from .dataset import DataSet, Labelled, make_data_set
from .formats import read_amat, read_bytes, read_idx, read_mat

__all__ = ["binarized_mnist", "digits", "fashion_mnist", "frey_faces", "mnist", "old_faithful", "omniglot"]


def digits(paths: Sequence[Path]) -> DataSet:
    """Handwritten digits (n, 8, 8) in [0, 1]; part of scikit-learn, so always there."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = (bunch.images / 16).astype(np.float32)  # counts 0..16 of set pixels in 4 x 4 blocks
    return make_data_set("digits", (images, bunch.target), description="Handwritten digits from scikit-learn")


def mnist(paths: Sequence[Path]) -> DataSet:
    """Handwritten digits (n, 28, 28), uint8, from the four idx files or from `mnist.npz`."""
    return make_data_set("mnist", *_idx_or_npz(paths), description="MNIST, handwritten digits (LeCun, Cortes, Burges)")


def fashion_mnist(paths: Sequence[Path]) -> DataSet:
    """Pictures of clothes (n, 28, 28), uint8, likewise."""
    text = "Fashion-MNIST, pictures of clothes (Xiao, Rasul, Vollgraf)"
    return make_data_set("fashion-mnist", *_idx_or_npz(paths), description=text)


def _idx_or_npz(paths: Sequence[Path]) -> tuple[Labelled, Labelled]:
    if len(paths) == 1:
        x_train, y_train, x_test, y_test = _members(paths[0], "x_train", "y_train", "x_test", "y_test")
    else:
        x_train, y_train, x_test, y_test = map(read_idx, paths)
    return (x_train, y_train), (x_test, y_test)


def _members(path: Path, *names: str) -> list[np.ndarray]:
    members = read_members(path)
    if missing := [name for name in names if name not in members]:
        raise ValueError(f"Expected members {', '.join(missing)} in {path}, got {', '.join(members) or 'none'}.")
    return [members[name] for name in names]


def binarized_mnist(paths: Sequence[Path]) -> DataSet:
    """MNIST in black and white (n, 28, 28), uint8 of 0 and 255, from the three amat files or `binarized_mnist.npz`."""
    if len(paths) == 1:
        bits = [np.unpackbits(packed, axis=1) for packed in _packed(paths[0])]
    else:
        bits = [_black_or_white(read_amat(path), path) for path in paths]
    train, valid, test = ((255 * _images(part, paths[0]), None) for part in bits)
    text = "MNIST in black and white (Salakhutdinov, Murray; Larochelle)"
    by = {"kind": "static", "seed": None, "by": "as published by Larochelle"}
    return make_data_set("binarized-mnist", train, test, valid=valid, description=text, binarisation=by)


def _packed(path: Path) -> list[np.ndarray]:
    parts = _members(path, "train", "valid", "test")
    if any(part.dtype != np.uint8 or part.ndim != 2 for part in parts):
        raise ValueError(f"Expected packed bits, uint8 (n, 98), in {path}, got {parts[0].dtype} {parts[0].shape}.")
    return parts


def _black_or_white(pixels: np.ndarray, path: Path) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise ValueError(f"Expected only 0 and 1 in {path}, got other numbers.")
    return pixels


def _images(rows: np.ndarray, path: Path, side: int = 28) -> np.ndarray:
    if rows.ndim != 2 or rows.shape[1] != side * side:
        raise ValueError(f"Expected rows of {side * side} pixels in {path}, got shape {rows.shape}.")
    return rows.reshape(-1, side, side)


def frey_faces(paths: Sequence[Path]) -> DataSet:
    """Frames of a face (1965, 28, 20), uint8, from `frey_rawface.mat` or `frey_faces.npz`."""
    if paths[0].suffix == ".npz":
        (x,) = _members(paths[0], "x")
    else:
        columns = _matrix(paths[0], "ff", 560)
        if columns.min() < 0 or columns.max() > 255:
            raise ValueError(f"Expected grey levels 0..255 in {paths[0]}, got others.")
        x = np.ascontiguousarray(columns.T).reshape(-1, 28, 20).astype(np.uint8)
    return make_data_set("frey-faces", (x, None), description="Frey faces, frames of a film (Frey, through Roweis)")


def omniglot(paths: Sequence[Path]) -> DataSet:
    """Characters of 50 alphabets (n, 28, 28), in Burda's split, from `chardata.mat` or `omniglot.npz`.

    Labels number the character within its alphabet.
    """
    path = paths[0]
    if path.suffix == ".npz":
        x_train, y_train, x_test, y_test = _members(path, "x_train", "char_train", "x_test", "char_test")
    else:
        members = read_mat(path)
        x_train, x_test = (
            # MATLAB's pixels run down the columns of an image; examples are columns of the matrix.
            _images(_matrix(path, name, 784).T, path).transpose(0, 2, 1).astype(np.float32)
            for name in ("data", "testdata")
        )
        y_train, y_test = (
            members[name].ravel().astype(np.int64) if name in members else None
            for name in ("targetchar", "testtargetchar")
        )
    text = "Omniglot, characters of 50 alphabets at 28 x 28 (Lake; Burda, Grosse, Salakhutdinov)"
    return make_data_set("omniglot", (x_train, y_train), (x_test, y_test), description=text)


def _matrix(path: Path, name: str, n_rows: int) -> np.ndarray:
    """One matrix of a MATLAB file, of so many rows."""
    arrays = read_mat(path)
    if name not in arrays or arrays[name].ndim != 2 or len(arrays[name]) != n_rows:
        found = ", ".join(f"{other} {array.shape}" for other, array in arrays.items()) or "none"
        raise ValueError(f"Expected a matrix {name} with {n_rows} rows in {path}, got {found}.")
    return arrays[name]


def old_faithful(paths: Sequence[Path]) -> DataSet:
    """Eruptions of a geyser (272, 2): how long, and how long until the next; from `faithful.csv` or its `.npy`."""
    x = read_array(paths[0]) if paths[0].suffix == ".npy" else _eruptions(paths[0])
    text = "Old Faithful, eruptions of a geyser in minutes (Azzalini, Bowman; Haerdle)"
    return make_data_set("old-faithful", (x, None), description=text, feature_names=("eruption", "waiting"))


def _eruptions(path: Path) -> np.ndarray:
    """Of three columns the last two: the first numbers the rows."""
    try:
        rows = list(csv.reader(read_bytes(path).decode().splitlines()))
        return np.array([[float(cell) for cell in row] for row in rows[1:]])[:, 1:3]
    except (ValueError, IndexError, csv.Error) as error:
        raise ValueError(f"Expected the columns eruptions and waiting in {path}, got others ({error}).") from error

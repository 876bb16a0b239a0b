"""The sets that have a name: `digits`, which scikit-learn brings, and `mnist`, which a person puts in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import read_members
from .dataset import DataSet, make_data_set

__all__ = ["NAMED_SETS", "cache_folder"]


def digits(seed: int | None = 0) -> DataSet:
    """Handwritten digits (n, 8, 8) in [0, 1]; part of scikit-learn, so always there."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = (bunch.images / 16).astype(np.float32)  # counts 0..16 of set pixels in 4 x 4 blocks
    return make_data_set(
        "digits", (images, bunch.target), None, description="Handwritten digits from scikit-learn", seed=seed
    )


def mnist(seed: int | None = 0) -> DataSet:
    """Handwritten digits (n, 28, 28), uint8, in their official split; `seed` changes nothing.

    Raises:
        ValueError: `mnist.npz` is nowhere, or holds something else.
    """
    path = _find("mnist.npz")
    members = read_members(path)
    try:
        train = members["x_train"], members["y_train"]
        test = members["x_test"], members["y_test"]
    except KeyError as error:
        raise ValueError(
            f"Expected members x_train, y_train, x_test, y_test in {path}, got {', '.join(members)}."
        ) from error
    for x, n in ((train[0], 60_000), (test[0], 10_000)):
        if x.shape != (n, 28, 28) or x.dtype != np.uint8:
            raise ValueError(f"Expected {n} uint8 images of 28 x 28 in {path}, got {x.dtype} {x.shape}.")
    return make_data_set("mnist", train, test, description="MNIST, handwritten digits (LeCun, Cortes, Burges)")


NAMED_SETS: dict[str, Callable[[int | None], DataSet]] = {"digits": digits, "mnist": mnist}
"""Name -> function of the split's seed."""


def cache_folder() -> Path:
    """Where data are looked for besides `$ISTHMUS_DATA`: the platform's folder for caches."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "isthmus"


def _find(file: str) -> Path:
    own = os.environ.get("ISTHMUS_DATA")
    folders = [Path(own)] if own else []
    folders.append(cache_folder())
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    places = " or ".join(str(folder / file) for folder in folders)
    raise ValueError(
        f"Expected MNIST at {places}, got no such file; download it from "
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz (11 MB, members x_train, y_train, "
        "x_test, y_test) and put it there, or set ISTHMUS_DATA to the folder that has it."
    )

"""Data that tests share. What is not in a clone lies in the folder $ISTHMUS_DATA; without it those tests skip."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder $ISTHMUS_DATA."""
    folder = os.environ.get("ISTHMUS_DATA")
    if not folder:
        pytest.skip("needs data that is not in the repository: set ISTHMUS_DATA to its folder")
    if not Path(folder).is_dir():
        pytest.skip(f"ISTHMUS_DATA is {folder!r}, which is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def mnist(data_folder: Path) -> dict[str, np.ndarray]:
    """MNIST in its official order, read-only: x_train (60000, 28, 28) uint8, y_train, x_test, y_test."""
    path = data_folder / "mnist.npz"
    if not path.is_file():
        pytest.skip(f"needs {path.name} in ISTHMUS_DATA")
    with np.load(path) as file:
        return {name: read_only(file[name]) for name in file.files}


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """scikit-learn's 8x8 digits in [0, 1], read-only: (1797, 64) float32."""
    from sklearn.datasets import load_digits

    return read_only((load_digits().data / 16).astype(np.float32))


def read_only(array: np.ndarray) -> np.ndarray:
    """A shared array that no test can change for the next one."""
    array.flags.writeable = False
    return array

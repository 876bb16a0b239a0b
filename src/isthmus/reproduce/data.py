"""Data as the tables want them: pixels in [0, 1], and all images that are not for testing."""

from __future__ import annotations

import numpy as np

from ..data import DataSet

__all__ = ["all_training", "unit"]


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of pixels in [0, 1], (n, F), float32, from images of uint8 or of floats that are so already."""
    rows = x.reshape(len(x), -1).astype(np.float32)
    return rows / 255 if x.dtype == np.uint8 else rows


def all_training(data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the training and the validation part together: 60,000 of MNIST."""
    x = np.concatenate([data.x_train, data.x_valid])
    if data.y_train is None or data.y_valid is None:
        raise ValueError(f"Expected data with labels, got {data.name} without; use another set.")
    return x, np.concatenate([data.y_train, data.y_valid])

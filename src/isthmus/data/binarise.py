"""Static binarisation: grey pixels become black or white once and for all, by a seed that is recorded.

Dynamic binarisation, anew at every step of training, is an objective: see `isthmus.objectives.DynamicBinarisation`.
"""

from __future__ import annotations

import numpy as np

from .dataset import DataSet

__all__ = ["binarise_data"]

_ROWS = 4096
"""Rows drawn at a time, which bounds the memory of the noise."""


def binarise_data(data: DataSet, seed: int) -> DataSet:
    r"""Draw each pixel from :math:`x \sim \mathrm{Bernoulli}(g)`, where g is its grey value in [0, 1].

    Bounds on log p(x) of binary and of grey data are different things: compare models on the same binarisation only.

    Args:
        data: grey images as they came: uint8 in 0..255, or floats in [0, 1]; not divided at random yet, so that a
            row's pixels do not depend on the split.
        seed: the same seed gives the same pixels.

    Returns:
        The same set in black and white: 0 and 255 where pixels were uint8, else 0.0 and 1.0. Sets that come
        binarised stay as they are.

    Raises:
        ValueError: values outside [0, 1].

    References:
        Salakhutdinov, Murray (2008). On the quantitative analysis of deep belief networks. ICML, section 5.

    Example:
        >>> from isthmus.data.dataset import make_data_set
        >>> grey = make_data_set("grey", (np.full((4, 6), 0.5), None))
        >>> sorted(set(binarise_data(grey, seed=0).x_train.ravel().tolist()))
        [0.0, 1.0]
    """
    if data.binarisation is not None:
        return data
    x_train, x_valid, x_test = (
        _draw(x, [seed, i], data.name) for i, x in enumerate((data.x_train, data.x_valid, data.x_test))
    )
    made = {"kind": "static", "seed": seed}
    return data._replace(x_train=x_train, x_valid=x_valid, x_test=x_test, binarisation=made)


def _draw(x: np.ndarray, seed: list[int], name: str) -> np.ndarray:
    generator, drawn = np.random.default_rng(seed), np.empty_like(x)
    for start in range(0, len(x), _ROWS):
        rows = x[start : start + _ROWS]
        if x.dtype == np.uint8:  # of 255 equally likely levels, g lie below g: exact, and a byte a pixel
            drawn[start : start + _ROWS] = 255 * (generator.integers(0, 255, rows.shape, np.uint8) < rows)
            continue
        if rows.min() < 0 or rows.max() > 1:
            raise ValueError(
                f"Expected grey values in [0, 1] or uint8 pixels in {name}, got numbers in [{rows.min():g}, "
                f"{rows.max():g}]; leave binarise out."
            )
        drawn[start : start + _ROWS] = generator.random(rows.shape) < rows
    return drawn

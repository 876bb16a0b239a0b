"""Squared error against file size: of a model's codes at each number of bits, of PCA's at the same, of JPEG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..estimators import PCA
from .container import open_codes, write_container
from .quantiser import Ranges

__all__ = [
    "JPEGRateDistortion",
    "PCARateDistortion",
    "RateDistortion",
    "jpeg_rate_distortion",
    "pca_rate_distortion",
    "rate_distortion_of_codes",
]


class RateDistortion(NamedTuple):
    """What files of codes cost and keep, one entry for each number of bits.

    Attributes:
        bits: to which each dimension of the code was quantised, (k,).
        bits_per_pixel: of the whole file, header and checksums included, (k,).
        squared_error: of the decoded rows, summed over features, mean over rows, in squared units of the data (pixels
            in [0, 1]), (k,).
    """

    bits: np.ndarray
    bits_per_pixel: np.ndarray
    squared_error: np.ndarray


class PCARateDistortion(NamedTuple):
    """The same of PCA, one entry for each combination that no other one beats in both size and error, by size.

    Attributes:
        n_components: (k,).
        bits: (k,).
        bits_per_pixel: (k,).
        squared_error: (k,).
    """

    n_components: np.ndarray
    bits: np.ndarray
    bits_per_pixel: np.ndarray
    squared_error: np.ndarray


class JPEGRateDistortion(NamedTuple):
    """The same of JPEG, one entry for each quality; each image is a file of its own.

    Attributes:
        quality: (k,).
        bits_per_pixel: of whole files, (k,). Of a small image most of that is the header.
        bits_per_pixel_without_header: of the coded pixels alone, as if the header with its tables were known, (k,).
        squared_error: summed over features, mean over images, pixels in [0, 1], (k,).
    """

    quality: np.ndarray
    bits_per_pixel: np.ndarray
    bits_per_pixel_without_header: np.ndarray
    squared_error: np.ndarray


def rate_distortion_of_codes(
    estimator: Any, X: Any, bits: Iterable[int] = range(1, 9), *, ranges: Ranges = "each", **told: Any
) -> RateDistortion:
    r"""Squared error of rows decoded from compressed codes, against the size of their file.

    The file of all rows together is made and decoded for each number of bits; its size is divided by
    :math:`n \times` pixels. The weights of the model are not counted, as they serve any number of files.

    Args:
        estimator: fitted, with `transform` and `inverse_transform`.
        X: rows as at fit, in memory; some thousand, as the header and what is learnt of frequencies count.
        bits: numbers of bits to try, each from 1 to 16.
        ranges: "each" or "shared"; see `Quantiser`.
        **told: what `transform` and `inverse_transform` take beside rows: conditions= of a `ConditionalVAE`.

    Returns:
        Bits, bits per pixel and squared errors.

    Raises:
        ValueError: rows of another shape or out of range, other bits, or constriction is not installed.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> curve = rate_distortion_of_codes(PCA(n_components=8).fit(X), X, bits=[3, 6])
        >>> curve.bits_per_pixel.round(2), curve.squared_error.round(2)
        (array([0.34, 0.72]), array([1.65, 1.53]))
    """
    rows = np.asarray(X)
    codes = np.asarray(estimator.transform(X, **told))
    data, n_pixels = estimator.data_units(rows), len(rows) * _n_pixels(estimator.feature_shape_)
    tried, sizes, errors = list(bits), [], []
    for n_bits in tried:
        n_bytes, quantised = _through_a_file(codes, n_bits, ranges)
        decoded = estimator.inverse_transform(quantised, **told)
        sizes.append(8 * n_bytes / n_pixels)
        errors.append(np.square(data - estimator.data_units(decoded)).sum(axis=1).mean())
    return RateDistortion(np.array(tried), np.array(sizes), np.array(errors))


def _n_pixels(feature_shape: Sequence[int]) -> int:
    """Of an image (h, w) or (c, h, w); of other rows, their features."""
    return int(np.prod(feature_shape[-2:] if len(feature_shape) > 1 else feature_shape))


def pca_rate_distortion(
    train: Any,
    X: Any,
    n_components: Sequence[int] = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128),
    bits: Iterable[int] = range(1, 9),
) -> PCARateDistortion:
    r"""The best that PCA's codes do at each size, over numbers of components, of bits, and both kinds of ranges.

    The baseline for `rate_distortion_of_codes`: a transform coder whose transform is learnt from the data. Its
    components are orthonormal, so that the error is what the components leave of a row and what quantising changes of
    its code, :math:`\|x - \hat x\|^2 = \|x - \mu\|^2 - \|z\|^2 + \|z - \hat z\|^2`, and nothing need be decoded.

    Args:
        train: rows to fit PCA on.
        X: rows to code, in memory.
        n_components: to try; those beyond the rank of the data are left out.
        bits: to try.

    Returns:
        The combinations on the lower envelope.

    Raises:
        ValueError: as of `rate_distortion_of_codes`, or no number of components that data have.
    """
    most = min(len(train), int(np.prod(np.shape(train)[1:])))
    widths, tried = [n for n in n_components if n <= most], list(bits)
    if not widths or not tried:
        raise ValueError(f"Expected n_components of at most {most}, and bits, got {tuple(n_components)}, {tried}.")
    pca = PCA(max(widths)).fit(train)
    codes, rows = pca.transform(X).astype(np.float32), pca.data_units(np.asarray(X))
    centred, n_pixels = np.square(rows - pca.mean_).sum(axis=1).mean(), len(rows) * _n_pixels(pca.feature_shape_)
    found, kinds = [], ("each", "shared")
    for n, n_bits, ranges in product(widths, tried, kinds):
        n_bytes, quantised = _through_a_file(codes[:, :n], n_bits, ranges)
        exact = codes[:, :n].astype(np.float64)
        changed = np.square(exact - quantised) - np.square(exact)
        found.append((8 * n_bytes / n_pixels, centred + changed.sum(axis=1).mean(), n, n_bits))
    best, least = [], np.inf
    for entry in sorted(found):
        if entry[1] < least:
            best.append(entry)
            least = entry[1]
    sizes, errors, of_widths, of_bits = (np.array(column) for column in zip(*best, strict=True))
    return PCARateDistortion(of_widths, of_bits, sizes, errors)


def _through_a_file(codes: np.ndarray, bits: int, ranges: Any) -> tuple[int, np.ndarray]:
    """Bytes of the file of these codes, and the codes that are read from it."""
    file = io.BytesIO()
    _, n_bytes = write_container(file, lambda: [codes], bits, ranges)
    return n_bytes, open_codes(file.getvalue()).read()


def jpeg_rate_distortion(
    images: np.ndarray, qualities: Sequence[int] = (1, 5, 10, 20, 30, 50, 70, 85, 95)
) -> JPEGRateDistortion:
    """Squared error of images that went through JPEG, against the size of their files, at each quality.

    Each image is coded alone, with Huffman tables of its own where that makes it smaller; colours are not subsampled.

    Args:
        images: (n, h, w) grey or (n, 3, h, w): uint8, or floats in [0, 1], which are rounded to 8 bits.
        qualities: of JPEG, 1 to 95.

    Returns:
        Bits per pixel with and without the header, and squared errors.

    Raises:
        ValueError: other shapes or values.

    References:
        Wallace (1992). The JPEG still picture compression standard. IEEE Transactions on Consumer Electronics 38.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] != 3) or not len(images):
        raise ValueError(f"Expected images (n, h, w) or (n, 3, h, w), got shape {images.shape}.")
    if images.dtype != np.uint8:
        if not (images.min() >= 0 and images.max() <= 1):
            raise ValueError("Expected images as uint8 or floats in [0, 1], got other numbers.")
        data, pixels = images.astype(np.float64), np.rint(images * 255).astype(np.uint8)
    else:
        data, pixels = images / 255, images
    found = [_jpeg(data, np.moveaxis(pixels, 1, -1) if pixels.ndim == 4 else pixels, int(q)) for q in qualities]
    return JPEGRateDistortion(np.array(qualities), *(np.array(column) for column in zip(*found, strict=True)))


def _jpeg(data: np.ndarray, pixels: np.ndarray, quality: int) -> tuple[float, float, float]:
    """Bits per pixel with and without header, and squared error, of images (n, h, w) or (n, h, w, 3)."""
    from PIL import Image

    whole, scans, error = 0, 0, 0.0
    for original, image in zip(data, pixels, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, optimize=True, subsampling=0)
        decoded = np.asarray(Image.open(file), dtype=np.float64) / 255
        error += float(np.square(original - (np.moveaxis(decoded, -1, 0) if decoded.ndim == 3 else decoded)).sum())
        whole += file.getbuffer().nbytes
        scans += _scan_bytes(file.getvalue())
    n_pixels = len(pixels) * pixels.shape[1] * pixels.shape[2]
    return 8 * whole / n_pixels, 8 * scans / n_pixels, error / len(pixels)


def _scan_bytes(file: bytes) -> int:
    """Bytes of coded pixels in a JPEG file: what follows the header of its only scan, but for the end mark."""
    place = 2  # after the start mark
    while file[place + 1] != 0xDA:  # each segment says its length
        place += 2 + int.from_bytes(file[place + 2 : place + 4], "big")
    return len(file) - (place + 2 + int.from_bytes(file[place + 2 : place + 4], "big")) - 2

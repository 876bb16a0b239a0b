"""The code as compressed data: quantised and entropy-coded codes in small safe files, and what they cost and keep."""

from .codes import compress_codes, decompress_codes, write_codes
from .container import CodesFile, open_codes
from .entropy import empirical_entropy
from .quantiser import Quantiser
from .rate_distortion import (
    JPEGRateDistortion,
    PCARateDistortion,
    RateDistortion,
    jpeg_rate_distortion,
    pca_rate_distortion,
    rate_distortion_of_codes,
)

__all__ = [
    "CodesFile",
    "JPEGRateDistortion",
    "PCARateDistortion",
    "Quantiser",
    "RateDistortion",
    "compress_codes",
    "decompress_codes",
    "empirical_entropy",
    "jpeg_rate_distortion",
    "open_codes",
    "pca_rate_distortion",
    "rate_distortion_of_codes",
    "write_codes",
]

"""Corruption of inputs: what a denoising autoencoder learns to undo.

Noise is drawn for the whole batch (see `isthmus.processes`), inside the compiled step, and is a function of seed and
step. A strength is a number, or two of them: then each example draws its own, uniformly between them.
"""

from .base import Corruption, Rescaled, Strength
from .blocks import Blocks
from .masking import FixedMasking, Masking, SaltAndPepper
from .noise import GaussianNoise, UniformNoise

__all__ = [
    "Blocks",
    "Corruption",
    "FixedMasking",
    "GaussianNoise",
    "Masking",
    "Rescaled",
    "SaltAndPepper",
    "Strength",
    "UniformNoise",
]

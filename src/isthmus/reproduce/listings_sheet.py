"""The picture of the lectures' listings: what each rebuilds, restores, draws with a unit, and makes up."""

from __future__ import annotations

import math

import numpy as np

from ..report.images import ImageStyle, signed_tiles, tiles
from .results import Results
from .sheet import sheet
from .table import Measure

__all__ = ["N_TILES", "listings_sheet"]

N_TILES = 10
"""Tiles of a row: an image of each digit."""

SIZE = 84


def listings_sheet(results: Results) -> bytes | None:
    """What each row kept, side by side; None where nothing was run here."""
    kept = {row.name: arrays for row in results.table.rows if (arrays := results.arrays(row.name))}
    if not kept:
        return None
    any_row = next(iter(kept.values()))
    noisy = next((arrays["noisy"] for arrays in kept.values() if "noisy" in arrays), None)
    error, with_noise, bound = (_measure(results, name) for name in ("squared_error", "noisy_error", "bound"))
    rebuilt = {name: arrays["reconstructions"] for name, arrays in kept.items()}
    restored = {name: kept[name]["restored"] for name in ("pca", "autoencoder", "denoising") if name in kept}
    samples = {name: arrays["samples"] for name, arrays in kept.items() if "samples" in arrays}
    parts = {name: arrays["parts"] for name, arrays in kept.items() if "parts" in arrays}
    blocks = {
        "Rebuilt from the code": {("test images", ""): _tiles(any_row["images"])}
        | {(name, _words(results, name, error)): _tiles(x) for name, x in rebuilt.items()},
        "Rebuilt from noisy images": ({("shown", ""): _tiles(noisy)} if noisy is not None else {})
        | {(name, _words(results, name, with_noise)): _tiles(x) for name, x in restored.items()},
        "What single units draw: the ten that do most": {(name, ""): _signed(x) for name, x in parts.items()},
        "Drawn from the prior": {(name, _words(results, name, bound)): _tiles(x) for name, x in samples.items()},
    }
    return sheet({heading: block for heading, block in blocks.items() if block})


def _measure(results: Results, name: str) -> Measure:
    return next(measure for measure in results.table.measures if measure.name == name)


def _words(results: Results, row: str, measure: Measure) -> str:
    figure = results.figure(row, measure.name)
    return "" if figure is None else f"{measure.label.partition(',')[0]} {figure.mean:.{measure.digits}f}"


def _images(rows: np.ndarray) -> np.ndarray:
    side = math.isqrt(rows[0].size)
    return rows.reshape(len(rows), side, side)


def _tiles(rows: np.ndarray) -> np.ndarray:
    return tiles(_images(rows), ImageStyle(0.0, 1.0, ink=True), size=SIZE)


def _signed(rows: np.ndarray) -> np.ndarray:
    return signed_tiles(_images(rows), size=SIZE)

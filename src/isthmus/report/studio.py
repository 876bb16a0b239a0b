"""Where a report's pictures are made: in both themes, and as files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .html import Picture
from .images import compact, encode
from .style import DARK, LIGHT, Theme, model_colours, png
from .view import DataView, ModelView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Studio", "slug"]


@dataclass
class Studio:
    """Makes pictures in both themes, and keeps the light ones as files."""

    data: DataView
    views: Sequence[ModelView]
    files: dict[str, bytes] = field(default_factory=dict)

    def chart(
        self, file: str, draw: Callable[[Theme], Figure], alt: str, title: str = "", caption: str = ""
    ) -> Picture:
        """A picture of a matplotlib figure."""
        light, dark = png(draw(LIGHT)), png(draw(DARK))
        self.files[f"{file}.png"] = light
        return Picture(compact(light), compact(dark), alt, title, caption)

    def pixels(
        self, file: str, draw: Callable[[Theme], np.ndarray], alt: str, title: str = "", caption: str = ""
    ) -> Picture:
        """A picture made of tiles."""
        images = {theme: draw(theme) for theme in (LIGHT, DARK)}
        if file:
            self.files[f"{file}.png"] = encode(images[LIGHT])
        light, dark = (encode(image, photographs=self.data.photographs) for image in images.values())
        return Picture(light, dark, alt, title, caption)

    def colour(self, name: str, theme: Theme) -> str:
        """The colour of a model throughout the report."""
        return model_colours([view.name for view in self.views], theme)[name]


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"

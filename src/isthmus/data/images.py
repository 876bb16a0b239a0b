"""Folders of images: found in a fixed order, labelled by their sub-folders, bad files refused or skipped as told."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .dataset import DataSet, Labelled, make_data_set
from .images_decode import ENDINGS, BadImage, Colour, Fit, Header, decode, read_header
from .memory import check_fits
from .table import listed

__all__ = ["Bad", "ImageFolder", "read_images"]

Bad = Literal["error", "skip"]
"""What to do with files that can't be read."""

_BLOCK = 256  # images that are decoded at a time
_TRAIN, _TEST, _VALID = ("train",), ("test",), ("valid", "validation", "val")


def read_images(
    folder: Path,
    *,
    size: int | Sequence[int] | None = None,
    fit: Fit = "error",
    colour: Colour | None = None,
    bad: Bad = "error",
    preparation: Mapping[str, Any] | None = None,
) -> DataSet:
    """Examples from a folder of images, in the order of their paths.

    Sub-folders are labels where there are only these, two or more, with the images directly in them. Sub-folders
    `train` and `test` (and `valid`) are parts, each with such sub-folders or none. Hidden files and those that don't
    end as images do are ignored. Images are turned upright as their camera says; transparent parts are white; 16 bits
    are scaled to 8; animations give their first frame.

    Args:
        folder: where the images are, however deep.
        size: of the examples: height and width, or one number for both; None takes that of the images.
        fit: what to do with images of another size: "error", "resize" (stretch), or "crop" (scale until one side
            fits, and cut the middle out of the other).
        colour: "grey" or "rgb"; None takes grey where all images are.
        bad: what to do with files that can't be read: "error" lists them, "skip" leaves them out and records them.
        preparation: the record of another folder's reading (`DataSet.preparation`), to read this one likewise.

    Returns:
        (n, h, w) or (n, 3, h, w), uint8. `preparation` records size, fit, colour and skipped files.

    Raises:
        ValueError: no image, images of unlike sizes, bad files, or more than fits in memory.
    """
    images = ImageFolder(folder, size=size, fit=fit, colour=colour, bad=bad, preparation=preparation)
    images.check_memory()
    x, kept = np.empty((len(images), *images.shape), np.uint8), []
    for rows, block in images.blocks():
        x[len(kept) : len(kept) + len(rows)] = block
        kept += rows
    x = x[: len(kept)]
    rows_of = images.parts(kept)

    def part(names: tuple[str, ...]) -> Labelled | None:
        found = next((rows_of[name] for name in names if name in rows_of), None)
        return None if found is None else (x[found[0]], found[1])

    train = part(_TRAIN) or (x, rows_of[""][1])
    data = make_data_set(
        images.folder.name, train, part(_TEST), valid=part(_VALID), description=images.description()
    )  # fmt: skip
    return data._replace(preparation=images.record())


class ImageFolder:
    """The images of a folder and how they are read; see `read_images` for the arguments.

    Attributes:
        paths: of the images, sorted, relative to the folder.
        shape: of an example, (h, w) or (3, h, w).
        skipped: path -> what is wrong, of bad files that were met so far.
        ignored: ending -> number, of other files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int | Sequence[int] | None = None,
        fit: Fit = "error",
        colour: Colour | None = None,
        bad: Bad = "error",
        preparation: Mapping[str, Any] | None = None,
    ):
        for name, value, known in (("fit", fit, get_args(Fit)), ("bad", bad, get_args(Bad))):
            if value not in known:
                raise ValueError(f"Expected {name} as one of {', '.join(known)}, got {value!r}.")
        if colour not in (None, *get_args(Colour)):
            raise ValueError(f"Expected colour as grey or rgb, got {colour!r}.")
        self._as_trained = preparation is not None
        if preparation is not None:
            size, fit, colour = _recorded(preparation)
        self.folder, self._bad, self.fit = folder, bad, fit
        self.skipped: dict[str, str] = {}
        self.paths, self.ignored = _find(folder)
        if not self.paths:
            got = f"none, but {', '.join(self.ignored)} files" if self.ignored else "none"
            raise ValueError(f"Expected images in {folder}, got {got}; use files that end in {', '.join(ENDINGS)}.")
        headers = self._headers()
        self.size = self._common_size(headers, _height_width(size))
        self.colour: Colour = colour or ("grey" if all(header.grey for header in headers.values()) else "rgb")
        self.shape = self.size if self.colour == "grey" else (3, *self.size)

    def __len__(self) -> int:
        return len(self.paths)

    def check_memory(self) -> None:
        """Refuse what does not fit, before anything is read.

        Raises:
            ValueError: too many images of this size.
        """
        what = f"the {len(self):,} images of {self.folder}"
        check_fits(len(self) * int(np.prod(self.shape)), what, "use a smaller --size, or isthmus data convert")

    def blocks(self) -> Iterator[tuple[list[int], np.ndarray]]:
        """Numbers of images in `paths`, and their pixels (n, *shape), some at a time; bad files are not among them.

        Raises:
            ValueError: after the last, where bad files are an error.
        """
        with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            warnings.simplefilter("ignore")  # of Pillow's, about notes beside the pixels
            for start in range(0, len(self), _BLOCK):
                rows = [i for i in range(start, min(start + _BLOCK, len(self))) if self._name(i) not in self.skipped]
                found = dict(zip(rows, pool.map(self._pixels, rows), strict=True))
                for i, pixels in found.items():
                    if isinstance(pixels, BadImage):
                        self.skipped[self._name(i)] = str(pixels)
                good = {i: pixels for i, pixels in found.items() if not isinstance(pixels, BadImage)}
                if good:
                    yield list(good), np.stack(list(good.values()))
        self._refuse_bad()
        if len(self.skipped) == len(self):
            raise ValueError(f"Expected images in {self.folder}, got {self._bad_files()}.")

    def parts(self, kept: Sequence[int]) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
        """Part -> positions in `kept` of its images, and their labels or None; one part "" where there are no parts."""
        paths = [self.paths[i] for i in kept]
        tops = {path.parts[0] if len(path.parts) > 1 else "" for path in paths}
        divided = tops <= {*_TRAIN, *_TEST, *_VALID} and "train" in tops and len(tops) > 1
        groups: dict[str, list[int]] = {}
        for i, path in enumerate(paths):
            groups.setdefault(path.parts[0] if divided else "", []).append(i)
        inner = [path.parts[divided:] for path in paths]
        labelled = all(len(parts) == 2 for parts in inner) and len({parts[0] for parts in inner}) > 1
        return {
            name: (np.array(rows), np.array([inner[i][0] for i in rows]) if labelled else None)
            for name, rows in groups.items()
        }

    def description(self) -> str:
        """How they were read, in words."""
        height, width = self.size
        how = {"error": "", "resize": "stretched to ", "crop": "cropped to "}[self.fit]
        text = f"Images of {self.folder.name}, {how}{height} x {width}, {self.colour}"
        if self.skipped:
            n = len(self.skipped)
            text += f"; {n:,} bad {'file' if n == 1 else 'files'} skipped: {self._bad_files()}"
        n, endings = sum(self.ignored.values()), ", ".join(sorted(self.ignored))
        return text + (f"; {n:,} other {'file' if n == 1 else 'files'} ignored ({endings})" if n else "")

    def record(self) -> dict[str, Any]:
        """How they were read, as plain JSON."""
        how = {"size": list(self.size), "fit": self.fit, "colour": self.colour}
        return {"kind": "images"} | how | {"skipped": dict(sorted(self.skipped.items())), "ignored": self.ignored}

    def _name(self, i: int) -> str:
        return self.paths[i].as_posix()

    def _pixels(self, i: int) -> np.ndarray | BadImage:
        try:
            return decode(self.folder / self.paths[i], self.colour, self.size, self.fit)
        except BadImage as error:
            return error

    def _headers(self) -> dict[str, Header]:
        headers = {}
        with warnings.catch_warnings():
            from PIL import Image

            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for i, path in enumerate(self.paths):
                try:
                    headers[self._name(i)] = read_header(self.folder / path)
                except BadImage as error:
                    self.skipped[self._name(i)] = str(error)
        if not headers:
            raise ValueError(f"Expected images in {self.folder}, got {self._bad_files()}.")
        return headers

    def _common_size(self, headers: dict[str, Header], size: tuple[int, int] | None) -> tuple[int, int]:
        if self.fit != "error" and size is None:
            raise ValueError(f"Expected a size to {self.fit} images to, got none; use --size 64, or another number.")
        sizes: dict[tuple[int, int], str] = {}
        for name, header in headers.items():
            sizes.setdefault((header.height, header.width), name)
        if size is None and len(sizes) == 1:
            return next(iter(sizes))
        other = {found: name for found, name in sizes.items() if found != size}
        if self.fit != "error" or not other:
            return size or next(iter(sizes))
        examples = " and ".join(f"{h} x {w} ({name})" for (h, w), name in list(other.items())[:2])
        if size is None:
            raise ValueError(
                f"Expected images of one size in {self.folder}, got {examples}; use --size 64 --fit crop (or resize)."
            )
        again = "train with --fit crop or --fit resize" if self._as_trained else "use --fit crop or --fit resize"
        raise ValueError(f"Expected images of {size[0]} x {size[1]} in {self.folder}, got {examples}; {again}.")

    def _refuse_bad(self) -> None:
        if self.skipped and self._bad == "error":
            raise ValueError(
                f"Expected readable images in {self.folder}, got {len(self.skipped):,} of {len(self):,} that are not: "
                f"{self._bad_files()}; use --bad skip, or mend or remove them."
            )

    def _bad_files(self) -> str:
        return listed([f"{name} ({what})" for name, what in sorted(self.skipped.items())])


def _find(folder: Path) -> tuple[list[Path], dict[str, int]]:
    """Images below a folder, sorted, relative to it, and other files by their ending; links are followed once."""
    found: list[Path] = []
    others: dict[str, int] = {}
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith((".", "__MACOSX"))]
        if real in seen:
            continue
        seen.add(real)
        for name in files:
            if name.startswith(".") or not name.lower().endswith(ENDINGS):
                kind = "hidden" if name.startswith(".") else Path(name).suffix.lower() or "without ending"
                others[kind] = others.get(kind, 0) + 1
            else:
                found.append((Path(here) / name).relative_to(folder))
    return sorted(found, key=lambda path: path.parts), others


def _height_width(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    numbers = [] if size is None else list(size) if isinstance(size, list | tuple) else [size]
    if not numbers:
        return None
    if len(numbers) > 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
        raise ValueError(f"Expected a size as one number of pixels, or height and width, got {size}.")
    return numbers[0], numbers[-1]


def _recorded(preparation: Mapping[str, Any]) -> tuple[tuple[int, int], Fit, Colour]:
    size, fit, colour = (preparation.get(key) for key in ("size", "fit", "colour"))
    known = fit in get_args(Fit) and colour in get_args(Colour) and isinstance(size, list | tuple) and len(size) == 2
    if preparation.get("kind") != "images" or not known or size is None:
        raise ValueError("Expected the record of a folder of images, got something else; use data as in training.")
    return (size[0], size[1]), fit, colour  # type: ignore[return-value]

"""Finding, downloading and checking the sets of the catalogue."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import CATALOGUE, NamedSet
from .catalogue_download import DownloadError, PublishedFile, checksum_of, download
from .dataset import DataSet

__all__ = ["cache_folder", "check", "content_checksum", "fetch", "find", "load_set"]


def cache_folder() -> Path:
    """Where downloads go, and where data are looked for after `$ISTHMUS_DATA`: the platform's folder for caches."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "isthmus"


def _folders() -> list[Path]:
    own = os.environ.get("ISTHMUS_DATA")
    return [*([Path(own).expanduser()] if own else []), cache_folder()]


def find(name: str) -> list[Path] | None:
    """The files of a set: in `$ISTHMUS_DATA`, else in the cache; as NumPy's archive, else as published.

    Args:
        name: of the catalogue.

    Returns:
        Their paths; none for a set that comes with a library, None where they are not here.

    Raises:
        ValueError: no such set.
    """
    known = _named(name)
    if not known.files:
        return []
    for folder in _folders():
        if known.archive is not None and (folder / known.archive).is_file():
            return [folder / known.archive]
        paths = [folder / known.name / file.name for file in known.files]
        if all(path.is_file() for path in paths):
            return paths
        # Files of several sets have the same names: outside of a folder of its own, one counts by its size.
        paths = [folder / file.name for file in known.files]
        if all(map(_of_its_size, known.files, paths)):
            return paths
    return None


def _of_its_size(file: PublishedFile, path: Path) -> bool:
    return path.is_file() and file.size in (None, path.stat().st_size)


def fetch(name: str, *, show: bool = True) -> list[Path]:
    """Have a set at hand: where it is not here, download it into the cache.

    Args:
        name: of the catalogue.
        show: say on standard error what is going on.

    Returns:
        The paths of its files.

    Raises:
        ValueError: no such set, or it can't be had: says where it comes from and where to put it.
    """
    known, paths = _named(name), find(name)
    if paths is not None:
        return paths
    folder = cache_folder() / known.name
    paths = [folder / file.name for file in known.files]
    try:
        for file, path in zip(known.files, paths, strict=True):
            download(file, path, show=show)
    except (DownloadError, OSError) as error:
        raise ValueError(_missing(known, f"; the download failed: {error}")) from error
    try:
        _checked(known, paths, content=True)
    except ValueError as error:
        for path in paths:
            path.unlink(missing_ok=True)
        raise ValueError(
            _missing(known, f"; what was downloaded is something else, and was removed: {error}")
        ) from error
    return paths


def load_set(known: NamedSet, *, download: bool = True) -> DataSet:
    """The data of a set, downloaded where they are not here.

    Raises:
        ValueError: they can't be had, or are not what they should be.
    """
    paths = find(known.name)
    if paths is None:
        if not download:
            raise ValueError(_missing(known))
        paths = fetch(known.name)
    return _checked(known, paths)


def _missing(known: NamedSet, problem: str = "") -> str:
    """Why a set can't be had, where it comes from, and where to put it."""
    folder = cache_folder() / known.name
    files = ", ".join(file.name for file in known.files)
    addresses = " and ".join(sorted({file.addresses[0].rpartition("/")[0] for file in known.files}))
    archive = "" if known.archive is None else f", or {known.archive} into the folder that ISTHMUS_DATA names"
    looked = " or ".join(str(place) for place in _folders())
    return (
        f"Expected {known.name} in {looked}, got no such files{problem.rstrip('.')}. It comes from {known.source}: put "
        f"{files} from {addresses} into {folder}{archive}."
    )


def _checked(known: NamedSet, paths: Sequence[Path], *, content: bool = False) -> DataSet:
    """Read a set and hold it against what is known of it: shapes always, each number where asked."""
    data = known.read(paths)
    where = ", ".join(map(str, paths)) or known.source
    for what, x, shape in zip(("training", "validation", "test"), (data.x_train, data.x_valid, data.x_test),
                              known.shapes, strict=True):  # fmt: skip
        if x.shape != (shape or (0, *x.shape[1:])):
            raise ValueError(f"Expected {what} examples of shape {shape} in {where}, got {x.shape}.")
    if content and known.content is not None and content_checksum(data) != known.content:
        raise ValueError(f"Expected the numbers of {known.name} in {where}, got others; fetch it anew.")
    return data


def content_checksum(data: DataSet) -> str:
    """SHA-256 of all numbers of a set, part after part, examples before labels: the same from any kind of file."""
    whole = hashlib.sha256()
    for kind in ("train", "validation", "test"):
        for array in data.part(kind):
            if array is not None and len(array):
                little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                whole.update(little.data)
    return whole.hexdigest()


def check(name: str) -> dict[str, Any]:
    """Hold a set's files against published checksums, and its numbers against what they should be.

    Args:
        name: of the catalogue.

    Returns:
        As plain JSON: `state` ("ok", "damaged" or "missing"), `paths`, and `notes` on what was and what could not be
        checked.

    Raises:
        ValueError: no such set.
    """
    known, paths = _named(name), find(name)
    if paths is None:
        return {"name": name, "state": "missing", "paths": [], "notes": [_missing(known)]}
    notes, state = [], "ok"
    if known.files and len(paths) == len(known.files) and paths[0].name == known.files[0].name:
        for file, path in zip(known.files, paths, strict=True):
            if file.checksum is None:
                notes.append(f"{file.name}: no checksum was published")
            elif checksum_of(path, file.checksum.partition(":")[0]) != file.checksum:
                notes.append(f"{path}: another checksum than published; remove it and fetch {name}")
                state = "damaged"
            else:
                notes.append(f"{file.name}: checksum as published")
    try:
        _checked(known, paths, content=True)
        told = "numbers as they should be" if known.content else "shapes as published; no checksum of the numbers"
        notes.append(told)
    except ValueError as error:
        state = "damaged"
        notes.append(str(error))
    return {"name": name, "state": state, "paths": [str(path) for path in paths], "notes": notes}


def _named(name: str) -> NamedSet:
    if name not in CATALOGUE:
        raise ValueError(f"Expected one of {', '.join(CATALOGUE)}, got {name!r}.")
    return CATALOGUE[name]

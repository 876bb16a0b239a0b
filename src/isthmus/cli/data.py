"""`isthmus data`: the catalogue of named sets: what there is, where it comes from, fetching and checking it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import tyro

from ..data import CATALOGUE, FILES, NamedSet, check, fetch, find
from .main import UsageError, did_you_mean
from .terminal import parse, print_result

__all__ = ["run"]

USAGE = """usage: isthmus data list               sets by name, and which of them are here
       isthmus data info NAME          licence, citation, files, addresses and checksums of a set
       isthmus data fetch NAME ...     have sets at hand: those that are not here are downloaded
       isthmus data check [NAME ...]   hold files against published checksums; all that are here if none is named
       isthmus data convert DATA       a table or a folder of images as .npy files, for data larger than memory

Each takes --json. Sets are looked for in $ISTHMUS_DATA, then in the cache folder, where downloads go.
Files of your own end in {files}.
"""


@dataclass(kw_only=True)
class ListOptions:
    """Name the sets of the catalogue, and say which are here."""

    json: bool = False
    """Print the result as JSON."""


@dataclass(kw_only=True)
class InfoOptions:
    """Say what is known of a set."""

    name: tyro.conf.Positional[str]
    """Name of the set."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(kw_only=True)
class FetchOptions:
    """Have sets at hand: in $ISTHMUS_DATA, in the cache, or else downloaded into the cache."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """Names of the sets."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(kw_only=True)
class CheckOptions:
    """Hold the files of sets against published checksums, and their numbers against what they should be."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of the sets; all that are here if none is given."""
    json: bool = False
    """Print the result as JSON."""


def _convert(arguments: list[str]) -> None:
    from .convert import run  # it may read a run, and so takes torch's seconds

    run(arguments)


def run(arguments: list[str]) -> None:
    """Parse and do what is asked."""
    actions = {"list": _list, "info": _info, "fetch": _fetch, "check": _check, "convert": _convert}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(files=", ".join(FILES)), end="")
        if not arguments:
            raise UsageError(f"expected one of {', '.join(actions)} after 'isthmus data'")
        return
    action, *rest = arguments
    if action not in actions:
        raise UsageError(f"unknown action {action!r}{did_you_mean(action, list(actions))}")
    actions[action](rest)


def _list(arguments: list[str]) -> None:
    options = parse(ListOptions, arguments, "data list")
    sets = {name: {"title": known.title, "here": find(name) is not None} | _size(known)
            for name, known in CATALOGUE.items()}  # fmt: skip
    lines = [f"{name:<16} {_where(name):<9} {_megabytes(known):>8}  {known.title}" for name, known in CATALOGUE.items()]
    text = "\n".join((f"{'name':<16} {'':<9} {'download':>8}", *lines, "", f"Files of your own: {', '.join(FILES)}"))
    print_result({"sets": sets, "files": list(FILES)}, options.json, text)


def _where(name: str) -> str:
    return "here" if find(name) is not None else "not here"


def _size(known: NamedSet) -> dict[str, Any]:
    return {"bytes": known.size if known.files else 0}


def _megabytes(known: NamedSet) -> str:
    if not known.files:
        return "none"
    return "?" if known.size is None else f"{known.size / 1e6:.1f} MB"


def _info(arguments: list[str]) -> None:
    options = parse(InfoOptions, arguments, "data info")
    known = _known(options.name)
    paths = find(known.name)
    files = [file._asdict() | {"addresses": list(file.addresses)} for file in known.files]
    shapes = dict(zip(("train", "validation", "test"), map(list, known.shapes), strict=True))
    result = {
        "name": known.name, "title": known.title, "source": known.source, "licence": known.licence,
        "citation": known.citation, "shapes": shapes, "files": files, "archive": known.archive,
        "sha256_of_numbers": known.content, "paths": None if paths is None else [str(path) for path in paths],
    }  # fmt: skip
    print_result(result, options.json, _told(known))


def _told(known: NamedSet) -> str:
    """All that is known of a set, for a person."""
    parts = zip(("to train on", "to validate with", "to test on"), known.shapes, strict=True)
    own = [f"{shape[0]:,} {what}" for what, shape in parts if shape]
    sizes = ", ".join(own) if len(own) > 1 else f"{known.shapes[0][0]:,}, without a split of their own"
    shape = " x ".join(map(str, known.shapes[0][1:]))
    lines = [
        f"{known.name}: {known.title}",
        *_row("examples", f"{sizes}; each {shape}"),
        *_row("from", known.source),
        *_row("licence", known.licence),
        *_row("citation", known.citation),
    ]
    for file in known.files:
        size = "size not published" if file.size is None else f"{file.size:,} bytes"
        lines += _row("file", f"{file.name}, {size}, {file.checksum or 'checksum not published'}")
        lines += [f"{'':<10} {address}" for address in file.addresses]
    if known.archive is not None:
        lines += _row("or", f"{known.archive}, NumPy's archive of the same numbers")
    numbers = None if known.content is None else f"sha256:{known.content}"
    lines += _row("numbers", numbers or ("no checksum known" if known.files else "as the library has them"))
    paths = find(known.name)
    here = "not here" if paths is None else ", ".join(map(str, paths)) or "with scikit-learn"
    return "\n".join([*lines, *_row("here", here)])


def _row(name: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
    return [f"{name if i == 0 else '':<10} {line}" for i, line in enumerate(wrapped)]


def _fetch(arguments: list[str]) -> None:
    options = parse(FetchOptions, arguments, "data fetch")
    if not options.names:
        raise UsageError(f"expected names of sets to fetch; there are {', '.join(CATALOGUE)}")
    names = [_known(name).name for name in options.names]  # all of them, before the first download
    found = {name: [str(path) for path in fetch(name)] for name in names}
    lines = [f"{name:<16} {', '.join(paths) or 'with scikit-learn'}" for name, paths in found.items()]
    print_result({"paths": found}, options.json, "\n".join(lines))


def _check(arguments: list[str]) -> None:
    options = parse(CheckOptions, arguments, "data check")
    names = [_known(name).name for name in options.names] or [name for name in CATALOGUE if find(name) is not None]
    results = {name: check(name) for name in names}
    lines = [f"{name:<16} {r['state']:<8} {'; '.join(r['notes'])}" for name, r in results.items()]
    print_result({"sets": results}, options.json, "\n".join(lines))
    if bad := [name for name, result in results.items() if result["state"] != "ok"]:
        raise ValueError(f"Expected all of these sets whole and here, got others: {', '.join(bad)}.")


def _known(name: str) -> NamedSet:
    if name not in CATALOGUE:
        raise UsageError(f"unknown set {name!r}{did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]

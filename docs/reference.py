"""The pages of the reference, from what each part of Isthmus lists in `__all__`: nobody keeps a list of names.

A part has a page with its functions and constants, and each of its classes one of its own. A name that several parts
list, such as `isthmus.VAE`, is described once, where it is shortest, and linked from the others.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from sphinx.pycode import ModuleAnalyzer

import isthmus

__all__ = ["pages", "parts", "setup"]

FOLDER = Path(__file__).parent / "api"
COLON = "\ue000"  # stands for a colon while napoleon reads a docstring
RETURNS = re.compile(r"(?<=^Returns:\n)(?:    .*\n|\n)+", re.MULTILINE)
REFERENCES = re.compile(r"(?<=^References:\n)(?:    .*\n|\n)+", re.MULTILINE)
INDENT = re.compile(r"^    (?P<more> *)(?=\S)", re.MULTILINE)
# Examples, what is in backticks and the names of attributes stay; of the rest, stars and trailing underscores are text.
KEPT = r"(?P<kept>`[^`]*`|^ *>>>.*?(?=\n\s*\n|\Z)|^ +\w+:)"
MARKS = re.compile(rf"{KEPT}|(?<!\\)\*(?=[\w*])|(?<=\w)_(?!\w)", re.MULTILINE | re.DOTALL)


def parts() -> list[ModuleType]:
    """The package and its parts, as far as they list public names."""
    names = [f"isthmus.{part.name}" for part in iter_modules(isthmus.__path__) if not part.name.startswith("_")]
    return [isthmus, *(part for name in sorted(names) if hasattr(part := import_module(name), "__all__"))]


def is_code(thing: Any) -> bool:
    """A class or a function, and no constant."""
    return inspect.isclass(thing) or inspect.isroutine(thing)


@cache
def homes() -> dict[str, str]:
    """Where each public name is described: `isthmus.estimators.VAE` -> `isthmus.VAE`."""
    first: dict[int, str] = {}
    found = {}
    for part in parts():
        for name in part.__all__:
            here, thing = f"{part.__name__}.{name}", getattr(part, name)
            found[here] = first.setdefault(id(thing), here) if is_code(thing) else here
    return found


def heading(title: str) -> str:
    """A title with its line below."""
    return f"{title}\n{'=' * len(title)}\n\n"


def listing(directive: str, options: list[str], entries: list[str]) -> str:
    """A directive with a list of entries."""
    lines = [f".. {directive}::", *(f"   :{option}:" for option in options), "", *(f"   {entry}" for entry in entries)]
    return "\n".join(lines) + "\n\n"


def class_page(path: str) -> str:
    """A class with its methods, those that it inherits included; found from its part's table, not from the sidebar."""
    part, _, name = path.rpartition(".")
    return (
        ":orphan:\n\n"
        + heading(name)
        + f"In :doc:`{part}`.\n\n"
        + f".. autoclass:: {path}\n   :members:\n   :inherited-members:\n   :show-inheritance:\n"
    )


def constant(part: ModuleType, name: str) -> str:
    """A constant with the words that stand below it in the source, in whichever file of the part it is."""
    files = [f"{part.__name__}.{file.name}" for file in iter_modules(getattr(part, "__path__", []))]
    found = [ModuleAnalyzer.for_module(file).find_attr_docs().get(("", name)) for file in [part.__name__, *files]]
    words = next(filter(None, found), [])
    return "\n".join([f".. py:data:: {name}", "", *(f"   {line}" for line in words)]) + "\n\n"


def part_page(part: ModuleType, found: dict[str, str]) -> str:
    """A part: its classes and functions in a table, and below its functions and constants."""
    table, below = [], ""
    for name in part.__all__:
        thing, here = getattr(part, name), f"{part.__name__}.{name}"
        if is_code(thing):
            table.append(name if found[here] == here else f"~{found[here]}")
        else:
            below += constant(part, name)
        if inspect.isroutine(thing) and found[here] == here:
            below += f".. autofunction:: {here}\n\n"
    return (
        heading(part.__name__)
        + f".. automodule:: {part.__name__}\n\n"
        + listing("autosummary", ["nosignatures"], table)
        + below
    )


def pages() -> dict[str, str]:
    """All pages of the reference: a page's name and its reStructuredText."""
    found, written = homes(), {}
    names = [part.__name__ for part in parts()]
    written["index"] = (
        heading("Python reference")
        + "Every public name, from its docstring. Each part can be used alone.\n\n"
        + listing("autosummary", [], names)
        + listing("toctree", ["hidden"], names)
    )
    for part in parts():
        written[part.__name__] = part_page(part, found)
        for name in part.__all__:
            path = f"{part.__name__}.{name}"
            if inspect.isclass(getattr(part, name)) and found[path] == path:
                written[path] = class_page(path)
    return written


def write(folder: Path = FOLDER) -> None:
    """Write the pages, but those that are as they were; remove what is no page any more."""
    folder.mkdir(exist_ok=True)
    texts = pages()
    for path in folder.glob("*.rst"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def skip_foreign(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what classes inherit from torch, scikit-learn and Python."""
    thing = getattr(member, "fget", None) or getattr(member, "func", None) or member
    module = getattr(thing, "__module__", None) or "isthmus"
    return None if module.split(".")[0] == "isthmus" else True


def prepare(app: Any, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Make reStructuredText of a docstring before napoleon reads it.

    References become a list. `feature_shape_` and `*args` are taken for what they are: only backticks are markup. What
    is returned, and what a property is, has no type before a colon, which napoleon would look for.
    """
    text = "\n".join(lines) + "\n"
    untyped = re.compile(r"\A.*\n") if what in ("attribute", "property") else RETURNS
    text = untyped.sub(lambda found: re.sub(r":(?=\s)", COLON, found[0]), text)
    text = REFERENCES.sub(lambda found: INDENT.sub(listed, found[0]), text)
    text = MARKS.sub(lambda found: found["kept"] or f"\\{found[0]}", text)
    lines[:] = text.split("\n")[:-1]


def listed(indent: re.Match) -> str:
    """How a line of a reference begins: a first one with a dash, one that goes on below it."""
    return "      " if indent["more"] else "    - "


def restore(app: Any, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Put colons back after napoleon has read the docstring, and mend how it writes `model_` of a class."""
    lines[:] = [re.sub(r"^:ivar (\w+)_:", r":ivar \1\_:", line.replace(COLON, ":")) for line in lines]


@cache
def targets() -> dict[str, str]:
    """What a docstring may call a public name: `VAE`, `isthmus.VAE`, `isthmus.estimators.VAE`."""
    return {path.rpartition(".")[2]: home for path, home in homes().items()} | homes()


def link(app: Any, env: Any, node: Any, content: Any) -> Any:
    """`VAE` in a docstring leads to `isthmus.VAE`, whatever part the docstring is in."""
    home = targets().get(node.get("reftarget", ""))
    if home is None or node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before sphinx looks for them."""
    write()
    app.connect("autodoc-process-docstring", prepare, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", restore, priority=600)  # after it
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("missing-reference", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""What pages show: their blocks of code, and how each is run in a test: as it stands, but for one epoch on small data.

A block, or a line of commands, that can't run in a test has a line before it that says why:

    <!-- not run: it starts two processes -->

Examples, the pages in docs/inference, run in full, and a `text` block after one of Python has what that prints:
`make figures` writes it, and a test holds both equal.
"""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isthmus.cli.main import main
from isthmus.cli.options import estimator_options, find_model, models
from isthmus.data import CATALOGUE

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / "docs", ROOT / "docs" / "models", ROOT / "docs" / "inference"]
PAGES = [ROOT / "README.md", *(path for folder in FOLDERS for path in sorted(folder.glob("*.md")))]
MODEL_PAGES = {path.stem: path for path in PAGES if path.parent.name == "models" and path.stem != "README"}
EXAMPLES = {path.stem: path for path in PAGES if path.parent.name == "inference" and path.stem != "README"}

FENCE = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n+)?^```(?P<kind>.*)\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
# A block of Python, and what it prints.
SHOWN = re.compile(r"^(```python\n(?:.*\n)*?```\n)(?:\n```text\n(?:.*\n)*?```\n)?", re.MULTILINE)
# What stands for something of the reader's, and what a test has in its place.
STANDS_FOR = {"RUN": "runs/reader", "KIND": "reconstructions"}


class Block(NamedTuple):
    """A block of code on a page; `why` it is not run, else None."""

    kind: str
    code: str
    why: str | None


@cache
def text_of(path: Path) -> str:
    """A page."""
    return path.read_text(encoding="utf-8")


def blocks(path: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found = FENCE.finditer(text_of(path))
    return [Block(block["kind"].strip(), block["code"], block["why"]) for block in found]


def python(path: Path) -> list[str]:
    """Blocks of Python to be run, one after the other."""
    return [block.code for block in blocks(path) if block.kind == "python" and block.why is None]


def commands(path: Path) -> list[list[str]]:
    """Lines of commands to be run, one after the other, in words."""
    code = "".join(block.code for block in blocks(path) if block.kind == "sh" and block.why is None)
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_python(path: Path, names: dict[str, Any], shorten: bool = True) -> dict[str, Any]:
    """Run a page's Python, with some names that it expects of its reader."""
    for block in python(path):
        code = smaller_code(block) if shorten else block
        exec(compile(code, path.name, "exec"), names)  # noqa: S102
    return names


def run_example(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Run all of an example's Python; returns its names, and what each block printed."""
    names: dict[str, Any] = {}
    printed = []
    for block in python(path):
        with redirect_stdout(io.StringIO()) as out:
            exec(compile(block, path.name, "exec"), names)  # noqa: S102
        printed.append(out.getvalue())
    return names, printed


def with_printed(text: str, printed: list[str]) -> str:
    """An example's text, after each block of Python what that printed."""
    outputs = iter(printed)

    def shown(block: re.Match) -> str:
        output = next(outputs)
        return block[1] + (f"\n```text\n{output}```\n" if output else "")

    return SHOWN.sub(shown, text)


def run_command(words: list[str]) -> int:
    """Run a command of a page, and say how it ended."""
    assert words[0] == "isthmus", f"{shlex.join(words)}: say before the block why it is not run"
    return main(smaller_command([STANDS_FOR.get(word, word) for word in words[1:]]))


def smaller_code(code: str) -> str:
    """One epoch, and a set that comes along."""
    code = re.sub(r"epochs=\d+", "epochs=1", code)
    return re.sub(r'load_data\("([a-z-]+)"', lambda call: f'load_data("{small_set(call[1])}"', code)


def small_set(name: str) -> str:
    """Digits, which come along, in place of another set of the catalogue; files stay."""
    return "digits" if name in CATALOGUE else name


def smaller_command(words: list[str]) -> list[str]:
    """A command on data that come along, and a training as short as can be. Of published tables, only the rows."""
    if "--data" in words:
        data = words.index("--data") + 1
        words[data] = small_set(words[data])
    if "-k" in words:  # samples of importance
        words[words.index("-k") + 1] = "50"
    if words[0] == "reproduce":
        return words if "--list" in words else [*words[:2], "--list"]
    if words[0] != "train":
        return words
    if "--hidden" in words:  # an eighth of the units
        first = words.index("--hidden") + 1
        widths = list(takewhile(str.isdigit, words[first:]))
        words[first : first + len(widths)] = [str(int(width) // 8) for width in widths]
    if words[1] not in models():  # --resume knows its own
        return [*words, "--no-report"]
    options = {name for name, *_ in estimator_options(find_model(words[1]))}
    n_epochs = 2 if "--resume" in words else 1
    epochs = [f"--{name.replace('_', '-')}={n_epochs}" for name in ("max_epochs", "layer_epochs") if name in options]
    return [*words, *epochs, "--no-report"]


def write_files_of_a_reader(folder: Path) -> dict[str, Any]:
    """Files that pages take for granted, and a run of a small model; returns names that their Python does."""
    import polars
    from PIL import Image

    from isthmus.data import load_data

    random = np.random.default_rng(0)
    rows = random.random((64, 8, 8), dtype=np.float32)
    (folder / "folder").mkdir()
    for path in ("new.npy", "large.npy", "folder/0.npy", "folder/1.npy"):
        np.save(folder / path, rows)
    np.save(folder / "new.npy", load_data("digits").x_test[:8])

    people = polars.DataFrame(
        {
            "height": [*random.normal(170, 10, 39), None],
            "town": random.choice(["Ry", "Ely"], 40),
            "kind": random.choice(["a", "b"], 40),
        }
    )
    people.write_csv(folder / "people.csv")
    people.select("height").drop_nulls().write_parquet(folder / "large.parquet")

    area = random.uniform(50, 200, 40)
    price = 2000 * area + random.normal(0, 20_000, 40)
    polars.DataFrame({"area": area, "rooms": random.integers(1, 6, 40), "price": price}).write_csv(folder / "homes.csv")

    density = "import torch\n\ndim = 2\n\n\ndef log_density(z):\n    return -z.square().sum(-1)\n"
    (folder / "funnel.py").write_text(density, encoding="utf-8")
    (folder / "eight_schools.py").write_text(python(ROOT / "docs" / "posterior.md")[0], encoding="utf-8")

    for kind in ("cats", "dogs"):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / kind / f"{number}.png")

    train = ["train", "autoencoder", "--data", "digits", "--n-components=4", "--hidden=8", "--max-epochs=1"]
    assert main([*train, "--no-report", "--out", str(folder / STANDS_FOR["RUN"])]) == 0
    return {"h5py_file": {"images": rows}}

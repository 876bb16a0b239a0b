"""Every model has a page, and what the pages show runs as it stands, but for one epoch; commands on smaller data."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest

from isthmus.cli.main import main
from isthmus.cli.options import estimator_options, find_model, models

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((DOCS / "models").glob("[a-z]*.md"))}
every_page = pytest.mark.parametrize("name", PAGES)


def test_every_model_has_a_page_and_the_index_names_it():
    assert set(models()) == set(PAGES)
    index = (DOCS / "models" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", index)) == set(PAGES)


@every_page
def test_a_page_has_an_equation_its_use_and_a_figure(name):
    text = PAGES[name]
    assert "$$" in text
    assert re.search(r"\*\*Use", text)
    assert "## References" in text
    figures = re.findall(r"!\[[^\]]{10,}\]\(([^)]+\.png)\)", text, flags=re.DOTALL)
    assert figures
    for figure in figures:
        assert (DOCS / "models" / figure).stat().st_size < 150_000


@every_page
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGES[name]):
        assert (DOCS / "models" / target).exists(), target


@every_page
def test_python_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGES[name], re.DOTALL)
    assert blocks
    for block in blocks:
        shorter = re.sub(r"epochs=\d+", "epochs=1", block)
        exec(compile(shorter, f"{name}.md", "exec"), names)  # noqa: S102


def smaller(words: list[str]) -> list[str]:
    """A command on data that come along, and a training as short as can be."""
    if "--data" in words:
        words[words.index("--data") + 1] = "digits"
    if words[0] != "train":
        return words
    if "--hidden" in words:  # an eighth of the units
        first = words.index("--hidden") + 1
        widths = list(takewhile(str.isdigit, words[first:]))
        words[first : first + len(widths)] = [str(int(width) // 8) for width in widths]
    options = {name for name, *_ in estimator_options(find_model(words[1]))}
    epochs = [f"--{name.replace('_', '-')}=1" for name in ("max_epochs", "layer_epochs") if name in options]
    return [*words, *epochs, "--no-report"]


@every_page
def test_commands_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", PAGES[name], re.DOTALL)).replace("\\\n", " ")
    commands = [shlex.split(line, comments=True) for line in lines.splitlines() if line.startswith("isthmus ")]
    assert any(command[1] == "train" for command in commands)
    for command in commands:
        assert main(smaller(command[1:])) == 0, (command, capsys.readouterr().err)

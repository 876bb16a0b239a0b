"""What the README shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isthmus.cli.main import COMMANDS, main

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_python_blocks_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(block, names)  # noqa: S102
    assert names["history"][-1]["loss"] < names["history"][0]["loss"]


def test_commands_exist_and_know_the_options_shown(capsys):
    lines = re.findall(r"^isthmus (\w+) (.*?)(?: {2,}#.*)?$", README, re.MULTILINE)
    assert {command for command, _ in lines} <= set(COMMANDS)
    for command, rest in lines:
        inner = [word for word in rest.split()[:1] if command in ("train", "data") and not word.startswith("-")]
        if command == "train" and not inner:
            inner = ["vae"]
        assert main([command, *inner, "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(option in shown for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(path):
    assert (Path(__file__).parent.parent / path).exists()

"""What pages show runs as it stands, but for one epoch and on small data; links lead somewhere. `pages.py` says how."""

from __future__ import annotations

import re
import shlex
import shutil
from collections import Counter

import pytest

from pages import (
    EXAMPLES,
    PAGES,
    ROOT,
    blocks,
    commands,
    python,
    run_command,
    run_python,
    text_of,
    write_files_of_a_reader,
)

README = ROOT / "README.md"

# How many blocks of a page are not run, each with its reason on the page.
NOT_RUN = {"README.md": 2, "docs/models/gaussian-mixture.md": 1, "docs/processes.md": 3}


def name_of(path) -> str:
    return path.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@pytest.fixture(scope="module")
def files_of_a_reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    return folder, write_files_of_a_reader(folder)


@pytest.fixture
def reader(files_of_a_reader, tmp_path, monkeypatch):
    """A folder of its own with a reader's files, to be in while a page runs; the names that Python expects."""
    folder, names = files_of_a_reader
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return dict(names)


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page)):
        assert (page.parent / target).exists(), target


@every_page
def test_blocks_say_what_they_are(page):
    """What looks like commands or Python is marked as such, and so runs."""
    for block in blocks(page):
        if block.kind not in ("python", "sh") and block.why is None:
            assert re.findall(r"^(?:isthmus|make|pip|python|torchrun|from|import) ", block.code, re.MULTILINE) == []


def test_what_is_not_run_is_counted():
    assert Counter(name_of(page) for page in PAGES for block in blocks(page) if block.why) == NOT_RUN


@pytest.mark.parametrize(
    "page", [page for page in PAGES if python(page) and page not in (README, *EXAMPLES.values())], ids=name_of
)
def test_python_runs(page, reader):
    run_python(page, reader)


def test_the_readme_s_python_runs_in_full_and_learns(reader):
    names = run_python(README, reader, shorten=False)
    assert names["history"][-1]["loss"] < names["history"][0]["loss"]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_commands_run(page, reader, capsys):
    for words in commands(page):
        assert run_command(words) == 0, (shlex.join(words), capsys.readouterr().err)

"""The lectures' examples, pages of docs/inference: each runs in full, prints what the page says, and draws."""

from __future__ import annotations

import re

import pytest
from matplotlib.figure import Figure

from pages import EXAMPLES, ROOT, blocks, run_example, text_of, with_printed

every_example = pytest.mark.parametrize("name", EXAMPLES)


def test_the_index_and_the_lectures_name_every_example():
    index = text_of(ROOT / "docs" / "inference" / "README.md")
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", index)) == set(EXAMPLES)
    assert set(re.findall(r"\]\(inference/([a-z-]+)\.md\)", text_of(ROOT / "docs" / "lectures.md"))) == set(EXAMPLES)


@every_example
def test_a_page_has_an_equation_its_picture_and_references(name):
    path = EXAMPLES[name]
    text = text_of(path)
    assert "$$" in text
    assert "## References" in text
    shown = re.findall(r"!\[[^\]]{10,}\]\(([^)]+\.png)\)", text)
    assert shown == [f"figures/{name}.png"]
    assert (path.parent / shown[0]).stat().st_size < 60_000


@every_example
def test_an_example_prints_what_its_page_says_and_draws(name):
    """Every block, in full; no figure on a page is typed."""
    path = EXAMPLES[name]
    names, printed = run_example(path)
    assert with_printed(text_of(path), printed) == text_of(path)
    assert isinstance(names["figure"], Figure)
    *_, last = (block for block in blocks(path) if block.kind == "python")
    assert "new_figure(" in last.code


def test_what_a_block_prints_takes_the_place_of_what_was_there():
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n\nWords.\n\n```python\nx = 1\n```\n\nMore.\n"
    assert with_printed(page, ["1\n", ""]) == page.replace("2", "1")
    assert with_printed(page, ["1\n", "3\n"]).endswith("x = 1\n```\n\n```text\n3\n```\n\nMore.\n")
    assert with_printed(page, ["", ""]) == page.replace("\n```text\n2\n```\n", "")

"""Every model has a page, with an equation, its use, a figure, and Python and a command, which run in test_pages.py."""

from __future__ import annotations

import re

import pytest

from isthmus.cli.options import models
from pages import MODEL_PAGES, ROOT, commands, python, text_of

every_model = pytest.mark.parametrize("name", MODEL_PAGES)


def test_every_model_has_a_page_and_the_index_names_it():
    assert set(models()) == set(MODEL_PAGES)
    index = text_of(ROOT / "docs" / "models" / "README.md")
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", index)) == set(MODEL_PAGES)


@every_model
def test_a_page_has_an_equation_its_use_and_a_figure(name):
    path = MODEL_PAGES[name]
    text = text_of(path)
    assert "$$" in text
    assert re.search(r"\*\*Use", text)
    assert "## References" in text
    figures = re.findall(r"!\[[^\]]{10,}\]\(([^)]+\.png)\)", text, flags=re.DOTALL)
    assert figures
    for figure in figures:
        assert (path.parent / figure).stat().st_size < 150_000


@every_model
def test_a_page_shows_python_and_how_to_train(name):
    assert python(MODEL_PAGES[name])
    assert any(words[:2] == ["isthmus", "train"] for words in commands(MODEL_PAGES[name]))

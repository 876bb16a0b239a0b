"""Formulas as MathML, which browsers draw themselves: the pages load nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

__all__ = ["setup"]

CONVERTER = LatexToMathML()
LOGGER = logging.getLogger(__name__)


def written(node: nodes.Element, block: bool) -> str:
    """A formula's LaTeX as MathML; one that can't be read is shown as it is, with a warning."""
    tex = node.astext()
    try:
        return CONVERTER.convert_with_local_state(tex, displaystyle=block)
    except LatexError as error:
        LOGGER.warning("Expected LaTeX that math-core can read, got %r: %s", tex, error, location=node)
        return f"<code>{escape(tex)}</code>"


def visit_inline(translator: Any, node: nodes.Element) -> None:
    """Write a formula in a line."""
    translator.body.append(written(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.Element) -> None:
    """Write a formula of its own; a wide one can be scrolled."""
    translator.body.append(translator.starttag(node, "div", CLASS="formula"))
    translator.body.append(f"{written(node, block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Make this the way in which pages show formulas."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}

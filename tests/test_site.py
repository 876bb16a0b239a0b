"""The site's reference has every public name, new ones by themselves; docstrings and formulas come out as meant."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
from docutils import nodes

import isthmus


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "docs"))
    module = import_module("reference")
    yield module
    module.homes.cache_clear()
    del sys.modules["reference"]


def test_every_public_name_has_one_place(reference):
    pages = reference.pages()
    for part in reference.parts():
        for name in part.__all__:
            home = reference.homes().get(f"{part.__name__}.{name}")
            shown = [f".. {kind}:: {home}\n" for kind in ("autoclass", "autofunction")]
            shown.append(f".. py:data:: {name}\n")
            where = [page for page, text in pages.items() if any(line in text for line in shown)]
            assert len(where) == 1, (part.__name__, name, where)
    assert "isthmus.VAE" in pages
    assert "isthmus.estimators.VAE" not in pages
    assert "   ~isthmus.VAE\n" in pages["isthmus.estimators"]


def test_a_new_name_appears_by_itself(reference, monkeypatch):
    part = import_module("isthmus.priors")
    monkeypatch.setattr(part, "VampPrior", type("VampPrior", (), {"__module__": part.__name__}), raising=False)
    monkeypatch.setattr(part, "__all__", [*part.__all__, "VampPrior"])
    pages = reference.pages()
    assert ".. autoclass:: isthmus.priors.VampPrior\n" in pages["isthmus.priors.VampPrior"]
    assert "   VampPrior\n" in pages["isthmus.priors"]


def test_pages_are_written_where_they_changed_and_old_ones_removed(reference, tmp_path):
    (tmp_path / "isthmus.gone.rst").write_text("")
    reference.write(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(reference.pages())
    (tmp_path / "index.rst").write_text("")
    before = (tmp_path / "isthmus.rst").stat().st_mtime_ns
    reference.write(tmp_path)
    assert (tmp_path / "index.rst").read_text().startswith("Python reference\n")
    assert (tmp_path / "isthmus.rst").stat().st_mtime_ns == before


def test_docstrings_are_plain_text_with_backticks(reference):
    lines = [
        "One :math:`a_b * c_`.",
        "",
        "Args:",
        "    *args: of `f(*x, y_)`, feature_shape_.",
        "",
        "Attributes:",
        "    model_: its",
        "",
        "Returns:",
        "    For each x: (n, *feature_shape_).",
        "",
        "References:",
        "    One (2001). First",
        "        part.",
        "    Two (2002).",
        "",
        "Example:",
        "    >>> f(*x).y_",
        "    2 * y_",
    ]
    reference.prepare(None, "class", "f", None, None, lines)
    assert lines == [
        "One :math:`a_b * c_`.",
        "",
        "Args:",
        r"    \*args: of `f(*x, y_)`, feature_shape\_.",
        "",
        "Attributes:",
        "    model_: its",
        "",
        "Returns:",
        rf"    For each x{reference.COLON} (n, \*feature_shape\_).",
        "",
        "References:",
        "    - One (2001). First",
        "      part.",
        "    - Two (2002).",
        "",
        "Example:",
        "    >>> f(*x).y_",
        "    2 * y_",
    ]
    after = [f"For each x{reference.COLON} y", ":ivar model_: its"]
    reference.restore(None, "class", "f", None, None, after)
    assert after == ["For each x: y", r":ivar model\_: its"]


def test_what_is_inherited_from_elsewhere_is_left_out(reference):
    skipped = [reference.skip_foreign(None, "class", "", member, False, None) for member in (
        isthmus.VAE.fit, isthmus.VAE.get_params, isthmus.LatentVariableModel.parameters
    )]  # fmt: skip
    assert skipped == [None, True, True]


def test_formulas_are_mathml_and_bad_ones_a_warning(reference, monkeypatch):
    mathml = import_module("mathml")
    assert mathml.written(nodes.math("", r"\log p(x)"), block=False).startswith("<math")
    said = []
    monkeypatch.setattr(mathml.LOGGER, "warning", lambda message, *rest, **where: said.append(rest[0]))
    assert mathml.written(nodes.math("", r"\nosuch{a<b}"), block=False) == r"<code>\nosuch{a&lt;b}</code>"
    assert said == [r"\nosuch{a<b}"]

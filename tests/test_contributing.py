"""What CONTRIBUTING.md shows works: its model is taken from the page and used. The lock that it installs is plain."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import isthmus

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page():
    """The page's Python as a module, which is forgotten again afterwards."""
    from isthmus.estimators import LatentEstimator

    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    module = ModuleType("beta_vae_of_the_page")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(code, "CONTRIBUTING.md", "exec"), module.__dict__)  # noqa: S102
        yield module
    finally:
        del sys.modules[module.__name__]
        LatentEstimator.kinds.pop("BetaVAE", None)


def test_the_example_in_its_docstring_runs(page):
    results = doctest.testmod(page)
    assert results.attempted == 3
    assert results.failed == 0


def test_beta_presses_the_code_towards_the_prior(page, digits, tmp_path):
    rates = []
    for beta in (0.1, 10.0):
        model = page.BetaVAE(4, beta=beta, hidden=(32,), max_epochs=5, random_state=0).fit(digits)
        rates.append(model.history_[-1]["rate"])
    assert rates[1] < 0.5 * rates[0]

    loaded = isthmus.load(model.save(tmp_path))
    assert type(loaded) is page.BetaVAE
    assert loaded.beta == 10.0
    np.testing.assert_array_equal(loaded.transform(digits), model.transform(digits))


def test_the_makefile_s_torch_is_the_page_s():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    (pin,) = re.findall(r"^TORCH := (.+)$", makefile, flags=re.MULTILINE)
    assert f"pip install {pin}\n" in PAGE


def test_the_lock_names_versions_and_hashes_and_no_place():
    lock = (Path(__file__).parents[1] / "requirements.lock").read_text(encoding="utf-8")
    packages = re.findall(r"^([a-z0-9-]+)==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", lock, flags=re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[^ #\n]", lock, flags=re.MULTILINE))
    assert {"numpy", "scikit-learn", "pytest", "ruff"} <= set(packages)
    assert [name for name in packages if re.match("torch$|triton$|nvidia-|cuda-", name)] == []
    assert re.findall(r"://|^-", lock, flags=re.MULTILINE) == []

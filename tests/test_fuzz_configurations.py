"""Configurations of anything: refused in words, in little memory and time, or a model that can be made."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hostile
from children import forks, in_child
from estimator_cases import MAKE
from isthmus.cli.main import main
from isthmus.estimators import LatentEstimator
from isthmus.files import UnreadableFile
from isthmus.training.run import Run

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(hostile.VALUES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
RECORDS = {name: make().configuration() for name, make in MAKE.items()}


def made(record: Any) -> str:
    """How making an estimator of a record ends."""
    try:
        model = LatentEstimator.from_configuration(record, "config.json")
    except UnreadableFile as error:
        return "refused" if "config.json" in str(error) and len(str(error)) <= 2_000 else str(error)
    except ValueError as error:  # a record of own modules, which were not passed
        return "refused" if "the model's own modules" in str(error) else str(error)
    model.configuration()
    return "made"


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(RECORDS)), place=st.integers(0, 999), value=json_values)
def test_any_value_anywhere_makes_an_estimator_or_is_refused(name, place, value):
    paths = list(hostile.paths(RECORDS[name]))
    assert made(hostile.changed(RECORDS[name], paths[place % len(paths)], value)) in ("made", "refused")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["format", "kind", "estimator", "parameters", "x"]), json_values))
def test_any_record_is_refused(record):
    assert made(record) == "refused"


# --- on the command line ------------------------------------------------------------------------------

MEGABYTES = 2_000
"""More than any of these commands may take beside what the tests have: a model that does not fit is found before."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        patched.setattr("sys.stderr", open("/dev/null", "w"))
        assert main(["train", "vae", "--hidden", "4", "--max-epochs", "1", "--no-report", "--out", str(folder)]) == 0
    return folder


def cases(folder: Path) -> list[tuple[tuple[Any, ...], Any]]:
    record = json.loads((folder / "config.json").read_text())
    return [(path, value) for path in hostile.paths(record) for value in hostile.VALUES]


def commands(folder: Path, chosen: list[tuple[tuple[Any, ...], Any]]) -> list[str]:
    """Which of the changed configurations ended a command with anything but words."""
    resource = pytest.importorskip("resource")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (500, 500))
    Run.finished = property(lambda run: run.state.step >= 2)  # type: ignore[assignment]
    record = json.loads((folder / "config.json").read_text())
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    failures = []
    for path, value in chosen:
        (folder / "config.json").write_text(json.dumps(hostile.changed(record, path, value)))
        for command in (["train", "--resume", "--no-report", "--out"], ["evaluate"]):
            try:
                code: Any = main([*command, str(folder)])
            except BaseException as error:
                code = f"{type(error).__name__}: {error}"
            if code not in (0, 1, 2):
                failures.append(f"{command[0]} with {path} = {repr(value)[:60]} ended with {code}"[:500])
        for name, data in files.items():
            name.write_bytes(data)
    return failures


@forks
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.filterwarnings("ignore")  # a command line has no errors made of warnings
@pytest.mark.parametrize("n", [25, pytest.param(10_000, marks=pytest.mark.slow)])
def test_commands_on_any_configuration_end_in_words(finished, n):
    seed = random.SystemRandom().randrange(2**31)
    chosen = cases(finished)
    random.Random(seed).shuffle(chosen)
    assert in_child(lambda: commands(finished, chosen[:n])) == []

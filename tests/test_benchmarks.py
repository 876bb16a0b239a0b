"""Benchmarks run from end to end at a tiny size, without peers; their results say what they depend on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from processes_starting import Started

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("bench_*.py"))
RESULTS = sorted((FOLDER / "results").glob("*.json"))


def run(script: str, out: Path, *arguments: str) -> str:
    """What a script prints at its tiny size, where no environment of the peers is found."""
    # Elsewhere, and with links to the scripts: the peers' environment is looked for beside their folder.
    elsewhere = out / "benchmarks"
    if not elsewhere.exists():
        elsewhere.mkdir()
        for path in FOLDER.glob("*.py"):
            (elsewhere / path.name).write_bytes(path.read_bytes())
        (out / "src").symlink_to(FOLDER.parent / "src", target_is_directory=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("ISTHMUS_DATA", raising=False)
        arguments = ("--tiny", "--out", str(out / "results"), *arguments)
        process = Started("processes_starting", "run_script", elsewhere / f"{script}.py", *arguments)
    text = process.output(timeout=300)
    assert process.returncode == 0, text
    return text


def check_fields(parts: dict) -> None:
    """Each part of a results file says how, where and with what it was measured."""
    assert parts
    for part in parts.values():
        assert set(part) == {"command", "seed", "environment", "results"}
        assert part["command"].startswith("python benchmarks/bench_")
        assert isinstance(part["seed"], int)
        asked = {"commit", "time", "processor", "cores", "threads", "gpu", "python", "torch", "numpy", "isthmus"}
        assert asked <= set(part["environment"])
        assert part["results"]


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("bench_likelihood", ["against_pythae"]),
        pytest.param("bench_training", ["mlp"], marks=pytest.mark.slow),
        pytest.param("bench_training", ["convolutional"], marks=pytest.mark.slow),
        pytest.param("bench_likelihood", ["test_set"], marks=pytest.mark.slow),
        pytest.param("bench_scoring", ["rows_per_second", "memory"], marks=pytest.mark.slow),
        pytest.param("bench_costs", ["rows", "widths", "latent", "processes"], marks=pytest.mark.slow),
        pytest.param("bench_contractive", ["closed_form", "estimated", "precision"], marks=pytest.mark.slow),
        pytest.param("bench_startup", ["waiting"], marks=pytest.mark.slow),
    ],
)
def test_a_script_runs_and_says_that_peers_are_left_out(script, parts, tmp_path):
    text = run(script, tmp_path, "--only", *parts)
    (path,) = (tmp_path / "results").glob("*.json")
    found = json.loads(path.read_text())
    assert list(found) == parts
    check_fields(found)
    for part in found.values():
        if "peers" in part["results"]:
            assert "use make peers" in part["results"]["peers"]["left_out"]
            assert "left out of the results" in text
            assert "pythae" not in json.dumps({**part["results"], "aims": None, "peers": None})


def test_what_was_measured_at_this_commit_is_not_missing(tmp_path):
    assert "times" in run("bench_small_tables", tmp_path)
    check_fields(json.loads((tmp_path / "results" / "small_tables.json").read_text()))
    written = (tmp_path / "results" / "small_tables.json").read_text()
    assert run("bench_small_tables", tmp_path, "--missing") == ""
    assert (tmp_path / "results" / "small_tables.json").read_text() == written


def test_without_a_gpu_its_script_says_so(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run("bench_gpu", tmp_path) == "no GPU here: nothing measured\n"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_say_what_they_depend_on(path):
    check_fields(json.loads(path.read_text()))


def test_every_script_is_on_the_page():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [script for script in SCRIPTS if f"`{script}.py`" not in page] == []
    assert {f"bench_{path.stem}" for path in RESULTS} <= set(SCRIPTS)


def test_the_figures_of_the_page_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from summary import page

    text = (FOLDER / "README.md").read_text()
    assert page(text) == text, "run benchmarks/summary.py"

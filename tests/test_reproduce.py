"""Tables run again: the machinery and the command, on a made-up table."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from isthmus.cli.main import main
from isthmus.files import UnreadableFile
from isthmus.reproduce import (
    NAMES,
    Measure,
    Published,
    Record,
    Results,
    Row,
    Table,
    chart,
    find_table,
    page,
    reproduce,
    saved_results,
)  # fmt: skip
from isthmus.reproduce.results import Figure, measured
from isthmus.training.folder import _held, own_folder

CALLS: list = []


def recipe(job):
    """A recipe that counts its calls, with a value for each of 1,000 examples."""
    CALLS.append((job.settings, job.seed))
    values = np.random.default_rng(job.seed).normal(job.settings["level"], 1.0, 1000)
    job.keep("values", values[:3])
    return {"error": values, "size": 7.0}


def a_table(level: float = 2.0, findings: str = "") -> Table:
    return Table(
        "made-up",
        "A made-up table",
        (Measure("error", "error, %"), Measure("size", "size", 0)),
        (
            Row("one", "one seed", recipe, {"level": level}, {"error": Published(2.4, "memory")}, seeds=1),
            Row("three", "three seeds", recipe, {"level": level}, {"error": Published(1.5, "paper")}),
        ),
        "About it.",
        findings,
        data="digits",
        small={"level": 1.0},
    )


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


def test_rows_are_run_once_with_each_seed_and_again_when_their_settings_change(tmp_path):
    results = reproduce(a_table(), tmp_path)
    assert [seed for _, seed in CALLS] == [0, 0, 1, 2]
    assert [(record.row, record.seed) for record in results.records] == [
        ("one", 0), ("three", 0), ("three", 1), ("three", 2),
    ]  # fmt: skip
    reproduce(a_table(), tmp_path)
    assert len(CALLS) == 4
    (tmp_path / "one" / "seed-0.json").write_text("{")  # torn
    reproduce(a_table(), tmp_path)
    assert len(CALLS) == 5
    assert reproduce(a_table(level=3.0), tmp_path, rows=["one"]).of_row("three") == []  # those were of other settings
    assert len(CALLS) == 6
    reproduce(a_table(level=3.0), tmp_path, rows=["one"], again=True)
    assert len(CALLS) == 7


def test_figures_are_means_with_what_spread_they_have(tmp_path):
    results = reproduce(a_table(), tmp_path)
    one, three = results.figure("one", "error"), results.figure("three", "error")
    values = np.random.default_rng(0).normal(2.0, 1.0, 1000)
    assert one.mean == pytest.approx(values.mean())
    assert one.high - one.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(1000), rel=0.1)
    means = [np.random.default_rng(seed).normal(2.0, 1.0, 1000).mean() for seed in range(3)]
    assert (three.mean, three.deviation) == pytest.approx((np.mean(means), np.std(means, ddof=1)))
    assert math.isnan(results.figure("one", "size").low)
    assert results.figure("one", "other") is None
    np.testing.assert_array_equal(results.arrays("one")["values"], values[:3])


def test_a_stopped_row_goes_on_from_its_checkpoints(tmp_path):
    places = []

    def stopped_once(job):
        places.append((job.place("model") / "half").exists())
        job.place("model").mkdir(parents=True, exist_ok=True)
        (job.place("model") / "half").touch()
        if len(places) == 1:
            raise KeyboardInterrupt
        return {"error": 1.0}

    table = Table("t", "T", (Measure("error", "error"),), (Row("r", "R", stopped_once, seeds=1),), "", data="digits")
    with pytest.raises(KeyboardInterrupt):
        reproduce(table, tmp_path)
    assert saved_results(table, tmp_path).records == []
    assert len(reproduce(table, tmp_path).records) == 1
    assert places == [False, True]
    assert not (tmp_path / "r" / "seed-0").exists()


def test_a_row_belongs_to_one_process_at_a_time_and_leaves_no_folder(tmp_path):
    place = tmp_path / "one" / "seed-0"
    with own_folder(place):
        # The lock is the block's: a process beside it is refused, whatever it holds itself.
        held = _held.set(frozenset())
        with pytest.raises(ValueError, match="Expected a folder that no other run is using"):
            reproduce(a_table(), tmp_path, rows=["one"])
        _held.reset(held)
    assert CALLS == []
    reproduce(a_table(), tmp_path, rows=["one", "one"], seeds=[0, 0], again=True)
    assert len(CALLS) == 1
    assert sorted(path.name for path in place.parent.iterdir()) == ["seed-0.json", "seed-0.npz"]


def test_the_reduced_form_is_never_taken_for_the_row_itself(tmp_path):
    table = dataclasses.replace(a_table(), small={})  # so that settings are the same
    for reduced in (True, False):
        results = reproduce(table, tmp_path, rows=["one"], reduced=reduced)
        assert len(results.records) == 1
    assert len(CALLS) == 2
    path = tmp_path / "reduced.json"
    path.write_text(json.dumps(saved_results(table, tmp_path, reduced=True).to_dict()))
    with pytest.raises(UnreadableFile, match="reduced form"):
        Results.published(table, path)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_impossible_seeds_are_found_before_anything_is_run(seed, tmp_path):
    with pytest.raises(ValueError, match=f"Expected seeds from 0 to .*, got {seed}"):
        reproduce(a_table(), tmp_path, seeds=[0, seed])
    assert CALLS == []


@pytest.mark.parametrize("value", [math.nan, np.array([1.0, math.inf]), np.zeros(0)])
def test_figures_that_are_not_finite_are_refused_in_words(value):
    with pytest.raises(ValueError, match="Expected finite figures, got error of"):
        measured({"error": value})


def test_results_come_back_from_their_file_and_others_are_refused(tmp_path):
    results = reproduce(a_table(), tmp_path / "runs")
    path = tmp_path / "made-up.json"
    path.write_text(json.dumps(results.to_dict()))
    assert Results.published(a_table(), path).records == results.records
    assert Results.published(a_table(level=5.0), path).records == []
    for broken in (
        {"kind": "other"},
        results.to_dict() | {"records": None},
        results.to_dict() | {"name": "x"},
        results.to_dict() | {"records": [{}]},
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(UnreadableFile):
            Results.published(a_table(), path)


def test_the_page_says_what_was_published_measured_and_how_sure_it_is(tmp_path):
    results = reproduce(a_table(findings="It is {one[error]} and {three[size]}."), tmp_path, rows=["one"])
    text = page(results)
    figure = results.figure("one", "error")
    assert f"| 2.40² | {figure.text(2)} |" in text
    assert "² From memory, not verified." in text
    assert "| 1.50 | not run |" in text
    assert f"It is {figure.mean:.2f} and (not run)." in text
    assert "reduced form" not in text
    assert "reduced form" in page(reproduce(a_table(), tmp_path / "small", reduced=True))


def test_bad_tables_are_refused():
    rows = a_table().rows
    with pytest.raises(ValueError, match="names of their own"):
        Table("t", "T", a_table().measures, (rows[0], rows[0]), "")
    with pytest.raises(ValueError, match="got \\['error'\\]"):
        Table("t", "T", (Measure("size", "size"),), rows, "")
    with pytest.raises(ValueError, match="one, three, got 'two'"):
        a_table().row("two")
    with pytest.raises(ValueError, match="Expected a table's name"):
        find_table("nothing")


def test_intervals_shrink_with_the_number_of_examples():
    wide, narrow = (measured({"a": np.arange(n) % 2})["a"] for n in (100, 10_000))
    assert 8 < (wide["high"] - wide["low"]) / (narrow["high"] - narrow["low"]) < 12
    assert measured({"a": 3})["a"] == {"value": 3.0, "low": None, "high": None}


def test_an_interval_without_width_holds_what_is_the_same_to_these_digits():
    figure = Figure(1.5, 0.0, 1.5, 1.5, 3)
    assert figure.holds(1.5 + 1e-9, 2)
    assert not figure.holds(1.51, 2)


def test_the_command_lists_checks_and_compares(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "--list"]) == 0
    assert all(name in capsys.readouterr().out for name in ["dimensionality"])
    assert main(["reproduce", "dimensionality", "--list"]) == 0
    assert "pca" in capsys.readouterr().out
    assert main(["reproduce"]) == 2
    assert main(["reproduce", "dimensionalty"]) == 2
    assert "did you mean 'dimensionality'" in capsys.readouterr().err
    assert main(["reproduce", "dimensionality", "--rows", "pcaa"]) == 2
    assert "did you mean 'pca'" in capsys.readouterr().err
    assert main(["reproduce", "dimensionality", "--reduced", "--docs", "x"]) == 2
    capsys.readouterr()
    assert main(["reproduce", "dimensionality", "--no-run"]) == 0
    assert "not run" in (tmp_path / "runs/reproduce/dimensionality/dimensionality.md").read_text(encoding="utf-8")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command knows the made-up table, and is run in a folder of its own."""
    monkeypatch.setattr("isthmus.reproduce.find_table", lambda name: a_table())
    monkeypatch.setattr("isthmus.reproduce.catalogue.find_table", lambda name: a_table())
    monkeypatch.setitem(NAMES, "made-up", "a made-up table")
    monkeypatch.chdir(tmp_path)


def test_a_figure_outside_the_committed_interval_ends_with_an_error(command, tmp_path, capsys):
    assert main(["reproduce", "made-up", "--docs", "docs"]) == 0
    committed = tmp_path / "docs" / "made-up.json"
    assert main(["reproduce", "made-up", "--again", "--rows", "one", "--against", str(committed)]) == 0
    plain = json.loads(committed.read_text())
    for record in plain["records"]:
        record["values"]["error"] = {"value": 5.0, "low": 4.9, "high": 5.1}
    committed.write_text(json.dumps(plain))
    capsys.readouterr()
    assert main(["reproduce", "made-up", "--no-run", "--against", str(committed)]) == 1
    assert "one error" in capsys.readouterr().err


def test_what_is_compared_with_is_read_before_it_is_written(command, tmp_path, capsys):
    assert main(["reproduce", "made-up", "--docs", "docs"]) == 0
    committed = tmp_path / "docs" / "made-up.json"
    plain = json.loads(committed.read_text())
    for record in plain["records"]:
        record["values"]["error"] = {"value": 5.0, "low": 4.9, "high": 5.1}
    committed.write_text(json.dumps(plain))
    capsys.readouterr()
    assert main(["reproduce", "made-up", "--no-run", "--docs", "docs", "--against", str(committed)]) == 1
    assert "2 of 4 figures" in capsys.readouterr().err


def test_a_comparison_of_nothing_is_an_error(command, tmp_path, capsys):
    assert main(["reproduce", "made-up", "--rows", "one", "--docs", "docs"]) == 0
    path = "docs/made-up.json"
    assert main(["reproduce", "made-up", "--rows", "three", "--out", "other", "--against", path]) == 1
    assert "committed figures of rows that were run here" in capsys.readouterr().err


def test_bad_files_and_folders_are_found_before_anything_is_run(command, tmp_path, capsys):
    (tmp_path / "file").write_text("{")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "made-up.json").write_text("{")
    for options in (
        ["--docs", "torn"],
        ["--docs", "file"],
        ["--out", "file"],
        ["--against", "file"],
        ["--against", "x"],
    ):
        assert main(["reproduce", "made-up", *options]) == 1
        error = capsys.readouterr().err
        assert "Expected JSON in" in error or "readable file" in error or "folder that can be written to" in error
    assert CALLS == []
    assert (tmp_path / "torn" / "made-up.json").read_text() == "{"


def test_docs_keep_rows_that_were_run_elsewhere(command, tmp_path):
    for row in ("one", "three"):
        assert main(["reproduce", "made-up", "--rows", row, "--out", row, "--docs", "docs"]) == 0
    results = Results.published(a_table(), tmp_path / "docs" / "made-up.json")
    assert [len(results.of_row(row)) for row in ("one", "three")] == [1, 3]
    assert isinstance(results.records[0], Record)


def test_a_chart_of_nothing_is_none_and_of_curves_is_a_picture(tmp_path):
    assert chart(Results(a_table(), [])) is None
    rows = tuple(
        Row(f"{series}-{at}", series, recipe, {"level": at}, series=series, at=at, seeds=1)
        for series in ("a", "b")
        for at in (1.0, 10.0)
    )
    table = Table("curves", "Curves", (Measure("error", "error"),), rows, "", data="digits", x="size", log_x=True)
    assert chart(reproduce(table, tmp_path)).startswith(b"\x89PNG")

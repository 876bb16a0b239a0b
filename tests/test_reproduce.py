"""Tables run again: the machinery on a made-up table, and every table in its reduced form."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

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
from isthmus.reproduce.logistic_pca import LogisticPCA
from isthmus.reproduce.page import filled
from isthmus.reproduce.results import measured

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


def test_results_come_back_from_their_file_and_others_are_refused(tmp_path):
    results = reproduce(a_table(), tmp_path / "runs")
    path = tmp_path / "made-up.json"
    path.write_text(json.dumps(results.to_dict()))
    assert Results.published(a_table(), path).records == results.records
    assert Results.published(a_table(level=5.0), path).records == []
    for broken in ({"kind": "other"}, results.to_dict() | {"name": "x"}, results.to_dict() | {"records": [{}]}):
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


def test_logistic_pca_descends_and_fits_better_than_a_linear_decoder_of_the_same_code(digits):
    x = digits.reshape(len(digits), -1).astype(np.float32)
    model = LogisticPCA(8, n_sweeps=8).fit(x)
    assert model.sweep_losses == sorted(model.sweep_losses, reverse=True)
    centred = x - x.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    linear = np.clip(centred @ directions[:8].T @ directions[:8] + x.mean(0), 0, 1)
    assert ((model.reconstruct(x) - x) ** 2).sum() < ((linear - x) ** 2).sum()


def test_logistic_pca_codes_are_logistic_regressions():
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    x = (generator.random((1, 200)) < 0.5).astype(np.float32)
    model = LogisticPCA(3, n_sweeps=40, ridge=0.5)
    import torch

    model.weights = torch.from_numpy(np.c_[generator.normal(size=(200, 3)), np.zeros(200)].astype(np.float32))
    z = model._codes(torch.from_numpy(x), torch.zeros(1, 3), 40)
    reference = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10).fit(model.weights[:, :3].numpy(), x[0])
    np.testing.assert_allclose(z[0].numpy(), reference.coef_[0], rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_table_runs_in_its_reduced_form(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", name, "--reduced", "--json"]) == 0, capsys.readouterr().err
    rows = json.loads(capsys.readouterr().out)["rows"]
    table = find_table(name)
    assert [row["row"] for row in rows] == [row.name for row in table.rows]
    for row in rows:
        first = row["measured"][table.measures[0].name]["mean"]
        assert math.isfinite(first), row
    folder = tmp_path / "runs" / "reproduce" / f"{name}-reduced"
    assert "reduced form" in (folder / f"{name}.md").read_text(encoding="utf-8")
    assert (folder / f"{name}.png").stat().st_size > 5_000


@pytest.mark.parametrize("name", NAMES)
def test_findings_name_rows_and_measures_that_there_are(name):
    table = find_table(name)
    assert "(not run)" not in filled("", Results(table, []))
    filled(table.findings, Results(table, []))
    assert set(table.small) <= {setting for row in table.rows for setting in row.settings}
    assert table.name == name


def test_the_index_names_all_tables_and_no_other():
    text = (Path(__file__).parents[1] / "docs" / "reproductions" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1\.md\) \| .+ \| `isthmus reproduce \1` \|$", text, re.MULTILINE)
    assert sorted(listed) == sorted(NAMES)


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


def test_a_figure_outside_the_committed_interval_ends_with_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("isthmus.reproduce.find_table", lambda name: a_table())
    monkeypatch.setattr("isthmus.reproduce.catalogue.find_table", lambda name: a_table())
    monkeypatch.setitem(NAMES, "made-up", "a made-up table")
    monkeypatch.chdir(tmp_path)
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


def test_docs_keep_rows_that_were_run_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.reproduce.find_table", lambda name: a_table())
    monkeypatch.setattr("isthmus.reproduce.catalogue.find_table", lambda name: a_table())
    monkeypatch.setitem(NAMES, "made-up", "a made-up table")
    monkeypatch.chdir(tmp_path)
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

"""Every table in its reduced form, its findings, and the index of all."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from isthmus.cli.main import main
from isthmus.reproduce import NAMES, Results, find_table
from isthmus.reproduce.page import filled


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

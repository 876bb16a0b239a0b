"""The page of a table, in Markdown: published beside measured, the picture, findings, and how it was run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .results import Record, Results
from .table import Measure, Published, Row, Table

__all__ = ["page"]

SEEN = {
    "paper": "",
    "quoted": "¹",
    "memory": "²",
}
"""Marks of figures that were not seen in the paper itself."""

NOTES = {
    "quoted": "¹ Quoted by another source; not seen in the paper itself.",
    "memory": "² From memory, not verified.",
}

FORMS = {"today": "As one would train it today", "published": "As published"}


def page(results: Results, picture: bool = True) -> str:
    """The page, which stands beside NAME.json and, where there is one, the picture NAME.png."""
    table = results.table
    parts = [f"# {table.title}", table.about.strip()]
    if table.reference:
        parts.append(table.reference.strip())
    if results.reduced:
        parts.append("**The reduced form, on small data: to see that it runs. No figure here means anything.**")
    parts += [part for form in FORMS if (part := _of_form(results, form))]
    if notes := _notes(table):
        parts.append("\n".join(notes))
    parts.append(_meaning(results))
    if picture:
        published = any(row.published for row in table.rows)
        words = "what was published beside what was measured" if published else "what was measured"
        parts.append(f"![{table.title}: {words}]({table.name}.png)")
    if table.findings:
        parts.append("## What came out\n\n" + filled(table.findings.strip(), results))
    parts.append(_how(results))
    return "\n\n".join(parts) + "\n"


def _of_form(results: Results, form: str) -> str:
    rows = [row for row in results.table.rows if row.form == form]
    if not rows:
        return ""
    table = results.table
    published = {name for row in rows for name in row.published}
    heads = ["row", "what it is"]
    for measure in table.measures:
        both = [f"{measure.label}, published", f"{measure.label}, measured"]
        heads += both if measure.name in published else [measure.label]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [f"`{row.name}`", row.label]
        for measure in table.measures:
            if measure.name in published:
                cells.append(_published(row.published.get(measure.name), measure))
            cells.append(_measured(results, row, measure))
        lines.append(cells)
    several = len({row.form for row in table.rows}) > 1
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"## {FORMS[form]}\n\n{text}" if several else f"## Results\n\n{text}"


def _published(published: Published | None, measure: Measure) -> str:
    if published is None:
        return ""
    return f"{published.value:.{measure.digits}f}{SEEN[published.seen]}"


def _measured(results: Results, row: Row, measure: Measure) -> str:
    figure = results.figure(row.name, measure.name)
    if figure is not None:
        return figure.text(measure.digits)
    return "" if results.of_row(row.name) else "not run"


def _notes(table: Table) -> list[str]:
    seen = {published.seen for row in table.rows for published in row.published.values()}
    return [note for name, note in NOTES.items() if name in seen]


def _meaning(results: Results) -> str:
    """What the intervals are."""
    counts = sorted({len(results.of_row(row.name)) for row in results.table.rows} - {0})
    texts = []
    if any(count > 1 for count in counts):
        several = ", ".join(str(count) for count in counts if count > 1)
        texts.append(f"± is one standard deviation over {several} seeds.")
    if 1 in counts:
        texts.append("In brackets: one seed, and the 95 % bootstrap interval over the test examples.")
    return " ".join(texts) or "Nothing was run yet."


def filled(text: str, results: Results) -> str:
    """Markdown in which `{row[measure]}` is the measured figure."""
    table = results.table
    return text.format_map({row.name: {m.name: _short(results, row, m) for m in table.measures} for row in table.rows})


def _short(results: Results, row: Row, measure: Measure) -> str:
    figure = results.figure(row.name, measure.name)
    return "(not run)" if figure is None else f"{figure.mean:.{measure.digits}f}"


def _how(results: Results) -> str:
    """How to run it again, and what it was run with."""
    table = results.table
    lines = [
        "## How it was run",
        f"```\nisthmus reproduce {table.name}\n```",
        f"`{table.name}.json` has every setting, seed, commit and time. One row: `--rows ROW`; one seed: `--seeds 0`; "
        f"`--against {table.name}.json` says whether a figure lies in its interval.",
    ]
    if not results.records:
        return "\n\n".join(lines)
    lines.append("Data: " + " ".join(dict.fromkeys(record.data for record in results.records)))
    heads = ["row", "seeds", "minutes a seed", "threads", "commit"]
    rows = [heads, ["---"] * len(heads)]
    for row in table.rows:
        if records := results.of_row(row.name):
            rows.append(_run_cells(row, records))
    lines.append("\n".join("| " + " | ".join(cells) + " |" for cells in rows))
    machines = sorted({_machine(record.environment) for record in results.records})
    lines.append("Run on " + "; ".join(machines) + ".")
    lines.append("Settings:\n\n" + "\n".join(_settings_line(row) for row in table.rows if row.settings))
    return "\n\n".join(lines)


def _run_cells(row: Row, records: list[Record]) -> list[str]:
    minutes = sum(record.seconds for record in records) / len(records) / 60
    commits = sorted({str(record.environment.get("commit")) for record in records})
    threads = sorted({str(record.environment.get("threads")) for record in records})
    seeds = ", ".join(str(record.seed) for record in records)
    return [f"`{row.name}`", seeds, f"{minutes:.1f}", ", ".join(threads), ", ".join(commits)]


def _machine(environment: Mapping[str, Any]) -> str:
    gpu = environment.get("gpu")
    return f"{gpu or environment.get('processor')} with torch {environment.get('torch')}"


def _settings_line(row: Row) -> str:
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in row.settings.items())
    return f"- `{row.name}`: {settings}"


def _plain(value: Any) -> str:
    if isinstance(value, float) and not math.isnan(value):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(_plain, value)) + ")"
    return str(value)

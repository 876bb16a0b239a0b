"""`isthmus reproduce NAME`: a published table, run again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from ..files import explained, write_bytes, write_json, write_text
from .main import UsageError, did_you_mean
from .terminal import parse, print_result, say

if TYPE_CHECKING:
    from ..reproduce import Results

__all__ = ["ReproduceOptions", "run"]


@dataclass(kw_only=True)
class ReproduceOptions:
    """Run a published table again, and write what was published beside what was measured."""

    name: tyro.conf.Positional[str]
    """Name of the table; isthmus reproduce --list names them."""
    rows: tuple[str, ...] = ()
    """Rows to run; all if not given. isthmus reproduce NAME --list names them."""
    seeds: tuple[int, ...] = ()
    """Seeds to run each row with; 0, 1, ... as many as the row asks for, if not given."""
    reduced: bool = False
    """Small settings on the digits that come along, in seconds: to see that it runs."""
    again: bool = False
    """Run anew what was run already."""
    no_run: bool = False
    """Run nothing: write the page of what was run before."""
    against: Path | None = None
    """A committed .json of this table: say of each figure whether it lies within the interval there, and end with
    exit code 1 where one does not."""
    out: Path | None = None
    """Folder for results of rows, checkpoints and the page; runs/reproduce/NAME if not given."""
    docs: Path | None = None
    """Folder to write NAME.json, NAME.md and NAME.png to instead; rows that NAME.json there has and that were not run
    here are kept."""
    json: bool = False
    """Print the result as JSON."""


USAGE = """usage: isthmus reproduce NAME [options]      options: isthmus reproduce --help
       isthmus reproduce --list              the tables
       isthmus reproduce NAME --list         the rows of a table

tables:
{tables}
"""


def run(arguments: list[str]) -> None:
    """Parse, run and write."""
    from ..reproduce.catalogue import NAMES, find_table

    if not arguments or arguments in (["--list"], ["-h"], ["--help"]):
        width = max(map(len, NAMES))
        print(USAGE.format(tables="\n".join(f"  {name:<{width}}  {what}" for name, what in NAMES.items())), end="")
        if not arguments:
            raise UsageError("expected the name of a table")
        if "--list" not in arguments:
            parse(ReproduceOptions, ["--help"], "reproduce")
        return
    listing = "--list" in arguments
    options = parse(ReproduceOptions, [word for word in arguments if word != "--list"], "reproduce")
    if options.name not in NAMES:
        raise UsageError(f"unknown table {options.name!r}{did_you_mean(options.name, NAMES)}")
    if options.reduced and (options.docs or options.against):
        raise UsageError("expected no --docs or --against with --reduced, whose figures mean nothing; use --out")
    table = find_table(options.name)
    if listing:
        for row in table.rows:
            print(f"{row.name:<28} {row.label}")
        return
    known = [row.name for row in table.rows]
    for name in options.rows:
        if name not in known:
            raise UsageError(f"unknown row {name!r} of {table.name}{did_you_mean(name, known)}")
    _reproduce(options)


def _reproduce(options: ReproduceOptions) -> None:
    from ..reproduce import Results, find_table, reproduce, saved_results

    table = find_table(options.name)
    out = options.out or Path("runs/reproduce") / (f"{table.name}-reduced" if options.reduced else table.name)
    folder = options.docs or out
    path = folder / f"{table.name}.json"
    # What can't be read or written to should not be found after hours; and --against may be the file that is written.
    committed = None if options.against is None else Results.published(table, options.against)
    if options.docs and path.exists():
        Results.published(table, path)
    _check_folder(folder)
    if options.no_run:
        results = saved_results(table, out, options.reduced)
    else:
        results = reproduce(
            table,
            out,
            rows=options.rows,
            seeds=options.seeds or None,
            reduced=options.reduced,
            again=options.again,
            verbose=True,
            say=say,
        )
    here = results
    if options.docs and path.exists():
        earlier = Results.published(table, path)
        results = Results.of(table, earlier.records + here.records, out)
    text = _write(results, folder)
    outside = [] if committed is None else _outside(here, committed)
    plain: dict[str, Any] = {"page": str(folder / f"{table.name}.md"), "rows": results.to_dict()["rows"]}
    print_result(plain | {"outside": outside}, options.json, text)
    if outside:
        raise ValueError(f"Expected figures within the intervals of {options.against}, got others: {outside}.")


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise explained(error, folder) from error


def _write(results: Results, folder: Path) -> str:
    """Write results, picture and page; returns the tables of the page, for terminals."""
    from ..reproduce import chart, page

    name = results.table.name
    picture = folder / f"{name}.png"
    drawn = chart(results)
    write_json(folder / f"{name}.json", results.to_dict())
    if drawn is not None:
        write_bytes(picture, drawn)
    write_text(folder / f"{name}.md", page(results, picture.exists()))
    return f"{_terminal_table(results)}\n\nPage: {folder / f'{name}.md'}"


def _terminal_table(results: Results) -> str:
    """Published beside measured, a line a row that was run."""
    measures = results.table.measures
    lines = [["row", *(text for m in measures for text in (m.label, "published"))]]
    for row in results.table.rows:
        if not results.of_row(row.name):
            continue
        cells = [row.name]
        for measure in measures:
            figure, published = results.figure(row.name, measure.name), row.published.get(measure.name)
            cells.append("" if figure is None else figure.text(measure.digits))
            cells.append("" if published is None else f"{published.value:.{measure.digits}f}")
        lines.append(cells)
    kept = [i for i in range(len(lines[0])) if any(line[i] for line in lines[1:])]
    widths = {i: max(len(line[i]) for line in lines) for i in kept}
    return "\n".join("  ".join(line[i].ljust(widths[i]) for i in kept).rstrip() for line in lines)


def _outside(results: Results, committed: Results) -> list[str]:
    """Figures of rows that were run here and lie outside the committed interval.

    Raises:
        ValueError: there is no figure to compare.
    """
    found, n_compared = [], 0
    for row in results.table.rows:
        for measure in results.table.measures:
            ours, theirs = results.figure(row.name, measure.name), committed.figure(row.name, measure.name)
            if ours is None or theirs is None:
                continue
            n_compared += 1
            if not theirs.holds(ours.mean, measure.digits):
                shown = f"{ours.mean:.{measure.digits}f}, committed {theirs.text(measure.digits)}"
                found.append(f"{row.name} {measure.name}: {shown}")
    if not n_compared:
        raise ValueError("Expected committed figures of rows that were run here, with today's settings, got none.")
    say(f"{n_compared - len(found)} of {n_compared} figures lie in the committed intervals")
    return found

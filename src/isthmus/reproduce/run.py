"""Runs rows of a table, each with each of its seeds, and goes on where it was stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..data import DataSet, load_data
from ..files import FORMAT, UnreadableFile, read_json, replacing, write_json
from ..processes import n_processes
from ..training.folder import LOCK, own_folder
from .results import Record, Results, environment, measured, place_of, plain_settings
from .table import Job, Row, Table

__all__ = ["reproduce", "saved_results"]


def saved_results(table: Table, folder: Path, reduced: bool = False) -> Results:
    """Results of rows that were run in this folder, as they are set now."""
    records = []
    for path in sorted(folder.glob(f"*/{place_of('*', reduced)}.json")):
        try:
            records.append(Record.from_dict(read_json(path)))
        except UnreadableFile:
            continue  # of a run that was killed, or older: it is run again
    return Results.of(table, records, folder, reduced)


def reproduce(
    table: Table,
    folder: Path,
    *,
    rows: Collection[str] = (),
    seeds: Collection[int] | None = None,
    reduced: bool = False,
    again: bool = False,
    verbose: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Results:
    """Run rows of a table and return all results there are.

    Each row and seed is a file in `folder` once it is done, and is not run again; what was stopped within goes on from
    its checkpoints. Several processes may run different rows in one folder.

    Args:
        table: which.
        folder: for results and checkpoints.
        rows: names of those to run; all if there are none.
        seeds: to run each with; 0 and on, as many as the row asks for, if None.
        reduced: small settings, on the digits that come along: to see that it runs.
        again: run anew what was run already.
        verbose: show the progress of training.
        say: what to tell of each row.

    Returns:
        Results of this table in the folder.

    Raises:
        ValueError: an unknown row, an impossible seed, data that can't be had, a row that another process is running,
            or figures that are not finite.
        OSError: a folder that can't be written to, or a disk that is full.
        Interrupted: Ctrl-C; the same call goes on.
    """
    if n_processes() > 1:
        raise ValueError(f"Expected one process, got {n_processes()}; run rows in processes of their own.")
    for seed in seeds or ():
        if not 0 <= seed < 2**32:
            raise ValueError(f"Expected seeds from 0 to 2**32 - 1, got {seed}.")
    chosen = [table.row(name) for name in dict.fromkeys(rows)] or list(table.rows)
    loaded: dict[str, DataSet] = {}
    for row in chosen:
        source = "digits" if reduced else row.data or table.data
        for seed in range(1 if reduced else row.seeds) if seeds is None else dict.fromkeys(seeds):
            settings = table.reduced(row.settings) if reduced else dict(row.settings)
            place = folder / row.name / place_of(seed, reduced)
            path = place.with_suffix(".json")
            if not again and _is_done(path, row, settings):
                say(f"{row.name}, seed {seed}: done before")
                continue
            if source not in loaded:
                loaded[source] = load_data(source, **table.data_options)
            say(f"{row.name}, seed {seed}: {row.label}")
            job = Job(settings, seed, loaded[source], place, verbose)
            with own_folder(place):
                record = _run(row, job)
                if job.kept:
                    with replacing(path.with_suffix(".npz")) as file:
                        np.savez_compressed(file, **job.kept)  # type: ignore[arg-type]
                write_json(path, record.to_dict())
                _clear(place)  # of checkpoints; results stay
            with suppress(OSError):
                place.rmdir()
            say("  " + ", ".join(_said(table, record)) + f", {record.seconds:.0f} s")
    return saved_results(table, folder, reduced)


def _is_done(path: Path, row: Row, settings: dict) -> bool:
    try:
        return path.exists() and Record.from_dict(read_json(path)).is_of(row, settings)
    except UnreadableFile:
        return False


def _run(row: Row, job: Job) -> Record:
    """One row with one seed; seconds count on where it is resumed."""
    settings, clock = plain_settings(job.settings), job.folder / "seconds.json"
    earlier = _earlier(clock, settings)
    if earlier is None:
        _clear(job.folder)  # of checkpoints of other settings
        earlier = 0.0
    made_with, start = environment(), time.monotonic()
    write_json(clock, {"format": FORMAT, "settings": settings, "seconds": earlier})
    try:
        values = row.run(job)
    finally:
        seconds = earlier + time.monotonic() - start
        write_json(clock, {"format": FORMAT, "settings": settings, "seconds": seconds})
    figures = measured(values, job.seed)
    return Record(row.name, job.seed, settings, job.data.description, figures, round(seconds, 1), made_with)


def _clear(folder: Path) -> None:
    """Remove all that lies in a folder but its lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _earlier(clock: Path, settings: dict) -> float | None:
    """Seconds that an earlier run of this took before it was stopped; None where there was none of these settings."""
    try:
        plain = read_json(clock)
    except (UnreadableFile, OSError):
        return None
    return float(plain["seconds"]) if plain.get("settings") == settings else None


def _said(table: Table, record: Record) -> list[str]:
    digits = {measure.name: measure.digits for measure in table.measures}
    return [f"{name} {value['value']:.{digits.get(name, 3)}f}" for name, value in record.values.items()]

"""Tables as examples: columns are chosen, missing cells and text are dealt with as told, and that is recorded."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .dataset import DataSet, make_data_set
from .memory import check_fits
from .table import Table, TableSource, joined, listed, missing_cells, quoted, resolve
from .table_preparation import Missing, Preparation, label_values, learn

__all__ = [
    "TABLES",
    "Text",
    "choose",
    "complete",
    "complete_rows",
    "labelled",
    "matched",
    "missing_message",
    "open_table",
    "read_table",
    "units_of_likelihoods",
    "words",
]

Text = Literal["error", "drop", "one-hot"]
"""What to do with columns of text."""

TABLES = (".csv", ".tsv", ".parquet")
"""Endings of files that are tables."""


def read_table(
    source: Any,
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    text: Text = "error",
    missing: Missing = "error",
    standardise: bool = False,
    preparation: Mapping[str, Any] | None = None,
    training: Callable[[int], np.ndarray] | None = None,
) -> DataSet:
    """Examples from a table: a `.csv`, `.tsv` or `.parquet` file, or a pandas or polars frame.

    Columns in which pandas writes the numbers of rows are left out. Numbers, truth values and categories are what
    they are; dates are text. Columns that are all uint8 are pixels.

    Args:
        source: the path or the frame.
        label: name of the column with the labels, or its number from 0; negative numbers count from the right.
        drop: columns to leave out, likewise.
        text: what to do with columns of text: "error", "drop" them, or "one-hot", a feature of 0 or 1 for each value
            in the training rows; values that other rows have besides are 0 in all of these.
        missing: what to do where cells are missing: "error", "drop-rows", "mean", which fills them with the mean of
            the column in the training rows (text, one-hot: with 0 in all features), or "keep": they become NaN, for
            models that take it.
        standardise: centre each column of numbers and divide it by its standard deviation in the training rows.
        preparation: the record of another table's reading (`DataSet.preparation`): this one is read in the same way,
            its columns found by their names, and the other options are its.
        training: from the number of rows to those for training, from which means and values are learnt; None is all.

    Raises:
        ValueError: not a table, no such column, text or missing cells where the options say "error", a label that is
            missing, or columns that differ from those of `preparation`.
    """
    for name, value, known in (("text", text, get_args(Text)), ("missing", missing, get_args(Missing))):
        if value not in known:
            raise ValueError(f"Expected {name} as one of {', '.join(known)}, got {value!r}.")
    table = open_table(source)
    if preparation is None:
        plan = choose(table, label, [drop] if isinstance(drop, str) else drop, text, missing)
    else:
        plan = matched(table, Preparation.from_dict(preparation), label)
    used = [*plan.columns, *([] if plan.label is None else [plan.label])]
    as_text = {*plan.categories, *([] if plan.label is None else [plan.label])}
    # Pieces, and the whole that they are put together to; text is objects.
    cells = sum(70 if name in as_text or name in table.text else 16 for name in used)
    advice = "use isthmus data convert, and the folder that it writes"
    check_fits(table.n_rows * cells, f"the {table.n_rows:,} rows of {table.title}", advice)
    whole, notes = complete(plan, joined(table.pieces(used, as_text)), table.title, new=preparation is None)
    if preparation is None:
        rows = whole if training is None else whole.rows(training(len(whole)))
        plan = learn(plan, [rows], standardise=standardise)
    x = plan.features(whole)
    y = None if plan.label is None else label_values(whole[plan.label], table.title)
    notes = [f"Read from {table.title}", *labelled(plan), *notes, *words(plan, plan.unknown(whole))]
    name = Path(source).stem if isinstance(source, str | Path) else "table"
    data = make_data_set(
        name, (x, y), description="; ".join(notes), feature_names=plan.feature_names, missing=plan.missing == "keep"
    )
    return data._replace(preparation=plan.to_dict())


def open_table(source: Any) -> TableSource:
    """The reader of a table."""
    if not isinstance(source, str | Path):
        from .frames import FrameTable

        return FrameTable(source)
    if Path(source).suffix.lower() == ".parquet":
        from .parquet import ParquetTable

        return ParquetTable(Path(source))
    from .table_csv import CsvTable

    return CsvTable(Path(source))


def choose(source: TableSource, label: str | None, drop: Sequence[str], text: Text, missing: Missing) -> Preparation:
    """Which columns become features, before anything is learnt of them.

    Raises:
        ValueError: no such column, columns that can't become features as told, or none that can.
    """
    target = None if label is None else resolve(label, source, "label")
    left_out = {resolve(name, source, "column to drop") for name in drop} | set(source.index)
    left_out -= {target}
    columns = [name for name in source.names if name not in left_out and name != target]
    unfit = [name for name in [*columns, target] if name in source.unfit]
    if unfit:
        what = listed([f"{name!r} ({source.unfit[name]})" for name in unfit if name])
        raise ValueError(
            f"Expected numbers or text in the columns of {source.title}, got {what}; use --drop {_arguments(unfit)}, "
            "or give each element a column of its own."
        )
    texts = [name for name in columns if name in source.text]
    if texts and text == "error":
        some = listed([f"{name!r} ({source.text[name]})" for name in texts])
        comma = "write decimals with a point, or " if re.search(r"'-?\d+,\d+'", some) else ""
        raise ValueError(
            f"Expected numbers in {source.title}, got text in {some}; {comma}use --text one-hot for a feature of each "
            f"value, --text drop or --drop {_arguments(texts)} to leave out, or --label to name the one with labels."
        )
    if text == "drop":
        left_out |= set(texts)
        columns = [name for name in columns if name not in source.text]
    if not columns:
        what = f"besides the label {label!r}" if target else "that is left"
        raise ValueError(f"Expected a feature {what} in {source.title}, got columns {quoted(source.names)}.")
    categories: dict[str, tuple[str, ...]] = {name: () for name in columns if name in source.text}
    left = tuple(name for name in source.names if name in left_out)
    return Preparation(tuple(columns), target, left, missing, categories)


def matched(source: TableSource, preparation: Preparation, label: str | None) -> Preparation:
    """A preparation for another table, whose columns have the same names; its label may be called otherwise or lack.

    Raises:
        ValueError: columns are absent, or others are there.
    """
    target = preparation.label if preparation.label in source.names else None
    if label is not None:
        target = resolve(label, source, "label")
    there = set(source.names)
    absent = [name for name in preparation.columns if name not in there]
    known = {*preparation.columns, *preparation.left_out, preparation.label, *source.index, target}
    besides = [name for name in source.names if name not in known]
    if absent or besides:
        found = [f"no {quoted(absent)}"] if absent else []
        found += [f"{quoted(besides)} besides"] if besides else []
        raise ValueError(
            f"Expected the columns of training in {source.title}, got {' and '.join(found)}; use a table with "
            f"{quoted(preparation.columns)}."
        )
    for name in preparation.columns:
        if name in source.unfit or (name in source.text and name not in preparation.categories):
            what = source.unfit.get(name) or f"text ({source.text[name]})"
            raise ValueError(f"Expected numbers in {name!r} of {source.title}, as in training, got {what}.")
    return dataclasses.replace(preparation, label=target)


def complete(plan: Preparation, table: Table, title: str, *, new: bool = True) -> tuple[Table, list[str]]:
    """The rows to use, as the preparation says of missing cells, and what a reader of a report should know of that.

    Raises:
        ValueError: missing cells that nothing was said of, or no row without.
    """
    counts = plan.missing_by_column(table)
    if plan.missing == "drop-rows":
        kept = complete_rows(plan, table)
        n = len(table) - len(kept)
        if not len(kept):
            raise ValueError(
                f"Expected some row without missing cells in {title}, got none of {n:,}; use --drop for columns that "
                f"miss many ({_counted(counts)}), or --missing mean."
            )
        return kept, [f"{n:,} rows with missing cells left out"] if n else []
    if counts and plan.missing == "error":
        first = min(int(np.argmax(missing_cells(table[name]))) for name in counts)
        raise ValueError(missing_message(counts, title, new=new, first=first))
    done = "kept" if plan.missing == "keep" else "filled with means of the training rows"
    return table, [f"missing cells {done}: {_counted(counts)}"] if counts else []


def complete_rows(plan: Preparation, table: Table) -> Table:
    """The rows to use: all, or those without missing cells if the preparation says so."""
    if plan.missing != "drop-rows":
        return table
    names = [*plan.columns, *([] if plan.label is None else [plan.label])]
    gone = np.logical_or.reduce([missing_cells(table[name]) for name in names])
    return table.rows(~gone) if gone.any() else table


def missing_message(counts: dict[str, int], title: str, *, new: bool, first: int | None = None) -> str:
    """What to do about missing cells, in a sentence."""
    how = "" if new else ", or train with one of these options: this model was trained on complete rows"
    options = "--missing mean to fill them with the column's mean, --missing drop-rows to leave out such rows, "
    options += "--missing keep for a model that takes them, such as gaussian-mixture"
    use = f"use {options}, or fill them" if new else f"fill them{how} ({options})"
    where = _counted(counts) + ("" if first is None else f", the first in row {first}")
    return f"Expected a value in every cell of {title}, got {sum(counts.values()):,} missing in {where}; {use}."


def labelled(plan: Preparation) -> list[str]:
    """Which column has the labels, and which are not used, in words."""
    notes = [] if plan.label is None else [f"labelled by {plan.label}"]
    return notes + ([f"without {quoted(plan.left_out)}"] if plan.left_out else [])


def words(plan: Preparation, unknown: Mapping[str, int] | None = None) -> list[str]:
    """What was done to columns, for reports: what a likelihood of the features is a likelihood of."""
    notes = []
    if plan.categories:
        notes.append(f"a feature of 0 or 1 for each value of {quoted(plan.categories)}")
    if unknown:
        notes.append(f"values that training did not see are 0 in all of these: {_counted(unknown)}")
    if plan.scales:
        notes.append(units_of_likelihoods(plan.scales))
    return notes


def units_of_likelihoods(scales: Mapping[str, float]) -> str:
    """What standardised columns make of likelihoods, in words."""
    nats = sum(map(math.log, scales.values()))
    return (
        "columns of numbers are standardised, so likelihoods are per standard deviation of each column, and in the "
        f"columns' own units {abs(nats):.2f} nats {'lower' if nats > 0 else 'higher'}"
    )


def _counted(counts: Mapping[str, int]) -> str:
    return listed([f"{name!r} ({n:,})" for name, n in counts.items()])


def _arguments(names: Sequence[str | None]) -> str:
    """Names as one writes them on a command line."""
    return " ".join(f"'{name}'" if " " in name else name for name in names if name)

"""What a published table is here: rows that are run, figures to hold them against, and words about both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..data import DataSet

if TYPE_CHECKING:
    from .results import Results

__all__ = ["Job", "Measure", "Published", "Row", "Table"]


@dataclass(frozen=True)
class Published:
    """A figure of a paper.

    Args:
        value: in the units of its measure.
        seen: where: in the paper's own text, quoted by another source, or nowhere but in somebody's memory. The page
            says which.
    """

    value: float
    seen: Literal["paper", "quoted", "memory"]


@dataclass(frozen=True)
class Measure:
    """A column of a table.

    Args:
        name: as rows return it.
        label: head of the column, with the unit.
        digits: after the point.
    """

    name: str
    label: str
    digits: int = 2


@dataclass
class Job:
    """One row, to be run with one seed.

    Args:
        settings: of the row, small ones where it is run in its reduced form.
        seed: of everything that is random.
        data: to train and to measure on.
        folder: for checkpoints: what is fitted with `folder=job.place("name"), resume=True` goes on after a stop.
        verbose: whether to show progress.
    """

    settings: dict[str, Any]
    seed: int
    data: DataSet
    folder: Path
    verbose: bool = False
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        """A folder of its own for each thing that is trained."""
        return self.folder / name

    def keep(self, name: str, array: np.ndarray) -> None:
        """Keep an array for the picture, such as some reconstructions."""
        self.kept[name] = np.asarray(array)


Measured = Mapping[str, float | np.ndarray]
"""By measure: a number, or a value for each test example, whose mean is the figure and whose spread its interval."""


@dataclass(frozen=True)
class Row:
    """A row of a table: a recipe, its settings, and what was published.

    Args:
        name: short, in kebab-case.
        label: what it is, for people.
        run: the recipe; it reads nothing but the job.
        settings: plain JSON; results are of these and of no others.
        published: figures by measure.
        form: "today", as one would train it now, or "published", with the paper's units, optimiser and schedule.
        seeds: how many; one has an interval over the test examples instead of a deviation over seeds.
        series: of rows that are one curve: its name.
        at: their place on the x axis.
        data: a set of its own, in place of the table's.
    """

    name: str
    label: str
    run: Callable[[Job], Measured]
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Published] = field(default_factory=dict)
    form: Literal["today", "published"] = "today"
    seeds: int = 3
    series: str = ""
    at: float | None = None
    data: str = ""


@dataclass(frozen=True)
class Table:
    """A published table, or a claim, with all that is needed to run it again.

    Args:
        name: of the command, of the page and of its files, in kebab-case.
        title: of the page.
        reference: authors, year, title, place; "" for claims.
        measures: columns; the first is the one that the chart shows.
        rows: in the order of the page.
        about: what was published and how it is run here, in Markdown.
        findings: what came out, in Markdown; `{row[measure]}` stands for a measured figure, so that no figure is
            typed in.
        data: a named set, as `isthmus.data.load_data` knows it.
        data_options: keywords of `load_data`.
        small: settings in place of a row's own of the same name when the table is run in its reduced form, on the
            digits that come along, to see that it runs.
        chart: draws the picture, a PNG; None where the standard chart does: published beside measured, or curves.
        x: label of the x axis where rows are curves.
        log_x: whether that axis is logarithmic.
    """

    name: str
    title: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    about: str
    findings: str = ""
    reference: str = ""
    data: str = "mnist"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    chart: Callable[[Results], bytes | None] | None = None
    x: str = ""
    log_x: bool = False

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f"Expected rows with names of their own in {self.name}, got {names}.")
        known = {measure.name for measure in self.measures}
        for row in self.rows:
            if unknown := row.published.keys() - known:
                raise ValueError(f"Expected figures of {sorted(known)} in row {row.name}, got {sorted(unknown)}.")

    def row(self, name: str) -> Row:
        """A row by name.

        Raises:
            ValueError: there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"Expected a row of {self.name}: {', '.join(row.name for row in self.rows)}, got {name!r}.")

    def reduced(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings in their reduced form."""
        return {name: self.small.get(name, value) for name, value in settings.items()}

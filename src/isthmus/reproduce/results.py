"""Results of rows: one record a row and seed, as a file each while they are run, and all in one when published."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..files import FORMAT, UnreadableFile, read_json
from .table import Measured, Row, Table

__all__ = [
    "Figure",
    "Record",
    "Results",
    "commit",
    "environment",
    "measured",
    "place_of",
    "plain_settings",
    "processor",
]

N_BOOTSTRAP = 2_000
"""Resamplings of the test examples."""


class Figure(NamedTuple):
    """What was measured in a row.

    Attributes:
        mean: over seeds.
        deviation: standard deviation over seeds; NaN for one.
        low, high: with one seed, the 95 % bootstrap interval over test examples, NaN where there is none; with more,
            mean plus and minus two deviations.
        n_seeds: how many.
    """

    mean: float
    deviation: float
    low: float
    high: float
    n_seeds: int

    def holds(self, value: float, digits: int) -> bool:
        """Whether a figure lies within the interval, or is the same where there is none, to these digits."""
        low, high = (self.mean, self.mean) if math.isnan(self.low) else (self.low, self.high)
        return round(low, digits) <= round(value, digits) <= round(high, digits)

    def text(self, digits: int) -> str:
        """As a cell of a table."""
        if self.n_seeds > 1:
            return f"{self.mean:.{digits}f} ± {self.deviation:.{digits}f}"
        if math.isnan(self.low):
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass
class Record:
    """What one run of a row gave.

    Attributes:
        row, seed: which.
        settings: that it was run with.
        data: what it was run on, in words.
        values: by measure: value, and the interval's low and high end or None.
        seconds: that it took, in all where it was stopped and resumed.
        environment: commit, machine and versions.
    """

    row: str
    seed: int
    settings: dict[str, Any]
    data: str
    values: dict[str, dict[str, float | None]]
    seconds: float
    environment: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Record:
        """From what `to_dict` gave.

        Raises:
            UnreadableFile: something is missing.
        """
        try:
            return cls(**{name: plain[name] for name in cls.__dataclass_fields__})
        except (KeyError, TypeError) as error:
            raise UnreadableFile(f"Expected the record of a row, got one without {error}; run it again.") from error

    def is_of(self, row: Row, settings: Mapping[str, Any]) -> bool:
        """Whether it is of this row as it is set now."""
        return self.row == row.name and self.settings == plain_settings(settings)


def place_of(seed: int | str, reduced: bool) -> str:
    """Name of a row's files and folder for a seed: those of the reduced form have names of their own."""
    return f"{'reduced' if reduced else 'seed'}-{seed}"


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back: tuples are lists there."""
    return {name: _listed(value) for name, value in settings.items()}


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (tuple, list)) else value


def measured(values: Measured, seed: int = 0) -> dict[str, dict[str, float | None]]:
    """Figures with the 95 % bootstrap interval of the mean, for those that are a value for each test example.

    Raises:
        ValueError: some are no number, or there are none.
    """
    arrays = {name: np.asarray(value, np.float64) for name, value in values.items()}
    for name, array in arrays.items():
        if not array.size or not np.isfinite(array).all():
            raise ValueError(f"Expected finite figures, got {name} of {array.size} values that are not all finite.")
    return {name: _with_interval(array, seed) for name, array in arrays.items()}


def _with_interval(value: np.ndarray, seed: int) -> dict[str, float | None]:
    if value.ndim == 0:
        return {"value": float(value), "low": None, "high": None}
    generator = np.random.default_rng(seed)
    means = [value[generator.integers(0, len(value), len(value))].mean() for _ in range(N_BOOTSTRAP)]
    low, high = np.quantile(means, (0.025, 0.975))
    return {"value": float(value.mean()), "low": float(low), "high": float(high)}


@dataclass
class Results:
    """All that is known of a table.

    Attributes:
        table: which.
        records: of rows as they are set now, in the order of the table and its seeds.
        folder: where arrays were kept for the picture.
        reduced: whether they are of the reduced form.
    """

    table: Table
    records: list[Record]
    folder: Path | None = None
    reduced: bool = False

    @classmethod
    def of(cls, table: Table, records: list[Record], folder: Path | None = None, reduced: bool = False) -> Results:
        """Those of a table among some records; of two of the same row and seed, the later."""
        chosen = {}
        for record in records:
            for row in table.rows:
                if record.is_of(row, table.reduced(row.settings) if reduced else row.settings):
                    chosen[row.name, record.seed] = record
        order = [row.name for row in table.rows]
        keys = sorted(chosen, key=lambda key: (order.index(key[0]), key[1]))
        return cls(table, [chosen[key] for key in keys], folder, reduced)

    @classmethod
    def published(cls, table: Table, path: Path) -> Results:
        """Those of a committed file.

        Raises:
            UnreadableFile: it is no such file.
        """
        plain = read_json(path)
        if plain.get("kind") != "reproduction" or plain.get("name") != table.name:
            raise UnreadableFile(f"Expected results of {table.name} in {path}, got {plain.get('name')!r}.")
        if plain.get("reduced") or not isinstance(plain.get("records"), list):
            raise UnreadableFile(f"Expected results of {table.name} in full in {path}, got none, or a reduced form.")
        return cls.of(table, [Record.from_dict(record) for record in plain["records"]])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON: records, and for each row what was published beside what was measured."""
        rows = []
        for row in self.table.rows:
            figures = {m.name: self.figure(row.name, m.name) for m in self.table.measures}
            rows.append(
                {
                    "row": row.name,
                    "label": row.label,
                    "form": row.form,
                    "published": {name: asdict(published) for name, published in row.published.items()},
                    "measured": {name: _plain(figure) for name, figure in figures.items() if figure is not None},
                }
            )
        records = [record.to_dict() for record in self.records]
        kind = {"format": FORMAT, "kind": "reproduction", "name": self.table.name, "title": self.table.title}
        return {**kind, "reduced": self.reduced, "rows": rows, "records": records}

    def of_row(self, row: str) -> list[Record]:
        """Records of a row, one a seed."""
        return [record for record in self.records if record.row == row]

    def figure(self, row: str, measure: str) -> Figure | None:
        """What was measured; None where it was not."""
        values = [record.values[measure] for record in self.of_row(row) if measure in record.values]
        if not values:
            return None
        means = np.array([value["value"] for value in values], np.float64)
        if len(means) == 1:
            low, high = (math.nan if values[0][end] is None else float(values[0][end]) for end in ("low", "high"))  # type: ignore[arg-type]
            return Figure(float(means[0]), math.nan, low, high, 1)
        mean, deviation = float(means.mean()), float(means.std(ddof=1))
        return Figure(mean, deviation, mean - 2 * deviation, mean + 2 * deviation, len(means))

    def arrays(self, row: str) -> dict[str, np.ndarray]:
        """What a row kept for the picture, with its first seed; nothing where that is not at hand."""
        for path in self._kept(row):
            with np.load(path) as kept:
                return dict(kept)
        return {}

    def _kept(self, row: str) -> Iterator[Path]:
        if self.folder is not None:
            yield from sorted((self.folder / row).glob(f"{place_of('*', self.reduced)}.npz"))


def _plain(figure: Figure) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in figure._asdict().items()}


def environment() -> dict[str, Any]:
    """What a figure may depend on: commit, machine, versions."""
    import torch

    from .. import __version__

    return {
        "commit": commit(),
        "isthmus": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def commit() -> str | None:
    """Of the checkout that the package lies in; None for an installed one, which may lie in another's."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, check=True)
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def processor() -> str:
    """Its name, as the system has it."""
    path = Path("/proc/cpuinfo")
    names = [line for line in path.read_text().splitlines() if "model name" in line] if path.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()

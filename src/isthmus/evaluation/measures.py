"""A measure with all that a reader of it must know, and how a list of them looks."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Evaluation", "Measure"]


@dataclass(frozen=True)
class Measure:
    """One number about a model, with its error and its meaning.

    Attributes:
        name: in plain ASCII, such as "bound".
        value: the number.
        standard_error: over examples; None where there is none.
        unit: "nats", "squared error per example", "accuracy", ...
        description: what it is, in one line.
    """

    name: str
    value: float | int
    standard_error: float | None
    unit: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, which has neither NaN nor infinity: they become None."""
        plain = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in plain.items()}

    def formatted(self) -> tuple[str, str]:
        """Value and error as text, with no more digits than the error leaves meaning to (two of its own)."""
        if isinstance(self.value, int):
            return str(self.value), ""
        error = self.standard_error
        if error is None or not math.isfinite(error) or error == 0:
            return f"{self.value:.5g}", ""
        digits = min(max(1 - math.floor(math.log10(error)), 0), 12)
        return f"{self.value:.{digits}f}", f"{error:.{digits}f}"


@dataclass(frozen=True)
class Evaluation:
    """Measures of one model on one set of data, and notes on those that there can't be.

    Example:
        >>> evaluation = Evaluation((Measure("rate", 25.12345, 0.0321, "nats", "KL(q(z|x) || p(z))"),))
        >>> print(evaluation)
        measure    value    error  unit  what it is
        rate      25.123  ± 0.032  nats  KL(q(z|x) || p(z))
        >>> evaluation["rate"].value
        25.12345
    """

    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    likelihood_of: str | None = None
    """What likelihoods are likelihoods of, such as "static binarisation (seed 0)"; None where there is none."""

    def __getitem__(self, name: str) -> Measure:
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(f"Expected one of {[measure.name for measure in self.measures]}, got {name!r}.")

    def __contains__(self, name: object) -> bool:
        return any(measure.name == name for measure in self.measures)

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.measures)

    def __len__(self) -> int:
        return len(self.measures)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON: {"measures": {name: {value, standard_error, unit, description}}, "notes": [...],
        "likelihood_of": ...}."""
        plain = [measure.to_dict() for measure in self.measures]
        named = {measure.pop("name"): measure for measure in plain}
        return {"measures": named, "notes": list(self.notes), "likelihood_of": self.likelihood_of}

    def table(self, width: int | None = None) -> str:
        """A table for terminals, so many characters wide; by default as wide as this one."""
        width = width or shutil.get_terminal_size((110, 24)).columns
        rows = [("measure", "value", "error", "unit", "what it is")]
        for measure in self.measures:
            value, error = measure.formatted()
            rows.append((measure.name, value, error and f"± {error}", measure.unit, measure.description))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        room = width - sum(widths[:4]) - 8
        lines = []
        for name, value, error, unit, description in rows:
            start = f"{name:<{widths[0]}}  {value:>{widths[1]}}  {error:>{widths[2]}}  {unit:<{widths[3]}}"
            if room >= 30:
                lines += _wrapped(description, width, start + "  ", " " * (len(start) + 2))
            else:  # a narrow terminal: descriptions stand below
                lines += [start.rstrip(), *_wrapped(description, width, "    ", "    ")]
        for note in self.notes:
            lines += _wrapped(note, width, "", "    ")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def _wrapped(text: str, width: int, start: str, indent: str) -> list[str]:
    lines = textwrap.wrap(text, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)
    return [line.rstrip() for line in lines] or [start.rstrip()]

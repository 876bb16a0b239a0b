"""What a person sees of a run while it goes: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from torch import Tensor

from .clock import Clock, rows_per_second

__all__ = ["Progress"]

SECONDS_BETWEEN_READS = 0.25
SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Shows epoch, rows a second, remaining time and loss in nats. Reads the loss only now and then.

    Args:
        total: steps of the whole run.
        done: steps already made, when resumed.
        title: what is being trained.
        shown: False shows nothing.
    """

    def __init__(self, total: int, done: int = 0, title: str = "training", shown: bool = True) -> None:
        self.total, self.title, self.shown = total, title, shown
        self.clock = Clock()
        self.read = self.line = self.clock()
        self.first, self.rows, self.fresh = done, 0, True
        self.bar: Any = None  # rich's, imported only where it is shown

    def __enter__(self) -> Progress:
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                "{task.description}",
                BarColumn(),
                "{task.percentage:3.0f} %",
                TextColumn("{task.fields[note]}"),
            )
            self.bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self.task = self.bar.add_task(self.title, total=self.total, completed=self.first, note="")
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, epoch: int, rows: int, loss: Tensor) -> None:
        """After a step on some rows; `loss` is a 0-d tensor, read only when something is about to be shown."""
        if self.fresh and step < self.total:  # the first step compiles, and says nothing of the speed of the others
            self.fresh, self.first, self.clock = False, step, Clock()
            self.read = self.line = self.clock()
        else:
            self.rows += rows
        now = self.clock()
        if not self.shown or (now - self.read < SECONDS_BETWEEN_READS and step < self.total):
            return
        self.read = now
        note = f"epoch {epoch + 1}  {rows_per_second(self.rows, now):,.0f} rows/s  loss {float(loss):.2f} nats"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, note=note)
        elif now - self.line >= SECONDS_BETWEEN_LINES or step == self.total:
            self.line = now
            left = now / max(step - self.first, 1) * (self.total - step)
            print(
                f"{self.title}: step {step} of {self.total}  {note}  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

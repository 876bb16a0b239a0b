"""One training run, from its state to its end: steps and epochs, checkpoints, early stopping, averaged weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import write_text
from ..processes import LostProcess, Part, add_up, is_first, lost_in_words, n_processes, own_part, part_of_batch
from .checkpoint import State, save_checkpoint
from .clock import Clock, rows_per_second
from .interrupts import Interrupted
from .progress import Progress
from .rows import Rows
from .settings import Settings
from .step import Step, seed_noise
from .stream import Stream

__all__ = ["Run", "steps_per_epoch"]

CHECK_EVERY = 50
"""Steps between looks at the non-finite flag on an accelerator, where a look waits for the device."""

VALIDATION_CHUNK = 1024

SECONDS_BETWEEN_METRICS = 1.0
"""Between rewrites of metrics.jsonl; the last one comes with the last checkpoint."""


def steps_per_epoch(n_rows: int, settings: Settings) -> int:
    """Batches that the rows fill, the last of them perhaps not wholly."""
    return math.ceil(n_rows / settings.batch_size)


@dataclass
class Run:
    """All that a run needs; `train` changes the model of `step`, and `state`.

    Args:
        step: one step of the model.
        settings: how to train.
        rows: training data, on the device.
        held_out: validation data, on the device, or None.
        state: where to begin.
        folder: for checkpoints and metrics.jsonl, or None.
        identity: what a checkpoint must be resumed with.
    """

    step: Step
    settings: Settings
    rows: Rows | Stream
    held_out: Rows | None
    state: State
    folder: Path | None
    identity: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.per_epoch = steps_per_epoch(self.rows.n_rows, self.settings)
        self.total = self.per_epoch * self.settings.max_epochs
        self.check_every = 1 if self.step.device.type == "cpu" else CHECK_EVERY
        self.clock = Clock(self.state.seconds)
        self.saved, self.saved_at = self.clock(), self.state.step
        self.written = -math.inf

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        patience = self.settings.patience
        return self.state.step >= self.total or (patience is not None and self.state.stale >= patience)

    def train(self, interrupted: Callable[[], bool], shown: Progress) -> None:
        """Run from the state to the end.

        Raises:
            NonFiniteError: after the model was put back and saved.
            Interrupted: after the step was finished and saved.
            LostProcess: after the last whole step was saved, if this is the process that writes.
        """
        try:
            with lost_in_words():  # the messages of a sharded model are not ours
                self._train(interrupted, shown)
        except LostProcess as error:
            raise LostProcess(f"{error} {self._how_to_resume('This run ended')}") from error

    def _train(self, interrupted: Callable[[], bool], shown: Progress) -> None:
        while not self.finished:
            epoch, position = divmod(self.state.step, self.per_epoch)
            epoch_began, done = self.clock(), 0
            for batch, part in self.rows.batches(self.settings.seed, epoch, self.settings.batch_size, position):
                self._raise_flags(interrupted)
                rate = self._one_step(batch, part, epoch, shown)
                done += part.total
                if self.state.step % self.per_epoch == 0:
                    self._end_epoch(epoch, rate, rows_per_second(done, self.clock() - epoch_began))
                # Here, and not before the end of the epoch: a checkpoint holds whole steps and whole records.
                stop, save = self._flags(interrupted)
                if stop or save:
                    self.save()
                if stop:
                    self.step.gather()
                    raise Interrupted(self._how_to_resume("Stopped"))

    def _raise_flags(self, interrupted: Callable[[], bool]) -> None:
        """Ask all processes, with the sums of the next step, to stop and to save."""
        if n_processes() > 1:
            due = is_first() and self._checkpoint_due()
            self.step.flags.copy_(torch.tensor([float(interrupted()), float(due)]))

    def _flags(self, interrupted: Callable[[], bool]) -> tuple[bool, bool]:
        """Whether to stop, and whether to save: in several processes, what all of them know after the same step."""
        if n_processes() == 1:
            return interrupted(), self._checkpoint_due()
        if self.state.step % self.check_every:
            return False, False
        stop, save = (self.step.flags > 0).tolist()
        return stop, save

    def _one_step(self, batch: Rows, part: Part, epoch: int, shown: Progress) -> float:
        state, settings = self.state, self.settings
        rate = settings.learning_rate * settings.schedule(state.step, self.total)
        try:
            statistics = self.step(batch, state.step, rate, part)
        except LostProcess:
            if is_first() and not settings.sharded:  # of a sharded model each has but a part
                self.save()
            raise
        if state.step % self.check_every == 0:
            self._check_failure()
        if state.sums is None:
            state.sums = torch.zeros_like(statistics)
        state.sums.add_(statistics, alpha=part.total)
        state.examples += part.total
        state.step += 1
        if settings.average is not None:
            decay = min(settings.average, state.step / (state.step + 9))
            change = torch._foreach_sub(self.step.optimizer.parameters, state.average)  # type: ignore[attr-defined]
            # Nothing moves after a failure, which on an accelerator is seen late.
            torch._foreach_mul_(change, (1 - decay) * (1 - self.step.failed))  # type: ignore[attr-defined]
            torch._foreach_add_(state.average, change)  # type: ignore[attr-defined]
        state.seconds = self.clock()
        shown.update(state.step, epoch, part.total, statistics[0])
        return rate

    def _end_epoch(self, epoch: int, rate: float, speed: float) -> None:
        """Record the epoch's means, measure the validation loss, keep the best weights."""
        self._check_failure()
        state = self.state
        record: dict[str, Any] = {"epoch": epoch, "step": state.step, "seconds": round(state.seconds, 3)}
        record |= {"rows_per_second": round(speed, 1), "learning_rate": rate}
        if state.sums is not None:
            record |= dict(zip(self.step.names, (state.sums / state.examples).tolist(), strict=True))
        if self.held_out is not None:
            with self._averaged():
                record["validation"] = self._validation_loss(self.held_out)
                self._keep_best(record["validation"])
        # JSON has no NaN, and a resumed run must not differ from one that never was a file: None in both.
        state.history.append({name: value if math.isfinite(value) else None for name, value in record.items()})
        state.sums, state.examples = None, 0
        if self.clock() - self.written >= SECONDS_BETWEEN_METRICS:
            self._write_metrics()

    def _keep_best(self, loss: float) -> None:
        state = self.state
        if math.isfinite(loss) and loss < state.best_loss:
            state.best_loss, state.stale = loss, 0
            if self.settings.patience is not None:
                state.best = {name: tensor.clone() for name, tensor in self.step.model.state_dict().items()}
        else:
            state.stale += 1

    @torch.no_grad()
    def _validation_loss(self, rows: Rows) -> float:
        """Mean loss on noise that is the same at every epoch, so that epochs can be compared."""
        step, total = self.step, torch.zeros((), dtype=torch.float64)
        step.model.eval()
        for i, index in enumerate(torch.arange(len(rows.x), device=step.device).split(VALIDATION_CHUNK)):
            part = own_part(len(index))
            chunk = rows.take(index[part.rows])
            seed_noise(self.settings.seed, -1 - i, step.device)
            with part_of_batch(part):
                total += float(step.loss(chunk)[0]) * len(index)
        step.model.train()
        return float(add_up(total)) / len(rows.x)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The model with its averaged weights, for a while."""
        current = [parameter.clone() for parameter in self.step.optimizer.parameters] if self.state.average else []
        self._copy(self.state.average)
        try:
            yield
        finally:
            self._copy(current)

    def _copy(self, weights: list[Tensor]) -> None:
        if weights:
            torch._foreach_copy_(self.step.optimizer.parameters, weights)  # type: ignore[attr-defined]

    def take_final_weights(self) -> None:
        """The trained model: the best on validation where patience was asked for, else the average, or the last."""
        if self.state.best:
            self.step.model.load_state_dict(self.state.best)
        else:
            self._copy(self.state.average)
        self.step.gather()

    def save(self) -> None:
        """Write checkpoint and metrics, where there is a folder."""
        self._check_failure()
        if self.folder is not None:
            save_checkpoint(self.folder, self.state, self.step, self.identity)
            self._write_metrics()
        self.saved, self.saved_at = self.clock(), self.state.step

    def _write_metrics(self) -> None:
        if self.folder is not None:
            lines = [json.dumps(record, allow_nan=False) + "\n" for record in self.state.history]
            write_text(self.folder / "metrics.jsonl", "".join(lines))
            self.written = self.clock()

    def _checkpoint_due(self) -> bool:
        if self.folder is None:
            return False
        if self.settings.checkpoint_steps is not None:
            return self.state.step - self.saved_at >= self.settings.checkpoint_steps
        return self.clock() - self.saved >= self.settings.checkpoint_seconds

    def _check_failure(self) -> None:
        """After a step that was not finite: go back to where the count of updates stands, save, and name the cause."""
        if not self.step.failed:
            return
        state, size = self.state, self.settings.batch_size
        good = int(self.step.optimizer.committed)
        if state.step > good:  # looked late: the epoch's sums hold the failure
            state.step, state.sums, state.examples = good, None, 0
        epoch, position = divmod(good, self.per_epoch)
        batch, part = next(self.rows.batches(self.settings.seed, epoch, size, position))
        error = self.step.explain(batch, part, good)
        self.step.failed.zero_()
        self.save()
        self.step.gather()
        raise error

    def _how_to_resume(self, what: str) -> str:
        stopped = f"{what} after step {self.state.step} of {self.total}"
        if self.folder is None:
            return f"{stopped}; nothing was saved, as no folder was given."
        saved = "and saved" if self.saved_at == self.state.step else f"and had saved that of step {self.saved_at}"
        processes = ", in any number of processes" if n_processes() > 1 else ""
        return (
            f"{stopped} {saved}. To go on{processes}: fit(..., folder={str(self.folder)!r}, resume=True), "
            f"or isthmus train --resume --out {self.folder}"
        )

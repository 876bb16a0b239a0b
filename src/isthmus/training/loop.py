"""`fit`: the training loop, a function."""

from __future__ import annotations

import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files import write_text
from ..model import LatentVariableModel
from ..objectives import Objective
from .checkpoint import State, latest_checkpoint, load_checkpoint, save_checkpoint
from .progress import Progress
from .rows import Rows, Scaling, epoch_order
from .settings import Settings
from .step import Step, seed_noise

__all__ = ["Interrupted", "fit"]

COMPILE_FROM = 6_000
"""Steps from which compiling, 4 to 20 s, is repaid by the 1 to 3 ms that a compiled step saves (see benchmarks/)."""

CHECK_EVERY = 50
"""Steps between looks at the non-finite flag on an accelerator, where a look waits for the device."""

VALIDATION_CHUNK = 1024


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the step was finished and, where a folder is given, saved."""


def fit(
    model: LatentVariableModel,
    objective: Objective,
    data: Rows | Tensor | np.ndarray,
    settings: Settings | None = None,
    *,
    scaling: Scaling | None = None,
    validation: Rows | Tensor | np.ndarray | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    title: str = "training",
) -> list[dict[str, Any]]:
    r"""Train a model for an objective, in place.

    Minimises :math:`\frac1n \sum_i w_i\,\mathrm{loss}(x_i)` plus the objective's batch terms with Adam. The order of
    the rows and the noise are functions of the seed, the epoch and the step, so that a resumed run is the same run.

    Args:
        model: what to train; it ends on the device of the settings.
        objective: for what.
        data: rows (n, F) of any dtype, kept as they are and scaled inside the step; `Rows` adds conditions and
            weights.
        settings: how; see `Settings`.
        scaling: from the data to the model's units.
        validation: rows whose mean loss, on fixed noise, is measured after each epoch; needed for `patience`.
        folder: where checkpoints and metrics.jsonl go; None writes nothing.
        resume: go on from the newest checkpoint in `folder`, where there is one.
        progress: show a bar, or lines where there is no terminal.
        title: its title.

    Returns:
        One record an epoch: epoch, step, seconds, rows_per_second, learning_rate, loss and its terms in nats,
        gradient_norm, and validation where there is any.

    Raises:
        ValueError, TypeError: bad data or settings, or an objective that does not fit the model.
        NonFiniteError: a loss or gradient became NaN or infinite; the model holds the last good weights.
        Interrupted: Ctrl-C, after the step was finished and saved.

    Example:
        >>> from isthmus.heads import BernoulliHead, GaussianHead
        >>> from isthmus.model import Conditional
        >>> from isthmus.nets import MLP
        >>> from isthmus.objectives import ELBO
        >>> from isthmus.priors import StandardNormal
        >>> encoder = Conditional(MLP(5, (8,)), GaussianHead(8, 2))
        >>> decoder = Conditional(MLP(2, (8,)), BernoulliHead(8, 5))
        >>> model = LatentVariableModel(encoder, decoder, StandardNormal(2))
        >>> history = fit(model, ELBO(), torch.rand(64, 5), Settings(max_epochs=2))
        >>> [record["step"] for record in history]
        [1, 2]
    """
    settings = settings or Settings()
    device = settings.resolve_device()
    rows, scaling = _checked(data, "data").to(device), (scaling or Scaling()).to(device)
    held_out = None if validation is None else _checked(validation, "validation").to(device)
    if settings.patience is not None and held_out is None:
        raise ValueError("Expected validation data with patience, got none; pass validation=, or patience=None.")
    if resume and folder is None:
        raise ValueError("Expected the folder of the run to resume, got None; pass folder=.")
    folder = None if folder is None else Path(folder)
    per_epoch = math.ceil(len(rows.x) / settings.batch_size)
    total = per_epoch * settings.max_epochs

    model.to(device).train()
    step = Step(
        model, objective, scaling, settings.seed,
        bf16=settings.resolve_precision(device) == "bf16",
        clip_norm=settings.clip_norm,
        full_size=settings.batch_size,
        compile=total >= COMPILE_FROM if settings.compile == "auto" else settings.compile,
    )  # fmt: skip
    state = _start(folder, resume, step, settings)
    save = (lambda: save_checkpoint(folder, state, step, settings)) if folder else (lambda: None)
    try:
        with (
            _forked_noise(device),
            _interrupts() as interrupted,
            Progress(total, state.step, title, progress) as shown,
        ):
            _train(step, state, settings, rows, held_out, folder, save, interrupted, shown, per_epoch, total)
    finally:
        model.eval()
    save()
    _take_final_weights(step, state)
    return state.history


def _train(
    step: Step, state: State, settings: Settings, rows: Rows, held_out: Rows | None, folder: Path | None,
    save: Callable[[], Any], interrupted: Callable[[], bool], shown: Progress, per_epoch: int, total: int,
) -> None:  # fmt: skip
    """Run from `state.step` to the end, epoch by epoch."""
    size, check_every = settings.batch_size, 1 if step.device.type == "cpu" else CHECK_EVERY
    began, saved, saved_at = time.monotonic() - state.seconds, time.monotonic(), state.step
    while state.step < total and not _out_of_patience(state, settings):
        epoch, position = divmod(state.step, per_epoch)
        order = epoch_order(settings.seed, epoch, len(rows.x)).to(step.device)
        epoch_began, epoch_rows, rate = time.monotonic(), 0, 0.0
        for start in range(position * size, len(order), size):
            batch = rows.take(order[start : start + size])
            rate = settings.learning_rate * settings.schedule(state.step, total)
            statistics = step(batch, state.step, rate)
            if state.step % check_every == 0 and step.failed:
                _stop_at_failure(step, rows, settings, state, per_epoch, save)
            state.sums = (
                statistics * len(batch.x) if state.sums is None else state.sums.add_(statistics, alpha=len(batch.x))
            )
            state.examples += len(batch.x)
            state.step += 1
            epoch_rows += len(batch.x)
            _update_average(step, state, settings)
            shown.update(state.step, epoch, len(batch.x), statistics[0])
            state.seconds = time.monotonic() - began
            if interrupted():
                save()
                raise Interrupted(_how_to_resume(state.step, total, folder))
            if state.step % per_epoch and _checkpoint_due(settings, state.step, saved_at, saved):
                save()
                saved, saved_at = time.monotonic(), state.step
        if step.failed:
            _stop_at_failure(step, rows, settings, state, per_epoch, save)
        _end_epoch(
            step,
            state,
            settings,
            held_out,
            epoch,
            rate,
            epoch_rows / max(time.monotonic() - epoch_began, 1e-9),
        )
        if folder is not None:
            write_text(folder / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in state.history))
            if _checkpoint_due(settings, state.step, saved_at, saved):
                save()
                saved, saved_at = time.monotonic(), state.step


def _checked(data: Rows | Tensor | np.ndarray, name: str) -> Rows:
    """Rows at the border: two-dimensional, not empty, finite, weights with mean 1."""
    rows = data if isinstance(data, Rows) else Rows(torch.as_tensor(data))
    if rows.x.ndim != 2 or len(rows.x) == 0 or rows.x.shape[1] == 0:
        raise ValueError(f"Expected {name} of shape (n, features) with n >= 1, got {tuple(rows.x.shape)}.")
    for part, values in zip(Rows._fields, rows, strict=True):
        if values is None:
            continue
        if len(values) != len(rows.x):
            raise ValueError(f"Expected a {part} for each of {len(rows.x)} rows of {name}, got {len(values)}.")
        if values.is_floating_point() and not values.isfinite().all():
            raise ValueError(f"Expected finite {name}, got NaN or infinity in {part}; impute or drop those rows.")
    if rows.weight is not None:
        weight = rows.weight.float()
        if (weight < 0).any() or weight.sum() == 0:
            raise ValueError("Expected weights >= 0 with a positive sum, got others.")
        rows = rows._replace(weight=weight / weight.mean())
    return rows


def _start(folder: Path | None, resume: bool, step: Step, settings: Settings) -> State:
    """A fresh state, or that of the newest checkpoint: a run killed before its first one starts again."""
    newest = latest_checkpoint(folder) if folder is not None and resume else None
    if newest is not None:
        return load_checkpoint(newest, step, settings)
    if folder is not None:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of an earlier run in this folder
        (folder / "metrics.jsonl").unlink(missing_ok=True)
    return State(average=[p.clone() for p in step.adam.parameters] if settings.average is not None else [])


def _end_epoch(
    step: Step, state: State, settings: Settings, held_out: Rows | None, epoch: int, rate: float, speed: float
) -> None:
    """Record the epoch's means, measure the validation loss, keep the best weights."""
    means = (state.sums / state.examples).tolist() if state.sums is not None else []
    record: dict[str, Any] = {"epoch": epoch, "step": state.step, "seconds": round(state.seconds, 3)}
    record |= {"rows_per_second": round(speed, 1), "learning_rate": rate}
    record |= dict(zip(step.names, means, strict=True))
    if held_out is not None:
        with _averaged(step, state):
            record["validation"] = _validation_loss(step, held_out, settings.seed)
            if record["validation"] < state.best_loss:
                state.best_loss, state.stale = record["validation"], 0
                if settings.patience is not None:
                    state.best = {name: tensor.clone() for name, tensor in step.model.state_dict().items()}
            else:
                state.stale += 1
    state.history.append(record)
    state.sums, state.examples = None, 0


@torch.no_grad()
def _validation_loss(step: Step, held_out: Rows, seed: int) -> float:
    """Mean loss on noise that is the same at every epoch, so that epochs can be compared."""
    step.model.eval()
    total = 0.0
    for i, start in enumerate(range(0, len(held_out.x), VALIDATION_CHUNK)):
        index = torch.arange(start, min(start + VALIDATION_CHUNK, len(held_out.x)), device=step.device)
        chunk = held_out.take(index)
        seed_noise(seed, -1 - i, step.device)
        with torch.autocast(step.device.type, torch.bfloat16, enabled=step.bf16):
            loss = step.objective(step.model, chunk.batch(step.scaling, step.dtype))
        total += float(loss.total(chunk.weight)) * len(index)
    step.model.train()
    return total / len(held_out.x)


def _update_average(step: Step, state: State, settings: Settings) -> None:
    if settings.average is not None:
        # An average over few steps forgets faster, so that short runs are not averages of their first weights.
        decay = min(settings.average, state.step / (state.step + 9))
        torch._foreach_lerp_(state.average, step.adam.parameters, 1 - decay)


@contextmanager
def _averaged(step: Step, state: State) -> Iterator[None]:
    """The model with its averaged weights, for a while."""
    if not state.average:
        yield
        return
    current = [parameter.clone() for parameter in step.adam.parameters]
    torch._foreach_copy_(step.adam.parameters, state.average)
    try:
        yield
    finally:
        torch._foreach_copy_(step.adam.parameters, current)


def _take_final_weights(step: Step, state: State) -> None:
    """The trained model: the best on validation where early stopping was asked for, else the average, else the last."""
    if state.best:
        step.model.load_state_dict(state.best)
    elif state.average:
        torch._foreach_copy_(step.adam.parameters, state.average)


def _stop_at_failure(
    step: Step, rows: Rows, settings: Settings, state: State, per_epoch: int, save: Callable[[], Any]
) -> None:
    """Adam's counter stood still since the first failure: go back there, save, and name what went wrong."""
    state.step = int(step.adam.committed)
    epoch, position = divmod(state.step, per_epoch)
    index = epoch_order(settings.seed, epoch, len(rows.x))[position * settings.batch_size :][: settings.batch_size]
    error = step.explain(rows.take(index.to(step.device)), state.step)
    state.sums, state.examples = None, 0  # the epoch's sums hold the failure
    step.failed.zero_()
    save()
    raise error


def _checkpoint_due(settings: Settings, step: int, saved_at: int, saved: float) -> bool:
    if settings.checkpoint_steps is not None:
        return step - saved_at >= settings.checkpoint_steps
    return time.monotonic() - saved >= settings.checkpoint_seconds


def _out_of_patience(state: State, settings: Settings) -> bool:
    return settings.patience is not None and state.stale >= settings.patience


def _how_to_resume(step: int, total: int, folder: Path | None) -> str:
    if folder is None:
        return f"Stopped after step {step} of {total}; nothing was saved, as no folder was given."
    return (
        f"Stopped after step {step} of {total} and saved. To go on: fit(..., folder={str(folder)!r}, resume=True), "
        f"or isthmus train --resume --out {folder}"
    )


@contextmanager
def _forked_noise(device: torch.device) -> Iterator[None]:
    """Give the caller's random generators back as they were."""
    devices = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
        yield


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag that the loop reads after each step; a second one stops at once."""
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield seen.is_set
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(*_: Any) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, previous)

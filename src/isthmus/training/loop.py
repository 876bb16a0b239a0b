"""`fit`: the training loop, a function."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.shards import Shards
from ..files import remove, remove_temporaries
from ..model import Conditional, LatentVariableModel
from ..objectives import Objective
from ..processes import agreed, is_first, joined, lost_in_words, n_processes, send_first, wait_for_all
from .checkpoint import State, checkpoints, identity, load_checkpoint, remove_checkpoints, remove_unfinished
from .folder import own_folder
from .interrupts import interrupts
from .memory import check_device, keep_freed_memory
from .optimizers import SGD, Adam, Muon, Optimizer
from .progress import Progress
from .rows import Rows, Scaling, checked_rows, fingerprint
from .run import Run, steps_per_epoch
from .settings import Settings
from .step import Step
from .stream import Stream, checked_data

__all__ = ["fit"]

COMPILE_FROM = 6_000
"""Steps from which compiling, 4 to 20 s, is repaid by the 1 to 3 ms that a compiled step saves (see benchmarks/)."""


def fit(
    model: LatentVariableModel | Conditional,
    objective: Objective,
    data: Rows | Stream | Shards | Tensor | np.ndarray,
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

    Minimises :math:`\frac1n \sum_i w_i\,\mathrm{loss}(x_i)` plus the objective's batch terms, with Adam or another
    optimiser. The order of the rows and the noise are functions of the seed, the epoch and the step, so that a resumed
    run is the same run. Where torchrun started several processes, all of them call it alike and train one model: a
    batch is cut among them, and the model is that of one process, but for rounding. On
    Linux, the process keeps up to 256 MB of freed memory from then on (see `training.memory`).

    Args:
        model: what to train; it ends on the device of the settings, or stays where it is when it is trained sharded. A
            `Conditional` alone learns p(target|x).
        objective: for what.
        data: rows (n, F) of any dtype, kept as they are and scaled inside the step; `Rows` adds conditions and
            weights. Memory maps and `isthmus.data.Shards` that are larger than a buffer are read while training:
            see `Stream` for the order of their rows, and for their conditions and weights.
        settings: how; see `Settings`.
        scaling: from the data to the model's units.
        validation: rows whose mean loss, on fixed noise, is measured after each epoch; needed for `patience`.
        folder: where checkpoints and metrics.jsonl go, in place of those of an earlier run; None writes nothing.
        resume: go on from the newest checkpoint in `folder`, where there is one: with the same data, model, objective
            and settings, of which only max_epochs, device, compile and checkpoint times may change.
        progress: show a bar, or lines where there is no terminal.
        title: its title.

    Returns:
        One record an epoch: epoch, step, seconds, rows_per_second, learning_rate, loss and its terms in nats,
        gradient_norm, and validation where there is any. None stands for what was not finite.

    Raises:
        ValueError, TypeError: bad data or settings, an objective that does not fit the model, or a folder that another
            run is using.
        OSError: a folder that cannot be written to, found before the first step, or a disk that is full.
        UnreadableFile: a checkpoint that is damaged, or of another run; the model is left alone.
        NonFiniteError: a loss or gradient became NaN or infinite; the model holds the last good weights.
        Interrupted: Ctrl-C, after the step was finished and saved; the model holds the weights of that step.
        LostProcess: under torchrun, another process ended; saved likewise.

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
    if resume and folder is None:
        raise ValueError("Expected the folder of the run to resume, got None; pass folder=.")
    rows = checked_data(data, "data")
    held_out = None if validation is None else checked_rows(validation, "validation", rows.n_features)
    if settings.patience is not None and held_out is None:
        raise ValueError("Expected validation data with patience, got none; pass validation=, or patience=None.")
    scaling, folder = scaling or Scaling(), None if folder is None else Path(folder)
    keep_freed_memory()
    with joined():
        device = settings.resolve_device()
        try:
            with (
                own_folder(folder),
                torch.enable_grad(),
                _forked_noise(device),
                _threads(model, settings, device),
                interrupts() as interrupted,
            ):
                model.train()
                run = _prepare(model, objective, settings, rows, held_out, scaling, folder, resume)
                if run.step.compile and progress and is_first():
                    print(f"{title}: compiling the step, some 5 to 20 s", file=sys.stderr, flush=True)
                with Progress(run.total, run.state.step, title, progress and is_first()) as shown:
                    run.train(interrupted, shown)
                with lost_in_words():
                    run.save()
                    run.take_final_weights()
                    wait_for_all()  # what the first process wrote is there for all
        finally:
            model.eval()
        return run.state.history


def _prepare(
    model: LatentVariableModel | Conditional, objective: Objective, settings: Settings, rows: Rows | Stream,
    held_out: Rows | None, scaling: Scaling, folder: Path | None, resume: bool,
) -> Run:  # fmt: skip
    """Put data and model together on the device, at the state to begin with."""
    device = settings.resolve_device()
    if device.type == "mps":
        held_out = None if held_out is None else held_out.without_float64(scaling)[0]
        rows, scaling = rows.without_float64(scaling)
    steps = steps_per_epoch(rows.n_rows, settings) * settings.max_epochs
    _meet(model)
    compile = settings.compile if settings.compile != "auto" else steps >= COMPILE_FROM and not settings.sharded
    arguments: dict[str, Any] = {
        "bf16": settings.resolve_precision(device) == "bf16",
        "clip_norm": settings.clip_norm,
        "full_size": settings.batch_size,
        "compile": compile,
        "make_optimizer": partial(_make_optimizer, settings),
    }
    if settings.sharded:
        from .sharded import ShardedStep  # FSDP2 and its checkpoints take a second to import

        step: Step = ShardedStep(model, objective, scaling.to(device), settings.seed, **arguments, on=device)
    else:
        step = Step(model.to(device), objective, scaling.to(device), settings.seed, **arguments)
    held_out_print = None if held_out is None else fingerprint(held_out, scaling)
    made_of = identity(step, settings, fingerprint(rows, scaling), held_out_print)
    agreed(made_of, "data, model and settings")
    _check_last_batch(step, rows, settings)
    state = _start(folder, resume, step, settings, made_of)
    check_device([rows, held_out], device)
    held_out = None if held_out is None else held_out.to(device)
    return Run(step, settings, rows.to(device), held_out, state, folder, made_of)


def _make_optimizer(settings: Settings, parameters: Sequence[Tensor]) -> Optimizer:
    if settings.optimizer == "sgd":
        return SGD(parameters, settings.weight_decay, settings.momentum)
    kind = Muon if settings.optimizer == "muon" else Adam
    return kind(parameters, settings.weight_decay)


def _check_last_batch(step: Step, rows: Rows | Stream, settings: Settings) -> None:
    """Batch normalisation has no statistics of one row: found now, and not at the end of the first epoch."""
    n, size = rows.n_rows, settings.batch_size
    if n % size != 1 % size or not any(isinstance(module, _BatchNorm) for module in step.model.modules()):
        return
    batch, _ = next(iter(rows.batches(settings.seed, 0, size, steps_per_epoch(n, settings) - 1)))
    try:
        with torch.no_grad(), step._same_buffers():
            step.loss(batch.to(step.device), step.number)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"Expected batches of two rows or more for batch normalisation, got a last batch of one of {n} rows in "
            f"batches of {size}; use another batch_size, or GroupNorm or LayerNorm."
        ) from error


def _meet(model: nn.Module) -> None:
    """See to it that several processes start from one model."""
    if n_processes() == 1:
        return
    kinds = {type(module).__name__ for module in model.modules() if isinstance(module, _BatchNorm)}
    if kinds:
        raise ValueError(
            f"Expected layers that treat rows alike in several processes, got {', '.join(sorted(kinds))}, which takes "
            "statistics of its own part of a batch; use GroupNorm or LayerNorm."
        )
    agreed([[name, *tensor.shape] for name, tensor in model.state_dict().items()], "model")
    for tensor in (*model.parameters(), *model.buffers()):
        send_first(tensor.detach())


def _start(folder: Path | None, resume: bool, step: Step, settings: Settings, made_of: dict[str, Any]) -> State:
    """A fresh state, or that of the newest checkpoint: a run killed before its first one starts again."""
    fresh = State(average=[p.clone() for p in step.optimizer.parameters] if settings.average is not None else [])
    if folder is None:
        return fresh
    remove_temporaries(folder)
    found = checkpoints(folder) if resume else []
    agreed([path.name for path in found], f"checkpoints in {folder}, which all must see,")
    if found:
        remove_unfinished(folder)
        return load_checkpoint(found[-1], step, made_of)
    remove_checkpoints(folder)  # of an earlier run in this folder
    remove(folder / "metrics.jsonl")
    return fresh


SMALL_STEP = 20_000_000
"""Multiplications of a forward pass below which one thread does a step as fast as several."""


@contextmanager
def _threads(model: nn.Module, settings: Settings, device: torch.device) -> Iterator[None]:
    """One CPU thread for small models: several wait for each other at every operation, on a busy machine for long."""
    before = torch.get_num_threads()
    weights = sum(parameter.numel() for parameter in model.parameters())
    if device.type == "cpu" and weights * settings.batch_size < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _forked_noise(device: torch.device) -> Iterator[None]:
    """Give the caller's random generators back as they were."""
    devices = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
        yield

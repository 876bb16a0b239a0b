"""All that a run needs to go on bit for bit, in one file: shuffles and noise are functions of seed and step."""

from __future__ import annotations

import math
import platform
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import UnreadableFile, read_json, read_tensors, remove, remove_temporaries
from ..processes import n_processes
from .possible import check_numbers, check_tensors
from .settings import Settings
from .step import Step

__all__ = [
    "SHARDED_STATE",
    "State",
    "checkpoints",
    "identity",
    "load_checkpoint",
    "recorded_settings",
    "remove_checkpoints",
    "remove_unfinished",
    "save_checkpoint",
]

SHARDED_STATE = "state.json"
"""A checkpoint of a sharded model is a folder, and this file, written last, says that it is whole."""

KEPT = 2
"""Checkpoints kept in a folder: should the newest be damaged, the one before it still is there."""


@dataclass
class State:
    """What changes while training, beside the model and its optimiser.

    Attributes:
        step: steps done.
        sums: sums of the step statistics over this epoch's examples, and how many examples.
        best_loss, stale: lowest validation loss so far, and epochs since.
        best: weights and buffers at the lowest validation loss.
        average: exponential average of the trained parameters.
        history: one record an epoch.
    """

    step: int = 0
    sums: Tensor | None = None
    examples: int = 0
    best_loss: float = math.inf
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    average: list[Tensor] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first."""
    found = (folder / "checkpoints").glob("step-*")
    return sorted(path for path in found if path.suffix == ".safetensors" or (path / SHARDED_STATE).is_file())


def remove_checkpoints(folder: Path) -> None:
    """Remove those of an earlier run, and nothing else that may lie there."""
    for path in checkpoints(folder):
        _remove(path)
    remove_unfinished(folder)


def remove_unfinished(folder: Path) -> None:
    """Remove what a run that was killed left of a checkpoint. Nobody else may be writing into the folder."""
    remove_temporaries(folder / "checkpoints")
    for path in (folder / "checkpoints").glob("step-*.sharded"):
        if not (path / SHARDED_STATE).is_file():
            remove(path)


def identity(step: Step, settings: Settings, data: str, validation: str | None) -> dict[str, Any]:
    """What a run is made of, as JSON holds it: it resumes with nothing else.

    Args:
        step: its model and objective.
        settings: its settings.
        data, validation: fingerprints.
    """
    plain = asdict(settings)
    plain["schedule"]["milestones"] = list(settings.schedule.milestones)
    # An address in memory says which process wrote it, not what it is.
    texts = {name: re.sub(r" at 0x[0-9a-fA-F]+", "", repr(getattr(step, name))) for name in ("model", "objective")}
    return {"settings": plain, **texts, "data": data, "validation": validation}


def save_checkpoint(folder: Path, state: State, step: Step, run: Mapping[str, Any]) -> Path:
    """Write `checkpoints/step-N.*` whole or not at all, then drop the oldest; `run` is its `identity`."""
    tensors = {f"model.{name}": tensor for name, tensor in step.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    tensors |= step.optimizer.state()
    tensors |= {f"average.{i}": tensor for i, tensor in enumerate(state.average)}
    if state.sums is not None:
        tensors["sums"] = state.sums
    metadata = {
        "kind": "checkpoint",
        "step": state.step,
        "examples": state.examples,
        "best_loss": state.best_loss if math.isfinite(state.best_loss) else None,
        "stale": state.stale,
        "history": state.history,
        "seconds": state.seconds,
        "names": step.names,
        "run": run,
        "environment": _environment(step),
    }
    path = folder / "checkpoints" / f"step-{state.step:09d}{step.suffix}"
    step.write(path, tensors, metadata)
    for old in checkpoints(folder)[:-KEPT]:
        _remove(old)
    return path


def _remove(checkpoint: Path) -> None:
    if checkpoint.is_dir():
        remove(checkpoint / SHARDED_STATE)  # first: what is left is no whole checkpoint
    remove(checkpoint)


def recorded_settings(path: Path) -> dict[str, Any]:
    """The settings that a checkpoint was trained with.

    Raises:
        UnreadableFile: torn or foreign.
    """
    metadata = read_json(path / SHARDED_STATE) if path.is_dir() else read_tensors(path)[1]
    run = metadata.get("run")
    settings = run.get("settings") if isinstance(run, dict) else None
    return settings if isinstance(settings, dict) else {}


def load_checkpoint(path: Path, step: Step, run: Mapping[str, Any]) -> State:
    """Put model and optimiser back as they were and return the rest.

    Raises:
        UnreadableFile: torn, foreign, newer, or of another model, objective, settings or data.
    """
    tensors, metadata = _read(path, step)
    try:
        weights = _weights(path, step, tensors)
        check_numbers(metadata)
        _check_run(path, metadata["run"], run)
        moments = _moments(path, step, tensors)
        state = State(
            step=metadata["step"],
            sums=tensors["sums"].to(step.device) if "sums" in tensors else None,
            examples=metadata["examples"],
            best_loss=math.inf if metadata["best_loss"] is None else metadata["best_loss"],
            stale=metadata["stale"],
            best=_part(tensors, "best."),
            average=[tensor.to(step.device) for tensor in _numbered(tensors, "average.")],
            history=metadata["history"],
            seconds=metadata["seconds"],
        )
        names = metadata["names"]
        trained = step.optimizer.parameters
        check_tensors(step.model.state_dict(), state.best, trained, state.average, moments, state.sums, len(names))
        _check_environment(metadata["environment"], step)
    except KeyError as error:
        raise UnreadableFile(f"Expected a whole checkpoint in {path}, got one without {error}.") from error
    except UnreadableFile:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise UnreadableFile(f"Expected a whole checkpoint in {path}, got one with {error}.") from error
    # All checks come first: a refused checkpoint leaves the model alone.
    step.model.load_state_dict(weights)
    step.optimizer.load(moments)
    step.names = tuple(names)
    return state


def _read(path: Path, step: Step) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if path.suffix != step.suffix:
        sharded = path.suffix == ".sharded"
        raise UnreadableFile(
            f"Expected {'another' if sharded else 'a sharded'} checkpoint than {path}; resume with sharded={sharded}."
        )
    try:
        tensors, metadata = step.read(path)
    except UnreadableFile as error:
        older = [other for other in checkpoints(path.parents[1]) if other.name < path.name]
        there = f"to go on from {older[-1]}" if older else "to start anew from the first step, as there is no other"
        raise UnreadableFile(f"{error} If it is damaged, delete it {there}.") from error
    if metadata.get("kind") != "checkpoint":
        raise UnreadableFile(f"Expected a checkpoint in {path}, got {metadata.get('kind')!r}.")
    return tensors, metadata


def _weights(path: Path, step: Step, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and buffers by name; refused where they are not of this model."""
    weights = _part(tensors, "model.")
    expected, found = _shapes(step.model.state_dict()), _shapes(weights)
    if expected != found:
        differing = ", ".join(sorted({name for name, *_ in expected ^ found}))
        raise UnreadableFile(f"Expected a checkpoint of this model in {path}, got other weights: {differing}.")
    return weights


def _moments(path: Path, step: Step, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimiser's state, by name; refused where it is not of these parameters."""
    ours, kind = step.optimizer.state(), f"{step.optimizer.name}."
    moments = {name: tensor for name, tensor in tensors.items() if name.startswith(kind)}
    if {name: tensor.shape for name, tensor in moments.items()} != {name: t.shape for name, t in ours.items()}:
        raise UnreadableFile(
            f"Expected a checkpoint of this model in {path}, got one where other parameters were trained; "
            "freeze the same ones."
        )
    return moments


def _shapes(tensors: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...], torch.dtype]]:
    return {(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    part = _part(tensors, prefix)
    return [part[str(i)] for i in range(len(part))]


_FREE = {"max_epochs", "device", "compile", "checkpoint_seconds", "checkpoint_steps"}
"""Settings that a resumed run may change: they don't decide what the next step does (but see `_check_run`)."""

_LATER = {"optimizer": "adam", "momentum": 0.9, "weight_decay": 0.0}
"""Settings of which checkpoints before them don't know, as those runs had them."""


def _check_run(path: Path, saved: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    before, now = _LATER | saved["settings"], run["settings"]
    differing = [name for name in now if name not in _FREE and now[name] != before.get(name)]
    if differing:
        what = ", ".join(f"{name} {before.get(name)!r} (now {now[name]!r})" for name in sorted(differing))
        raise UnreadableFile(f"Expected the settings that {path} was trained with: {what}; resume with those.")
    if now["max_epochs"] != before["max_epochs"] and now["schedule"]["shape"] != "constant":
        warnings.warn(
            f"The {now['schedule']['shape']} schedule spans the whole run: with {now['max_epochs']} epochs in place of "
            f"{before['max_epochs']} the learning rate goes on from another place than it stopped at.",
            RuntimeWarning,
            stacklevel=4,
        )
    if run["model"] != saved["model"]:
        raise UnreadableFile(
            f"Expected the model that {path} was trained with, got other layers; resume with the same."
        )
    for name in ("objective", "data", "validation"):
        if run[name] != saved[name]:
            raise UnreadableFile(
                f"Expected the {name} that {path} was trained with ({saved[name]}), got another ({run[name]}); resume "
                "with the same."
            )


def _environment(step: Step) -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "device": step.device.type,
        "precision": "bf16" if step.bf16 else "fp32",
        "compiled": step.compile,
        "processes": n_processes(),
    }


def _check_environment(saved: Mapping[str, Any], step: Step) -> None:
    ours = _environment(step)
    differing = [
        f"{name} {str(saved.get(name))[:80]} (now {ours[name]})" for name in ours if ours[name] != saved.get(name)
    ]
    if differing:
        warnings.warn(
            f"This run was saved with {', '.join(differing)}: it goes on, but not bit for bit as it would have there.",
            RuntimeWarning,
            stacklevel=4,
        )

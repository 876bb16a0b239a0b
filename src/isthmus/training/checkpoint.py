"""All that a run needs to go on bit for bit, in one file: shuffles and noise are functions of seed and step."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import UnreadableFile, read_tensors, write_tensors
from .settings import Settings
from .step import Step

__all__ = ["State", "latest_checkpoint", "load_checkpoint", "save_checkpoint"]

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
    best_loss: float = float("inf")
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    average: list[Tensor] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(folder: Path, state: State, step: Step, settings: Settings) -> Path:
    """Write `checkpoints/step-N.safetensors` whole or not at all, then drop the oldest."""
    tensors = {f"model.{name}": tensor for name, tensor in step.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"adam.mean.{i}": tensor for i, tensor in enumerate(step.adam.means)}
    tensors |= {f"adam.square.{i}": tensor for i, tensor in enumerate(step.adam.squares)}
    tensors |= {f"average.{i}": tensor for i, tensor in enumerate(state.average)}
    tensors["adam.committed"] = step.adam.committed
    if state.sums is not None:
        tensors["sums"] = state.sums
    metadata = {
        "kind": "checkpoint",
        "step": state.step,
        "examples": state.examples,
        "best_loss": state.best_loss if state.best else None,
        "stale": state.stale,
        "history": state.history,
        "seconds": state.seconds,
        "names": step.names,
        "settings": asdict(settings),
        "environment": _environment(step),
    }
    path = folder / "checkpoints" / f"step-{state.step:09d}.safetensors"
    write_tensors(path, tensors, metadata)
    for old in sorted(path.parent.glob("step-*.safetensors"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run folder, or None where there is none yet."""
    return max((folder / "checkpoints").glob("step-*.safetensors"), default=None)


def load_checkpoint(path: Path, step: Step, settings: Settings) -> State:
    """Put model and optimiser back as they were and return the rest.

    Raises:
        UnreadableFile: torn, foreign, newer, or of another model or other settings.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") != "checkpoint":
        raise UnreadableFile(f"Expected a checkpoint in {path}, got {metadata.get('kind')!r}.")
    _check_settings(path, metadata["settings"], settings)
    _restore(path, step, tensors)
    _check_environment(metadata["environment"], step)
    step.names = tuple(metadata["names"])
    return State(
        step=metadata["step"],
        sums=tensors["sums"].to(step.device) if "sums" in tensors else None,
        examples=metadata["examples"],
        best_loss=float("inf") if metadata["best_loss"] is None else metadata["best_loss"],
        stale=metadata["stale"],
        best=_part(tensors, "best."),
        average=[tensor.to(step.device) for tensor in _numbered(tensors, "average.")],
        history=metadata["history"],
        seconds=metadata["seconds"],
    )


def _restore(path: Path, step: Step, tensors: Mapping[str, Tensor]) -> None:
    weights, means, squares = (
        _part(tensors, "model."),
        _numbered(tensors, "adam.mean."),
        _numbered(tensors, "adam.square."),
    )
    expected = {name: tuple(tensor.shape) for name, tensor in step.model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found or [m.shape for m in means] != [p.shape for p in step.parameters]:
        differing = sorted({name for name, _ in set(expected.items()) ^ set(found.items())})
        raise UnreadableFile(
            f"Expected a checkpoint of this model in {path}, got other weights: {', '.join(differing)}."
        )
    step.model.load_state_dict(weights)
    for ours, saved in zip(step.adam.means + step.adam.squares, means + squares, strict=True):
        ours.copy_(saved)
    step.adam.committed.copy_(tensors["adam.committed"])


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    part = _part(tensors, prefix)
    return [part[str(i)] for i in range(len(part))]


_FREE = {"max_epochs", "device", "compile", "checkpoint_seconds", "checkpoint_steps"}
"""Settings that a resumed run may change: they don't decide what the next step does."""


def _check_settings(path: Path, saved: Mapping[str, Any], settings: Settings) -> None:
    ours: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()
    }
    ours["schedule"]["milestones"] = list(ours["schedule"]["milestones"])
    differing = {name for name in ours if name not in _FREE and ours[name] != saved.get(name)}
    if differing:
        what = ", ".join(f"{name} {saved.get(name)!r} (now {ours[name]!r})" for name in sorted(differing))
        raise UnreadableFile(f"Expected the settings that {path} was trained with: {what}; resume with those.")


def _environment(step: Step) -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "device": step.device.type,
        "precision": "bf16" if step.bf16 else "fp32",
        "compiled": step.compile,
    }


def _check_environment(saved: Mapping[str, Any], step: Step) -> None:
    ours = _environment(step)
    differing = [f"{name} {saved.get(name)} (now {ours[name]})" for name in ours if ours[name] != saved.get(name)]
    if differing:
        warnings.warn(
            f"This run was saved with {', '.join(differing)}: it goes on, but not bit for bit as it would have there.",
            RuntimeWarning,
            stacklevel=3,
        )

"""How to train: one plain record, the same in Python, in a run's configuration and in its checkpoints."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from .schedule import Schedule

__all__ = ["Settings"]

_OPTIONAL = {"clip_norm", "average", "patience", "checkpoint_steps"}


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Args:
        max_epochs: passes over the data.
        batch_size: examples a step; the last batch of an epoch is as large as what is left.
        learning_rate: of the optimiser, before the schedule.
        optimizer: "adam"; "sgd", gradient descent with momentum; "muon", whose steps of matrices are near orthogonal,
            and take Adam's learning rates. See `isthmus.training.optimizers`.
        momentum: of "sgd": what a gradient still counts for a step later; 0 for none. The others have their own.
        weight_decay: decoupled, for any optimiser: at each step parameters of two dimensions or more shrink by the
            share learning_rate * weight_decay; biases and other vectors don't (Loshchilov and Hutter 2019).
        schedule: factor on the learning rate at each step.
        clip_norm: largest norm of the gradient; None does not clip.
        average: decay of an exponential average of the weights, which then is the trained model; at step t, from 1
            on, it is min(average, t / (t + 9)), so that a short run is not an average of its first weights. None
            keeps none.
        patience: epochs without a better validation loss after which to stop and take the best weights; None never.
        precision: "fp32"; "bf16" runs matrix products in half precision, densities and weights in float32; "auto"
            is "bf16" on a GPU that has it.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes an accelerator where there is one.
        compile: compile the step; "auto" does where the run is long enough to repay it.
        seed: of order and noise. The same seed on the same machine gives the same model.
        sharded: cut weights, gradients and optimiser state over the processes of torchrun, for a model that is too
            large for one device; it trains eagerly.
        checkpoint_seconds: time between checkpoints, where a folder is given.
        checkpoint_steps: steps between checkpoints, instead.

    Raises:
        ValueError: values out of range.
        TypeError: no numbers where numbers are expected.
    """

    max_epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "sgd", "muon"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)
    clip_norm: float | None = None
    average: float | None = None
    patience: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    compile: Literal["auto"] | bool = "auto"
    seed: int = 0
    sharded: bool = False
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "patience", "checkpoint_steps", "seed"):
            self._take_number(name, operator.index)
        for name in ("learning_rate", "momentum", "weight_decay", "clip_norm", "average", "checkpoint_seconds"):
            self._take_number(name, float)
        for name in ("max_epochs", "batch_size", "patience", "checkpoint_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Expected {name} >= 1, got {value}.")
        for name in ("learning_rate", "clip_norm", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"Expected a finite {name} > 0, got {value}.")
        self._check_optimizer()
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"Expected average, a decay, in (0, 1), got {self.average}.")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"Expected precision 'auto', 'fp32' or 'bf16', got {self.precision!r}.")
        if self.compile not in ("auto", True, False):
            raise ValueError(f"Expected compile 'auto', True or False, got {self.compile!r}.")

        if not isinstance(self.sharded, bool):
            raise TypeError(f"Expected sharded True or False, got {self.sharded!r}.")
        if self.sharded and self.optimizer == "muon":
            raise ValueError(
                "Expected optimizer 'adam' or 'sgd' with sharded=True, got 'muon', which needs whole matrices; use one "
                "of those, or sharded=False."
            )

    def _check_optimizer(self) -> None:
        if self.optimizer not in ("adam", "sgd", "muon"):
            raise ValueError(f"Expected optimizer 'adam', 'sgd' or 'muon', got {self.optimizer!r}.")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"Expected momentum in [0, 1), got {self.momentum}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"Expected a finite weight_decay >= 0, got {self.weight_decay}.")
        if self.learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"Expected learning_rate * weight_decay < 1, the share by which weights shrink at a step, got "
                f"{self.learning_rate} * {self.weight_decay}; use a smaller weight_decay."
            )

    def _take_number(self, name: str, kind: Callable[[Any], Any]) -> None:
        """Numbers as Python has them: NumPy's, from a search over parameters, are not what JSON can hold."""
        value = getattr(self, name)
        if value is None and name in _OPTIONAL:
            return
        try:
            if isinstance(value, str):
                raise TypeError("a text")
            object.__setattr__(self, name, kind(value))
        except (TypeError, ValueError) as error:
            what = "a whole number" if kind is operator.index else "a number"
            raise TypeError(f"Expected {name} as {what}, got {value!r}.") from error

    def resolve_device(self) -> torch.device:
        """The device to train on.

        Raises:
            ValueError: unknown, or not present on this machine.
        """
        if self.device == "auto":
            if torch.cuda.is_available():
                return torch.device("cuda", torch.cuda.current_device())
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.empty(0, device=device)
            if device.type == "cuda" and device.index is None:
                device = torch.device("cuda", torch.cuda.current_device())
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"Expected device 'auto', 'cpu', 'cuda' or 'mps', got {self.device!r}: {reason}"
            ) from error
        return device

    def resolve_precision(self, device: torch.device) -> Literal["fp32", "bf16"]:
        """The precision to train in on that device."""
        if self.precision == "auto":
            return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
        return self.precision

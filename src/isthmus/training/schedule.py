"""Learning rates as pure functions of the step, so that a resumed run needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Factor on the learning rate at each step: a linear warm-up, then a shape.

    Args:
        shape: "constant"; "cosine", half a cosine from 1 down to `final`; "stepwise", `final` times smaller at each
            milestone.
        warm_up: steps of linear rise before the shape begins.
        milestones: for "stepwise", the fractions of the run, in (0, 1), at which the rate drops.
        final: last factor of "cosine", 0 if not given; factor at each milestone of "stepwise", 0.1 if not given.

    Raises:
        ValueError: values out of range.

    Example:
        >>> [round(Schedule("cosine", warm_up=2)(step, total=6), 2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """

    shape: Literal["constant", "cosine", "stepwise"] = "constant"
    warm_up: int = 0
    milestones: tuple[float, ...] = (0.5, 0.75)
    final: float | None = None

    def __post_init__(self) -> None:
        if self.shape not in ("constant", "cosine", "stepwise"):
            raise ValueError(f"Expected shape 'constant', 'cosine' or 'stepwise', got {self.shape!r}.")
        if self.warm_up < 0:
            raise ValueError(f"Expected warm_up >= 0 steps, got {self.warm_up}.")
        if not all(0 < milestone < 1 for milestone in self.milestones):
            raise ValueError(f"Expected milestones as fractions of the run in (0, 1), got {self.milestones}.")
        if self.final is not None and not 0 <= self.final <= 1:
            raise ValueError(f"Expected final in [0, 1], got {self.final}.")

    def __call__(self, step: int, total: int) -> float:
        """Factor at `step` of a run of `total` steps."""
        rise = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        done = max(0, step - self.warm_up) / max(1, total - self.warm_up)
        if self.shape == "cosine":
            final = 0.0 if self.final is None else self.final
            return rise * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))
        if self.shape == "stepwise":
            return rise * (0.1 if self.final is None else self.final) ** sum(
                done >= milestone for milestone in self.milestones
            )
        return rise

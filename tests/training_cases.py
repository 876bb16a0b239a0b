"""Models, objectives and comparisons that the tests of training share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from cases import binary, vae
from isthmus.model import LatentVariableModel
from isthmus.objectives import ELBO, Loss, Objective
from isthmus.training import Settings, fit
from isthmus.training.checkpoint import checkpoints
from isthmus.training.step import Step

EAGER = {"compile": False, "device": "cpu"}

compiles = pytest.mark.filterwarnings("ignore:`torch:DeprecationWarning")  # its own, at the first compile


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **(tolerance or {"rtol": 0, "atol": 0}), msg=name)


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)


@dataclass(frozen=True)
class Wrong(Objective):
    """The ELBO, but NaN at one step."""

    at: int = 7
    objective: Objective = ELBO()

    def loss(self, trace, model):
        loss = self.objective.loss(trace, model)
        if trace.batch.step is None:
            return loss
        zero = (trace.batch.step != self.at).to(loss.value.dtype)
        extra = (1 - zero) / zero  # 0 / 1, at the step 1 / 0
        return Loss(loss.value + extra, terms={**loss.terms, "ratio": loss.value.detach() * 0 + extra})


class Counter(nn.Module):
    """Counts in a buffer how often it ran in training, and changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += self.training
        return x


# --- a run with a folder -----------------------------------------------------------------------------

SETTINGS = Settings(max_epochs=3, batch_size=16, average=0.9, patience=5, checkpoint_steps=3, **EAGER)
ROWS = binary(60).x  # 4 steps an epoch


TIMES = ("seconds", "rows_per_second")


def timeless(history: Iterable[dict]) -> list[dict]:
    """Records without what no two runs have in common."""
    return [{name: value for name, value in record.items() if name not in TIMES} for record in history]


def short_run(*arguments, **changes):
    """Weights and history of a run of 12 steps that goes on from what is in the folder."""
    result, history = timed_run(*arguments, **changes)
    return result, timeless(history)


def timed_run(
    folder=None, model=None, objective=None, rows=ROWS, resume=True, scaling=None, validation=ROWS[:9], progress=False,
    **changes,
):  # fmt: skip
    """The same, with the times in its history."""
    if model is None:
        torch.manual_seed(0)
        model = vae()
    history = fit(
        model, objective or ELBO(), rows, replace(SETTINGS, **changes), scaling=scaling,
        validation=validation, folder=folder, resume=resume and folder is not None, progress=progress,
    )  # fmt: skip
    return weights(model), history


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], object]) -> None:
    """Do something while a step runs, once; other patches of `monkeypatch` end there as well."""

    def call(self, rows, step, rate, part=None, original=Step.__call__):
        if step == number:
            monkeypatch.undo()
            action()
        return original(self, rows, step, rate, part)

    monkeypatch.setattr(Step, "__call__", call)


@contextmanager
def dying_at(number: int) -> Iterator[None]:
    """Runs in here die without a word, as if killed, when this step begins."""

    def call(self, rows, step, rate, part=None, original=Step.__call__):
        if step == number:
            raise SystemExit
        return original(self, rows, step, rate, part)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Step, "__call__", call)
        with suppress(SystemExit):
            yield
            pytest.fail(f"the run did not come to step {number}")


def died_in_step_8(folder: Path) -> Path:
    """The folder of a run that left checkpoints at steps 3 and 6."""
    with dying_at(8):
        short_run(folder)
    assert [path.stem for path in checkpoints(folder)] == ["step-000000003", "step-000000006"]
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def partly_frozen_model() -> LatentVariableModel:
    torch.manual_seed(0)
    model = vae()
    model.encoder.net.requires_grad_(False)
    return model

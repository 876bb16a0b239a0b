"""One training step: forward and backward in one graph, then the check and a fused Adam outside it.

The usual two-graph step loses its time at the boundary between forward and backward and in `Optimizer.step`'s
Python. Here `torch.autograd.grad` is traced with the forward pass, and the graph returns detached gradients.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .. import processes
from ..model import LatentVariableModel
from ..objectives import Objective
from ..objectives.base import share_of_mean
from ..processes import Part, add_up, batch_part, n_processes, own_part, part_of_batch
from .rows import Rows, Scaling, mix

__all__ = ["Adam", "NonFiniteError", "Step", "seed_noise"]

RESERVED = {"epoch", "step", "seconds", "rows_per_second", "learning_rate", "loss", "gradient_norm", "validation"}
"""Names in a run's records that are no objective's terms."""


Outcome = tuple[Tensor, Tensor, tuple[Tensor, ...]]
"""Statistics, whether the step failed, gradients."""


class NonFiniteError(ArithmeticError):
    """A loss or gradient became NaN or infinite; the model holds its last good weights."""


class Adam:
    """torch's fused Adam kernel without `Optimizer.step`'s bookkeeping, a third of a small step's time.

    The kernel is private to torch: the tests hold it against `torch.optim.Adam`.

    Attributes:
        means, squares: running moments of the gradients.
        committed: number of updates made, a 0-d float32 tensor shared by all parameters.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.parameters = [parameter.detach() for parameter in parameters]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.committed = torch.zeros((), device=self.parameters[0].device)
        self.betas = betas

    def update(self, gradients: Sequence[Tensor], learning_rate: float, failed: Tensor) -> None:
        """Commit one update, unless `failed` (0-d float32) is 1: then nothing changes."""
        self.committed += 1 - failed
        torch._fused_adam_(  # type: ignore[attr-defined]
            self.parameters, list(gradients), self.means, self.squares, [], [self.committed] * len(self.parameters),
            lr=learning_rate, beta1=self.betas[0], beta2=self.betas[1], weight_decay=0.0, eps=1e-8,
            amsgrad=False, maximize=False, found_inf=failed,
        )  # fmt: skip


@dataclass
class Step:
    """`step(rows, number, learning_rate)` updates the model on some rows.

    Args:
        model, objective: what is trained, for what; the model is already on the device.
        scaling: from the rows to the model's units.
        seed: of the noise; step `number`'s noise is a function of (seed, number).
        bf16: autocast matrix products.
        clip_norm: largest gradient norm, or None.
        full_size: rows of a full batch, in all processes. Only those run compiled: another size would compile anew.
        compile: whether to.

    Attributes:
        names: names of what `statistics` holds: loss, the objective's terms, gradient norm.
        failed: 1 from the first non-finite loss or gradient on, 0-d; nothing is committed from there on.
        flags: what a process wants all to know, such as that it was interrupted; after a step, what any of them wanted.
    """

    model: LatentVariableModel
    objective: Objective
    scaling: Scaling
    seed: int
    bf16: bool = False
    clip_norm: float | None = None
    full_size: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._checked = False
        self.parameter_names, self.parameters = _trained(self.model)
        self.device, self.dtype = self.parameters[0].device, self.parameters[0].dtype
        self.adam = Adam(self.parameters)
        self.failed = torch.zeros((), device=self.device)
        self.flags = torch.zeros(2, device=self.device)
        self.number = torch.zeros((), dtype=torch.int64, device=self.device)
        self._buffers = list(self.model.buffers())
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, rows: Rows, number: int, learning_rate: float, part: Part | None = None) -> Tensor:
        """Train on this process's part of a batch; returns the statistics named in `names`, on the device."""
        with part_of_batch(part or own_part(len(rows.x))):
            statistics, failed, gradients = self._run(rows, number)
        self.failed.copy_(failed)
        self.adam.update(gradients, learning_rate, self.failed)
        return statistics

    def _run(self, rows: Rows, number: int) -> Outcome:
        self.number.fill_(number)
        if not self._checked:
            self._check(rows)  # one eager pass: it also fills kl_divergence's dispatch cache, which cannot be traced
        seed_noise(self.seed, number, self.device)
        if n_processes() == 1:
            return self._maybe_compiled(self._whole, rows)
        before = [buffer.clone() for buffer in self._buffers]
        try:
            statistics, gradients = self._add_up(*self._maybe_compiled(self._share, rows))
        except processes.LostProcess:
            _restore(self._buffers, before)
            raise
        return self._check_and_clip(statistics, gradients, self.failed, before)

    def _maybe_compiled(self, graph: Callable[..., Any], rows: Rows) -> Any:
        part = batch_part()
        if not self.compile or (len(rows.x) if part is None else part.total) != self.full_size:
            return graph(rows, self.number, self.failed)
        if self._compiled is None:
            return self._first_compiled(graph, rows)
        return self._compiled(rows, self.number, self.failed)

    def _whole(self, rows: Rows, number: Tensor, failed: Tensor) -> Outcome:
        """A whole step but for Adam, without touching the model but for its buffers."""
        before = [buffer.clone() for buffer in self._buffers]
        return self._check_and_clip(*self._share(rows, number), failed, before)

    def _share(self, rows: Rows, number: Tensor, _: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Loss with its terms, and gradients, of this process's rows: what is compiled in any case."""
        total, terms = self._forward(rows, number)
        gradients = torch.autograd.grad(total, self.parameters)
        means = [total.detach(), *(share_of_mean(term.detach(), rows.weight) for term in terms.values())]
        return torch.stack(means), gradients

    def _forward(self, rows: Rows, number: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(rows.x.device.type, torch.bfloat16, enabled=self.bf16):
            batch = rows.batch(self.scaling, self.dtype, number)
            loss = self.objective(self.model, batch)
        return loss.total(batch.weight), dict(loss.terms)

    def _add_up(self, statistics: Tensor, gradients: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Sums over all processes, in one message; `flags` travel along."""
        parts = [*gradients, statistics, self.flags]
        sums = add_up(torch.cat([part.reshape(-1) for part in parts])).split([part.numel() for part in parts])
        *gradients, statistics, flags = (
            whole.view_as(part).to(part.dtype) for whole, part in zip(sums, parts, strict=True)
        )
        self.flags.copy_(flags)
        return statistics, tuple(gradients)

    def _check_and_clip(
        self, statistics: Tensor, gradients: tuple[Tensor, ...], failed: Tensor, before: Sequence[Tensor]
    ) -> Outcome:
        """Gradients to commit, whether not to, and buffers as they were `before` in that case."""
        norm = _norm(gradients)  # not finite where a gradient is not: it serves check, clipping and log
        if self.clip_norm is not None:
            factor = (self.clip_norm / (norm + 1e-12)).clamp(max=1.0)
            gradients = tuple(gradient * factor for gradient in gradients)
        failed = torch.maximum(failed, 1.0 - torch.isfinite(statistics[0] + norm).float())
        for buffer, old in zip(self._buffers, before, strict=True):
            buffer.copy_(torch.where(failed > 0, old, buffer))
        return torch.cat([statistics, norm.reshape(1)]), failed, gradients

    def _check(self, rows: Rows) -> None:
        """Fail early and by name where the objective and the model don't fit."""
        seed_noise(self.seed, int(self.number), self.device)
        sums = processes.n_sums
        with self._same_buffers():
            total, terms = self._forward(rows, self.number)
            gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        self.compile &= processes.n_sums == sums  # sums over processes in the middle of a graph are not traced
        unused = [name for name, gradient in zip(self.parameter_names, gradients, strict=True) if gradient is None]
        if unused:
            raise ValueError(
                f"Expected every trained parameter to take part in the loss, got no gradient for {', '.join(unused)}; "
                "use it in the model, or freeze it with requires_grad_(False)."
            )
        if taken := RESERVED & terms.keys():
            raise ValueError(f"Expected other names for an objective's terms than {', '.join(sorted(taken))}; rename.")
        names = ("loss", *terms, "gradient_norm")
        if self.names and self.names != names:
            raise ValueError(
                f"Expected an objective with {self.names}, as this run began, got {names}; resume with that."
            )
        self.names, self._checked = names, True

    @contextmanager
    def _same_buffers(self) -> Iterator[None]:
        """Running means and the like are after a forward pass what they were before."""
        before = [buffer.clone() for buffer in self._buffers]
        yield
        _restore(self._buffers, before)

    def _first_compiled(self, graph: Callable[..., Any], rows: Rows) -> Any:
        """Compile and run; where no compiler is found, say so once and stay eager."""
        validate = Distribution._validate_args  # type: ignore[attr-defined]
        self._compiled = _compile(graph)
        try:
            with torch._dynamo.config.patch(trace_autograd_ops=True):
                return self._compiled(rows, self.number, self.failed)
        except Exception as error:
            if isinstance(error, (ValueError, TypeError)):
                raise
            warnings.warn(
                f"The training step could not be compiled and runs eagerly, more slowly: {_first_line(error)}",
                RuntimeWarning,
                stacklevel=2,
            )
            self.compile = False
            seed_noise(self.seed, int(self.number), self.device)
            return graph(rows, self.number, self.failed)
        finally:
            # torch.compile switches validation of distributions off for the whole process.
            Distribution.set_default_validate_args(validate)

    def explain(self, rows: Rows, part: Part, number: int) -> NonFiniteError:
        """Run a failed step again, eagerly (its noise is a function of its number), and name what is not finite."""
        seed_noise(self.seed, number, self.device)
        self.number.fill_(number)
        with self._same_buffers(), part_of_batch(part):
            total, terms = self._forward(rows, self.number)
            gradients = torch.autograd.grad(total, self.parameters)
        parts = {f"term {name!r}": term for name, term in terms.items()} | {"the loss": total}
        parts |= {f"the gradient of {name}": g for name, g in zip(self.parameter_names, gradients, strict=True)}
        bad = next((name for name, part in parts.items() if not part.isfinite().all()), "the norm of the gradient")
        return NonFiniteError(
            f"Expected a finite loss and gradient, got a non-finite value in {bad} at step {number}; the model "
            "holds its last good weights, from before that step. Try a smaller learning_rate, clip_norm, or other data."
        )


def _restore(buffers: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for buffer, old in zip(buffers, before, strict=True):
        buffer.copy_(old)


def seed_noise(seed: int, number: int, device: torch.device) -> None:
    """Make the noise drawn next a function of (seed, number)."""
    value = mix(~seed, number)
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together, each read once."""
    if not torch.compiler.is_compiling():
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # type: ignore[attr-defined]
    # One operation there; here the compiler's own sum of squares takes 1.7 times as long as a dot product.
    return torch.stack([torch.dot(g.reshape(-1), g.reshape(-1)) for g in gradients]).sum().sqrt()


def _trained(model: nn.Module) -> tuple[list[str], list[nn.Parameter]]:
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise ValueError("Expected a model with parameters to train, got none; use requires_grad_(True) on them.")
    return [name for name, _ in named], [parameter for _, parameter in named]


def _compile(method: Callable[..., Any]) -> Callable[..., Any]:
    # torch keeps compiled graphs by code object, and no more than a few for each; a code object of its own keeps
    # every model's graph apart, and lets go of it with the model.
    function = method.__func__  # type: ignore[attr-defined]
    own = types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    # Noise of the fallback kernels is that of eager mode, so compiling changes speed and nothing else.
    return torch.compile(
        types.MethodType(own, method.__self__),  # type: ignore[attr-defined]
        fullgraph=True,
        dynamic=False,
        options={"fallback_random": True, "guard_filter_fn": _guards},
    )


def _guards(entries: Sequence[Any]) -> list[bool]:
    """Which guards a compiled step checks before it runs: all but those on code.

    Model, objective, data, and everything global that holds a value stay guarded. Functions, classes and modules of
    libraries are not patched between two steps, and watching 150 of them took 3 % of a small step.
    """
    code = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)
    return [not (entry.is_global and entry.has_value and isinstance(entry.value, code)) for entry in entries]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

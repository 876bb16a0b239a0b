"""One training step: forward and backward in one graph, then the check and a fused update outside it.

The usual two-graph step loses its time at the boundary between forward and backward and in `Optimizer.step`'s
Python. Here `torch.autograd.grad` is traced with the forward pass, and the graph returns detached gradients.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .. import processes
from ..files import read_tensors, write_tensors
from ..model import Conditional, LatentVariableModel
from ..objectives import Objective
from ..objectives.base import share_of_mean
from ..processes import Part, add_up, batch_part, n_processes, own_part, part_of_batch
from .compiling import compile_step
from .optimizers import Adam, Optimizer
from .rows import Rows, Scaling, mix

__all__ = ["NonFiniteError", "Step", "seed_noise"]

RESERVED = {"epoch", "step", "seconds", "rows_per_second", "learning_rate", "loss", "gradient_norm", "validation"}
"""Names in a run's records that are no objective's terms."""


Outcome = tuple[Tensor, Tensor, tuple[Tensor, ...]]
"""Statistics, whether the step failed, gradients."""


class NonFiniteError(ArithmeticError):
    """A loss or gradient became NaN or infinite; the model holds its last good weights."""


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
        make_optimizer: of the parameters that are trained.

    Attributes:
        names: names of what `statistics` holds: loss, the objective's terms, gradient norm.
        failed: 1 from the first non-finite loss or gradient on, 0-d; nothing is committed from there on.
        flags: what a process wants all to know, such as that it was interrupted; after a step, what any of them wanted.
    """

    model: LatentVariableModel | Conditional
    objective: Objective
    scaling: Scaling
    seed: int
    bf16: bool = False
    clip_norm: float | None = None
    full_size: int = 0
    compile: bool = False
    make_optimizer: Callable[[Sequence[Tensor]], Optimizer] = Adam

    suffix: ClassVar[str] = ".safetensors"
    """Of its checkpoints."""

    def __post_init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._checked = False
        self.parameter_names, self.parameters = _trained(self.model)
        self.device, self.dtype = self.parameters[0].device, self.parameters[0].dtype
        self._shards = [hasattr(parameter, "to_local") for parameter in self.parameters]
        self.optimizer = self.make_optimizer([p.to_local() if hasattr(p, "to_local") else p for p in self.parameters])
        self.failed = torch.zeros((), device=self.device)
        self.flags = torch.zeros(2, device=self.device)
        self.number = torch.zeros((), dtype=torch.int64, device=self.device)
        self._buffers = list(self.model.buffers())
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, rows: Rows, number: int, learning_rate: float, part: Part | None = None) -> Tensor:
        """Train on this process's part of a batch; returns the statistics named in `names`, on the device."""
        if n_processes() == 1:
            statistics, failed, gradients = self._run(rows, number)
        else:
            with part_of_batch(part or own_part(len(rows.x))):
                statistics, failed, gradients = self._run(rows, number)
        self.failed.copy_(failed)
        self.optimizer.update(gradients, learning_rate, self.failed)
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
        """A whole step but for the update, without touching the model but for its buffers."""
        before = [buffer.clone() for buffer in self._buffers]
        return self._check_and_clip(*self._share(rows, number), failed, before)

    def _share(self, rows: Rows, number: Tensor, _: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Loss with its terms, and gradients, of this process's rows: what is compiled in any case."""
        total, terms = self.loss(rows, number)
        gradients = self._gradients(total)
        means = [total.detach(), *(share_of_mean(term.detach(), rows.weight) for term in terms.values())]
        return torch.stack(means), gradients

    def loss(self, rows: Rows, number: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """This process's share of the loss of a batch, (), and its terms; `number` is that of a training step."""
        # To enter it and do nothing would take a twentieth of a small step.
        with torch.autocast(rows.x.device.type, torch.bfloat16) if self.bf16 else nullcontext():
            batch = rows.batch(self.scaling, self.dtype, number)
            loss = self.objective(self.model, batch)
        return loss.total(batch.weight), dict(loss.terms)

    def _gradients(self, total: Tensor, *, allow_unused: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(total, self.parameters, allow_unused=allow_unused)

    def _norm(self, gradients: Sequence[Tensor]) -> Tensor:
        return _norm(gradients)

    def _add_up(self, statistics: Tensor, gradients: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Sums over all processes, in one message; `flags` travel along. Shards of gradients are sums already."""
        own = [gradient for gradient, shard in zip(gradients, self._shards, strict=True) if not shard]
        parts = [*own, statistics, self.flags]
        sums = add_up(torch.cat([part.reshape(-1) for part in parts])).split([part.numel() for part in parts])
        *own, statistics, flags = (whole.view_as(part).to(part) for whole, part in zip(sums, parts, strict=True))
        self.flags.copy_(flags)
        summed = iter(own)
        together = [
            gradient if shard else next(summed) for gradient, shard in zip(gradients, self._shards, strict=True)
        ]
        return statistics, tuple(together)

    def _check_and_clip(
        self, statistics: Tensor, gradients: tuple[Tensor, ...], failed: Tensor, before: Sequence[Tensor]
    ) -> Outcome:
        """Gradients to commit, whether not to, and buffers as they were `before` in that case."""
        norm = self._norm(gradients)  # not finite where a gradient is not: it serves check, clipping and log
        if self.clip_norm is not None:
            factor = (self.clip_norm / (norm + 1e-12)).clamp(max=1.0)
            gradients = tuple(gradient * factor for gradient in gradients)
        failed = torch.maximum(failed, _not_finite(statistics[0] + norm))
        for buffer, old in zip(self._buffers, before, strict=True):
            buffer.copy_(torch.where(failed > 0, old, buffer))
        return torch.cat([statistics, norm.reshape(1)]), failed, gradients

    def _check(self, rows: Rows) -> None:
        """Fail early and by name where the objective and the model don't fit."""
        seed_noise(self.seed, int(self.number), self.device)
        sums = processes.n_sums
        with self._same_buffers():
            total, terms = self.loss(rows, self.number)
            gradients = self._gradients(total, allow_unused=True)
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
        try:
            yield
        finally:
            _restore(self._buffers, before)

    def _first_compiled(self, graph: Callable[..., Any], rows: Rows) -> Any:
        """Compile and run; where no compiler is found, say so once and stay eager."""
        validate = Distribution._validate_args  # type: ignore[attr-defined]
        self._compiled = compile_step(graph)
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

    def gather(self) -> None:
        """Put the weights into the user's model, where that is another one than `model`."""

    def write(self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Write a checkpoint."""
        write_tensors(path, tensors, metadata)

    def read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read a checkpoint; raises UnreadableFile."""
        return read_tensors(path)

    def explain(self, rows: Rows, part: Part, number: int) -> NonFiniteError:
        """Run a failed step again, eagerly (its noise is a function of its number), and name what is not finite."""
        seed_noise(self.seed, number, self.device)
        self.number.fill_(number)
        with self._same_buffers(), part_of_batch(part):
            total, terms = self.loss(rows, self.number)
            gradients = self._gradients(total)
        parts = {f"term {name!r}": term for name, term in terms.items()} | {"the loss": total}
        parts |= {f"the gradient of {name}": g for name, g in zip(self.parameter_names, gradients, strict=True)}
        # In several processes, each of which has a part of the rows, all say the same.
        found = add_up(torch.stack([1.0 - part.isfinite().all().float() for part in parts.values()])).tolist()
        bad = next((name for name, n in zip(parts, found, strict=True) if n), "the norm of the gradient")
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


def _not_finite(number: Tensor) -> Tensor:
    """1 where a 0-d tensor is NaN or infinite, else 0."""
    if number.device.type != "cpu" or torch.compiler.is_compiling():
        return 1.0 - torch.isfinite(number).float()
    return torch.tensor(float(not math.isfinite(number)))  # a fifth of the time of four operations


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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

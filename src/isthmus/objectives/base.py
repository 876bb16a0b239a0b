"""What a model is trained for: a trace in, nats per example out, and the combinators that stay closed under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from ..model import Batch, Conditional, LatentVariableModel, Trace, draw
from ..processes import batch_part

__all__ = ["Loss", "Objective", "Penalised", "Penalty", "Wrapped", "share_of_mean"]


class Loss(NamedTuple):
    """A loss in nats.

    Attributes:
        value: loss of each example, (B,).
        batch: what only a whole batch has, such as the penalty on a mean activity, ().
        terms: named parts for logs and reports, each (B,) or ().
    """

    value: Tensor
    batch: Tensor | float = 0.0
    terms: Mapping[str, Tensor] = MappingProxyType({})

    def total(self, weight: Tensor | None = None) -> Tensor:
        """What a step minimises: the (weighted) mean over examples plus the batch's own part, ().

        Where several processes have a part of the batch each, this one's share: the shares add up to the whole.
        """
        part = batch_part()
        return share_of_mean(self.value, weight) + (self.batch if part is None else self.batch / part.n_parts)


def share_of_mean(term: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of a term over examples, weighted as the loss is, (); this process's share of it where there are several.

    A term of the whole batch is one number already.
    """
    part = batch_part()
    if term.dim() == 0:
        return term if part is None else term / part.n_parts
    weighted = term if weight is None else term * weight
    return weighted.mean() if part is None else weighted.sum() / (part.total * part.n_copies)


class Penalty(Protocol):
    """Something to add to an objective: `objective + penalty`."""

    def __call__(self, trace: Trace, model: nn.Module) -> Loss:
        """Its value on a trace."""
        ...


@dataclass(frozen=True)
class Objective:
    """What a model is trained for. `prepare` acts on the batch before the forward pass, `loss` reads the trace."""

    n_samples = 1

    def prepare(self, batch: Batch) -> Batch:
        """Change what the encoder sees; the identity unless overridden."""
        return batch

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The loss of a trace, in nats; to be overridden."""
        raise NotImplementedError

    def __add__(self, penalty: Penalty) -> Objective:
        return Penalised(self, (penalty,))

    def __call__(self, model: LatentVariableModel | Conditional, batch: Batch, sample=draw) -> Loss:
        """Prepare the batch, run the model once, score the trace."""
        return self.loss(model.trace(self.prepare(batch), self.n_samples, sample), model)


@dataclass(frozen=True)
class Wrapped(Objective):
    """An objective around another one; whatever it does not change, the inner one decides."""

    objective: Objective

    @property
    def n_samples(self) -> int:
        """Samples that the inner objective asks for."""
        return self.objective.n_samples

    def prepare(self, batch: Batch) -> Batch:
        """What the inner objective prepares."""
        return self.objective.prepare(batch)

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """What the inner objective scores."""
        return self.objective.loss(trace, model)


@dataclass(frozen=True)
class Penalised(Wrapped):
    """An objective with penalties added to its loss."""

    penalties: tuple[Penalty, ...] = ()

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The inner loss plus each penalty."""
        value, batch, terms = self.objective.loss(trace, model)
        for penalty in self.penalties:
            extra = penalty(trace, model)
            value, batch, terms = value + extra.value, batch + extra.batch, {**terms, **extra.terms}
        return Loss(value, batch, terms)

    def __add__(self, penalty: Penalty) -> Objective:
        return replace(self, penalties=(*self.penalties, penalty))

"""Contrastive divergence: the gradient of a restricted Boltzmann machine's likelihood, from a few Gibbs steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..boltzmann import RestrictedBoltzmannMachine
from ..model import Trace
from .base import Loss, Objective

__all__ = ["ContrastiveDivergence"]


@dataclass(frozen=True)
class ContrastiveDivergence(Objective):
    r"""Free energy of rows less that of what the model makes of them, :math:`F(v) - F(v_k)`.

    :math:`v_k` comes from v by k Gibbs steps and counts as data: the gradient is the one that contrastive divergence
    names, :math:`\partial_\theta F(v) - \partial_\theta F(v_k)`. As k grows it tends to that of -log p(v), whose second
    term is over rows that the model itself makes. The value is a difference of free energies: no likelihood, no bound
    on one, and near 0 both for a model that knows the data and for a chain that does not move. What to watch is the
    term `distortion`, -log p(v | E[h|v]) in nats, and likelihoods of small models
    (`RestrictedBoltzmannMachine.log_partition`).

    Persistent chains start where they stood after the last step, in the model's buffer `chains`, and not at the data:
    they come closer to the model's own rows at the same price, as long as the learning rate is low. In several
    processes all of them run all chains. Outside training the chains move on, but are not kept.

    Args:
        n_steps: of a chain at each training step, k.
        persistent: go on with the model's own chains.

    Raises:
        ValueError: n_steps below 1; a model without chains, or weights of features.
        TypeError: another model.

    References:
        Hinton (2002). Training products of experts by minimizing contrastive divergence. Neural Computation 14, eq. 9.
        Tieleman (2008). Training restricted Boltzmann machines using approximations to the likelihood gradient. ICML.

    Example:
        >>> import torch
        >>> from isthmus.model import Batch
        >>> v = torch.ones(3, 5)
        >>> loss = ContrastiveDivergence(n_steps=2)(RestrictedBoltzmannMachine(5, 2), Batch(v, v))
        >>> loss.value.shape, list(loss.terms)
        (torch.Size([3]), ['distortion'])
    """

    n_steps: int = 1
    persistent: bool = False

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"Expected n_steps >= 1, got {self.n_steps}.")

    def loss(self, trace: Trace, model: nn.Module) -> Loss:
        """The difference of free energies of each example, whose gradient is contrastive divergence's."""
        if not isinstance(model, RestrictedBoltzmannMachine):
            raise TypeError(f"Expected a RestrictedBoltzmannMachine, got {type(model).__name__}, which has no energy.")
        batch = trace.batch
        if batch.feature_weight is not None:
            raise ValueError("Expected features that count alike, got weights: an energy is no sum over features.")
        if self.persistent:
            of_model = self._of_chains(model, keep=batch.step is not None)
        else:
            of_model = model.free_energy(model.gibbs(batch.x, self.n_steps))
        value = model.free_energy(batch.target) - of_model
        return Loss(value, terms={"distortion": trace.distortion.detach()})

    def _of_chains(self, model: RestrictedBoltzmannMachine, *, keep: bool) -> Tensor:
        """Mean free energy of the persistent chains, ()."""
        if not hasattr(model, "chains"):
            raise ValueError("Expected a model with chains for persistent ones, got none; use n_chains=100.")
        chains = model.gibbs(model.chains, self.n_steps, shared=True)
        if keep:
            model.chains.copy_(chains)
        return model.free_energy(chains).mean()

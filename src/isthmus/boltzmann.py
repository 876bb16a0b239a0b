"""Restricted Boltzmann machines: visible and hidden units that know each other through an energy."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .heads import BernoulliHead, FixedGaussianHead, PointHead
from .model import Conditional, LatentVariableModel
from .nets import Transposed, activation_module
from .processes import batch_normal, batch_uniform

__all__ = ["MOST_ENUMERATED", "RestrictedBoltzmannMachine", "Units"]

Units = Literal["bernoulli", "gaussian"]
"""Units of a layer: 0 or 1, or real with variance 1."""

MOST_ENUMERATED = 20
"""Units over whose states a partition function is summed: a million states."""

_CHUNK = 4096  # states at once


class RestrictedBoltzmannMachine(LatentVariableModel):
    r"""Visible units v and hidden units h with :math:`p(v, h) = \exp(-E(v, h)) / Z`.

    .. math:: E(v, h) = e_b(v) + e_c(h) - h^T W v,

    where :math:`e_b(v) = -b^T v` for Bernoulli units and :math:`\frac12 \|v - b\|^2` for Gaussian ones. Given one
    layer the units of the other are independent: Bernoulli with logits, or Gaussian of variance 1 with means,
    :math:`W v + c` and :math:`W^T h + b`.

    As a latent-variable model it is an autoencoder with tied weights, whose code is E[h|v] and whose likelihood is
    p(v|h): what reads a trace works on it, and layers of it can be unrolled and fine-tuned. It is trained by
    `isthmus.objectives.ContrastiveDivergence`.

    Args:
        n_features: visible units.
        n_components: hidden units.
        visible: units of the data.
        hidden: units of the code; real ones have no density together with real data, unless W is small.
        n_chains: persistent Gibbs chains that the model carries along, as a buffer `chains` (n_chains, n_features).

    Raises:
        ValueError: Gaussian units in both layers.

    References:
        Smolensky (1986). Information processing in dynamical systems: foundations of harmony theory.
        Hinton (2002). Training products of experts by minimizing contrastive divergence. Neural Computation 14.
        Hinton, Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.

    Example:
        >>> model = RestrictedBoltzmannMachine(5, 2)
        >>> v = torch.ones(3, 5)
        >>> model.encoder(v).mean.shape, model.free_energy(v).shape, model.gibbs(v, 4).shape
        (torch.Size([3, 2]), torch.Size([3]), torch.Size([3, 5]))
    """

    chains: Tensor

    def __init__(
        self,
        n_features: int,
        n_components: int,
        *,
        visible: Units = "bernoulli",
        hidden: Units = "bernoulli",
        n_chains: int = 0,
    ) -> None:
        if visible == hidden == "gaussian":
            raise ValueError(
                "Expected Bernoulli units in one of the layers, got Gaussian ones in both, which have no density where "
                "a singular value of the weights is above 1; use Bernoulli hidden units, or FactorAnalysis."
            )
        weights = nn.Linear(n_features, n_components)
        nn.init.normal_(weights.weight, std=0.01)
        nn.init.zeros_(weights.bias)
        activation = activation_module("sigmoid") if hidden == "bernoulli" else None
        code = PointHead(n_features, n_components, activation=activation, project=lambda *_: weights)
        likelihood = BernoulliHead if visible == "bernoulli" else FixedGaussianHead
        head = likelihood(n_components, n_features, project=lambda *_: Transposed(weights))
        super().__init__(Conditional(nn.Identity(), code), Conditional(nn.Identity(), head), prior=None)
        self.visible, self.hidden = visible, hidden
        if n_chains:
            self.register_buffer("chains", torch.zeros(n_chains, n_features))

    @property
    def weights(self) -> nn.Linear:
        """W and the hidden units' biases c."""
        return self.encoder.head.project  # type: ignore[union-attr, return-value]

    @property
    def visible_bias(self) -> Tensor:
        """The visible units' biases b, (n_features,)."""
        return self.decoder.head.project.bias  # type: ignore[union-attr, return-value]

    def hidden_activation(self, v: Tensor) -> Tensor:
        """What hidden units get from visible ones, W v + c, (..., n_components): logits, or means."""
        (activation,) = self.encoder.head.project_to_parameters(v)  # type: ignore[union-attr, operator]
        return activation

    def visible_activation(self, h: Tensor) -> Tensor:
        """What visible units get from hidden ones, W^T h + b, (..., n_features): logits, or means."""
        (activation,) = self.decoder.head.project_to_parameters(h)  # type: ignore[operator]
        return activation

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h) in nats, (...,), of (..., n_features) and (..., n_components)."""
        bias = self.weights.bias
        interaction = (h * (self.hidden_activation(v) - bias)).sum(-1)
        return _own_energy(self.visible, v, self.visible_bias) + _own_energy(self.hidden, h, bias) - interaction

    def free_energy(self, v: Tensor) -> Tensor:
        r"""Minus the logarithm of what rows have of the density before it is normalised, (...,), in nats.

        .. math:: F(v) = -\log \sum_h \exp(-E(v, h)) = -\log p(v) - \log Z

        Differences between rows are differences in log p(v); between models they mean nothing, as each has its own Z.

        Args:
            v: rows (..., n_features).
        """
        of_hidden = _log_sum(self.hidden, self.hidden_activation(v), self.weights.bias)
        return _own_energy(self.visible, v, self.visible_bias) - of_hidden

    def sample_hidden(self, v: Tensor, *, shared: bool = False) -> Tensor:
        """Hidden units given visible ones, rows (B, n_components); see `gibbs` for `shared`."""
        return _sample(self.hidden, self.hidden_activation(v), shared)

    def sample_visible(self, h: Tensor, *, shared: bool = False) -> Tensor:
        """Visible units given hidden ones, rows (B, n_features)."""
        return _sample(self.visible, self.visible_activation(h), shared)

    @torch.no_grad()
    def gibbs(self, v: Tensor, n_steps: int = 1, *, shared: bool = False) -> Tensor:
        """Rows after so many steps of a Gibbs chain, hidden units given visible ones and these given those.

        Args:
            v: where the chains start, (B, n_features).
            n_steps: of each chain.
            shared: in several processes, whether all have these same chains; else the rows are parts of a batch.

        Returns:
            Visible units, without gradient, (B, n_features).
        """
        for _ in range(n_steps):
            v = self.sample_visible(self.sample_hidden(v, shared=shared), shared=shared)
        return v

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        r"""log Z in nats, (), exactly: summed over all states of the smaller layer of Bernoulli units, in float64.

        Raises:
            ValueError: more states than a million.
        """
        model = copy.deepcopy(self).double()
        n_visible, n_hidden = len(model.visible_bias), len(model.weights.bias)
        sizes = {"hidden": n_hidden} if self.hidden == "bernoulli" else {}
        sizes |= {"visible": n_visible} if self.visible == "bernoulli" else {}
        layer = min(sizes, key=sizes.__getitem__)
        if sizes[layer] > MOST_ENUMERATED:
            raise ValueError(
                f"Expected at most {MOST_ENUMERATED} Bernoulli units in one of the layers to sum over, got "
                f"{' and '.join(f'{n} {name}' for name, n in sizes.items())} ones; use free energies (score_samples), "
                "which compare rows of one model, or annealing (n_temperatures of log_likelihood)."
            )
        log_z = model.visible_bias.new_full((), -math.inf)
        for states in _all_states(sizes[layer], log_z):
            log_mass = -model.free_energy(states) if layer == "visible" else model._log_mass_of_hidden(states)
            log_z = torch.logaddexp(log_z, log_mass.logsumexp(0))
        return log_z

    def _log_mass_of_hidden(self, h: Tensor) -> Tensor:
        """log sum_v exp(-E(v, h)), the free energy's counterpart."""
        of_visible = _log_sum(self.visible, self.visible_activation(h), self.visible_bias)
        return of_visible - _own_energy(self.hidden, h, self.weights.bias)


def _own_energy(units: Units, s: Tensor, bias: Tensor) -> Tensor:
    """A layer's part of the energy, without the weights."""
    return -(s * bias).sum(-1) if units == "bernoulli" else 0.5 * (s - bias).square().sum(-1)


def _log_sum(units: Units, activation: Tensor, bias: Tensor) -> Tensor:
    """Logarithm of the sum, or integral, of exp(-E) over all states of a layer, but for the other layer's own part."""
    if units == "bernoulli":
        return F.softplus(activation).sum(-1)
    return 0.5 * (activation.square() - bias.square() + math.log(2 * math.pi)).sum(-1)


def _sample(units: Units, activation: Tensor, shared: bool) -> Tensor:
    """Independent units; noise that all processes share is drawn alike in each, as their generators are alike."""
    if units == "bernoulli":
        noise = torch.rand_like(activation) if shared else batch_uniform(activation)
        return (noise < activation.sigmoid()).to(activation.dtype)
    noise = torch.randn_like(activation) if shared else batch_normal(activation, activation.shape)
    return activation + noise


def _all_states(n_units: int, like: Tensor) -> Iterator[Tensor]:
    """All states of Bernoulli units, (up to _CHUNK, n_units) at a time."""
    for numbers in torch.arange(2**n_units, device=like.device).split(_CHUNK):
        yield (numbers[:, None] >> torch.arange(n_units, device=like.device) & 1).to(like.dtype)

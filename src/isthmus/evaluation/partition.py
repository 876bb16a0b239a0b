"""log Z of a Boltzmann machine with too many units to sum over, by annealed importance sampling."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..boltzmann import RestrictedBoltzmannMachine
from ..inference.annealed import AnnealedEstimate, anneal, temperatures
from ..inference.importance import WeightSums
from ..inference.seeding import seeded

__all__ = ["annealed_log_partition"]


@torch.no_grad()
def annealed_log_partition(
    model: RestrictedBoltzmannMachine,
    n_temperatures: int = 1000,
    n_chains: int = 100,
    *,
    base: Tensor | None = None,
    generator: torch.Generator,
) -> AnnealedEstimate:
    r"""log Z of a restricted Boltzmann machine, by chains from one without weights.

    At inverse temperature beta the weights are beta W and the visible biases :math:`(1 - \beta) b_0 + \beta b`, and a
    chain makes a Gibbs step. The mean weight is unbiased, so log Z is in expectation too low and log-likelihoods are
    too high: look at the effective sample size, and take more temperatures until the estimate stays.

    Where one of the layers has 20 Bernoulli units or fewer, `RestrictedBoltzmannMachine.log_partition` is exact.

    Args:
        model: the machine, of any kind of units.
        n_temperatures: steps, evenly spaced.
        n_chains: chains.
        base: mean of the data in the model's units, (n_features,), which is what the chains begin with; the model's own
            biases without it. Chains from the data's mean have less far to go.
        generator: of random numbers.

    Returns:
        log Z, its standard error and effective sample size, with log weights and the chains' ends, of the model.

    Raises:
        ValueError: counts below 1, or a base of another shape.

    References:
        Salakhutdinov, Murray (2008). On the quantitative analysis of deep belief networks. ICML.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = RestrictedBoltzmannMachine(6, 4)
        >>> found = annealed_log_partition(model, 100, generator=torch.Generator().manual_seed(0))
        >>> bool((found.log_evidence - model.log_partition()).abs() < 0.01)
        True
    """
    if n_chains < 1:
        raise ValueError(f"Expected n_chains of at least 1, got {n_chains}.")
    bias = model.visible_bias
    if base is not None and base.shape != bias.shape:
        raise ValueError(f"Expected the mean of each of {len(bias)} features as the base, got {tuple(base.shape)}.")
    betas = temperatures(n_temperatures, "linear").tolist()
    machine = copy.deepcopy(model).double()  # its parameters are set anew at each temperature
    weights, end = machine.weights.weight.clone(), machine.visible_bias.clone()
    begin = end if base is None else _bias_of(base.to(end), model)

    def at(t: int) -> RestrictedBoltzmannMachine:
        machine.weights.weight.copy_(betas[t] * weights)
        machine.visible_bias.copy_((1 - betas[t]) * begin + betas[t] * end)
        return machine

    def log_ratio(v: Tensor, t: int) -> Tensor:
        before = at(t - 1).free_energy(v)
        return before - at(t).free_energy(v)

    with seeded(generator):
        independent = at(0)
        nothing = end.new_zeros(n_chains, len(machine.weights.bias))
        v = independent.sample_visible(nothing, shared=True)
        # Without weights p(v) is p(v|h) of any h, and Z is what is missing between it and exp(-F).
        log_z = -(independent.free_energy(v) + independent.decoder(nothing).log_prob(v))[0]
        v, log_weights = anneal(v, n_temperatures, log_ratio, lambda v, t: at(t).gibbs(v, shared=True))
    sums = WeightSums.of(log_weights)
    no_steps = torch.full_like(log_z, torch.nan)
    return AnnealedEstimate(
        log_z + sums.log_mean, sums.standard_error, sums.effective_sample_size, log_weights, v, no_steps
    )


def _bias_of(mean: Tensor, model: RestrictedBoltzmannMachine) -> Tensor:
    """Biases of independent visible units of these means, none of them certain."""
    return mean.clamp(0.01, 0.99).logit() if model.visible == "bernoulli" else mean

"""Restricted Boltzmann machines against everything that enumeration knows of tiny ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from isthmus import VAE, Batch
from isthmus.boltzmann import RestrictedBoltzmannMachine
from isthmus.objectives import ContrastiveDivergence

UNITS = [("bernoulli", "bernoulli"), ("gaussian", "bernoulli"), ("bernoulli", "gaussian")]
every_kind = pytest.mark.parametrize(("visible", "hidden"), UNITS)
STATES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
HIDDEN = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64)
DATA = torch.tensor([0.3, 0.0, 0.05, 0.1, 0.25, 0.0, 0.2, 0.1], dtype=torch.float64)
"""Probabilities of the eight states that data of three units have."""


def tiny(visible="bernoulli", hidden="bernoulli", n_visible=3, n_hidden=2, **more):
    """A machine far from its beginning: weights and biases of order 1, in float64."""
    torch.manual_seed(3)
    model = RestrictedBoltzmannMachine(n_visible, n_hidden, visible=visible, hidden=hidden, **more).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def grid(n: int, side: int = 161, width: float = 12.0) -> tuple[Tensor, float]:
    """Points of a fine grid in n dimensions, and the volume around each: sums over them are integrals."""
    axis = torch.linspace(-width, width, side, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * n).reshape(-1, n), float(axis[1] - axis[0]) ** n


def states_of(units: str, n: int) -> tuple[Tensor, float]:
    return (
        (torch.tensor(list(itertools.product((0.0, 1.0), repeat=n))).double(), 1.0) if units == "bernoulli" else grid(n)
    )


# --- the model -------------------------------------------------------------------------------------


@every_kind
def test_free_energy_and_conditionals_are_what_summing_over_all_states_says(visible, hidden):
    model = tiny(visible, hidden, n_visible=2)
    v, h = torch.rand(4, 2, dtype=torch.float64).round(), torch.rand(4, 2, dtype=torch.float64).round()
    states, volume = states_of(hidden, 2)
    log_mass = -model.energy(v[:, None], states)
    torch.testing.assert_close(model.free_energy(v), -(log_mass.logsumexp(1) + math.log(volume)))
    torch.testing.assert_close(model.encoder(v).mean, log_mass.softmax(1) @ states)
    states, volume = states_of(visible, 2)
    log_mass = -model.energy(states, h[:, None])
    torch.testing.assert_close(model.decoder(h).mean, log_mass.softmax(1) @ states)


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(2, 3), (3, 2)])
@every_kind
def test_the_partition_function_is_the_sum_over_both_layers(visible, hidden, n_visible, n_hidden):
    """Whichever layer is the smaller, and summed over in the code; integrals take two dimensions."""
    n_visible = 2 if visible == "gaussian" else n_visible
    n_hidden = 2 if hidden == "gaussian" else n_hidden
    model = tiny(visible, hidden, n_visible, n_hidden)
    (v, dv), (h, dh) = states_of(visible, n_visible), states_of(hidden, n_hidden)
    log_mass = -model.energy(v[:, None], h[None])
    torch.testing.assert_close(model.log_partition(), log_mass.flatten().logsumexp(0) + math.log(dv * dh))


def test_more_states_than_can_be_summed_over_are_an_error_and_many_are_cut_in_pieces():
    with pytest.raises(ValueError, match="at most 20 Bernoulli units in one of the layers.*21 hidden and 30 visible"):
        RestrictedBoltzmannMachine(30, 21).log_partition()
    model = RestrictedBoltzmannMachine(30, 13)  # two pieces
    torch.nn.init.zeros_(model.weights.weight)
    assert float(model.log_partition()) == pytest.approx(43 * math.log(2), abs=1e-12)


def slow() -> RestrictedBoltzmannMachine:
    """A machine whose units are rather all on or all off, and whose chains seldom go from one to the other."""
    model = tiny()
    with torch.no_grad():
        model.weights.weight.mul_(0.2).add_(2.5)
        model.weights.bias.fill_(-3.75)
        model.visible_bias.fill_(-2.5)
    return model


@torch.no_grad()
def transitions(model: RestrictedBoltzmannMachine) -> Tensor:
    """Probabilities that a Gibbs step goes from each of eight states to each, (8, 8), from the conditionals."""
    p, q = model.encoder(STATES).mean, model.decoder(HIDDEN).mean
    to_hidden = torch.where(HIDDEN[None] > 0, p[:, None], 1 - p[:, None]).prod(-1)
    to_visible = torch.where(STATES[None] > 0, q[:, None], 1 - q[:, None]).prod(-1)
    return to_hidden @ to_visible


def number_of(v: Tensor) -> Tensor:
    """Where states stand in `STATES`."""
    return (v @ torch.tensor([4.0, 2.0, 1.0], dtype=v.dtype)).long()


def test_gibbs_steps_leave_the_model_s_distribution_as_it_is_and_go_where_it_says():
    model = tiny()
    step, p = transitions(model), (-model.free_energy(STATES) - model.log_partition()).exp()
    torch.testing.assert_close(p.sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(p @ step, p)
    n, k = 20_000, 3
    expected = torch.linalg.matrix_power(step, k)
    torch.manual_seed(0)
    ends = number_of(model.gibbs(STATES.repeat_interleave(n, 0), k)).reshape(8, n)
    found = torch.stack([(ends == j).double().mean(1) for j in range(8)], dim=1)
    error = (expected * (1 - expected) / n).sqrt()
    assert ((found - expected) / error).abs().max() < 4.5


def test_gaussian_layers_are_drawn_with_variance_one():
    torch.manual_seed(0)
    for model, draw, given in (
        (m := tiny("gaussian"), m.sample_visible, m.decoder),
        (m := tiny(hidden="gaussian"), m.sample_hidden, m.encoder),
    ):
        x = torch.ones(1, 2 if given is model.decoder else 3, dtype=torch.float64)
        drawn = draw(x.expand(40_000, -1)) - given(x).mean
        assert drawn.mean(0).abs().max() < 4.5 / 200
        assert (drawn.var(0) - 1).abs().max() < 4.5 * math.sqrt(2) / 200


# --- contrastive divergence ------------------------------------------------------------------------


def flat_gradient(value: Tensor, model: RestrictedBoltzmannMachine) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


@torch.enable_grad()
def gradients_of_free_energies(model: RestrictedBoltzmannMachine) -> Tensor:
    """Of each of the eight states, (8, parameters)."""
    return torch.stack([flat_gradient(model.free_energy(v), model) for v in STATES])


def exact_contrastive_divergence(model: RestrictedBoltzmannMachine, k: int) -> Tensor:
    """Its expected gradient over data and all chains of k steps, by enumeration."""
    gradients = gradients_of_free_energies(model)
    return (DATA - DATA @ torch.linalg.matrix_power(transitions(model), k)) @ gradients


def likelihood_gradient(model: RestrictedBoltzmannMachine) -> Tensor:
    """Of -E[log p(v)] over the data, by enumeration."""
    energies = model.free_energy(STATES)
    return flat_gradient(DATA @ energies + (-energies).logsumexp(0), model)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_mean_of_drawn_gradients_is_contrastive_divergence_by_enumeration(k):
    model, n = slow(), 40_000
    rows = STATES.repeat_interleave((DATA * n).round().long(), 0)
    torch.manual_seed(1)
    found = flat_gradient(ContrastiveDivergence(k)(model, Batch(rows, rows)).total(), model)
    exact, gradients = exact_contrastive_divergence(model, k), gradients_of_free_energies(model)
    power = torch.linalg.matrix_power(transitions(model), k)
    variance = DATA @ (power @ gradients.square() - (power @ gradients).square())
    assert ((found - exact) / (variance / n).sqrt()).abs().max() < 4.5
    other = exact_contrastive_divergence(model, k + 1)
    assert ((found - other) / (variance / n).sqrt()).abs().max() > 6  # it would tell the next k from this one


@every_kind
@pytest.mark.parametrize("persistent", [False, True])
def test_given_the_chains_the_gradient_is_that_of_the_papers(visible, hidden, persistent):
    """<v h> of data less <v h> of the chains' ends, h by its mean; and the same of the biases."""
    model = tiny(visible, hidden, n_chains=7)
    v = torch.rand(5, 3, dtype=torch.float64).round()
    model.chains.copy_(torch.rand(7, 3, dtype=torch.float64).round())
    torch.manual_seed(9)
    ends = model.gibbs(model.chains if persistent else v, 2)
    torch.manual_seed(9)
    loss = ContrastiveDivergence(2, persistent)(model, Batch(v, v))
    weights, hidden_bias, visible_bias = torch.autograd.grad(
        loss.total(), [model.weights.weight, model.weights.bias, model.visible_bias]
    )
    h, h_ends = model.encoder(v).mean, model.encoder(ends).mean
    torch.testing.assert_close(weights, h_ends.T @ ends / len(ends) - h.T @ v / len(v))
    torch.testing.assert_close(visible_bias, ends.mean(0) - v.mean(0))
    torch.testing.assert_close(hidden_bias, h_ends.mean(0) - h.mean(0))
    of_model = model.free_energy(ends)
    torch.testing.assert_close(loss.value, model.free_energy(v) - (of_model.mean() if persistent else of_model))


def test_long_chains_give_the_gradient_of_the_likelihood():
    model = slow()
    exact = likelihood_gradient(model)
    with torch.no_grad():
        bias = [float((exact_contrastive_divergence(model, k) - exact).norm()) for k in (1, 4, 16, 64, 256)]
    assert all(later < 0.9 * earlier for earlier, later in itertools.pairwise(bias))
    assert bias[-1] < 1e-6 * float(exact.norm())


def test_persistent_chains_stay_where_training_left_them_and_move_in_training_alone():
    model = tiny(n_chains=50)
    batch, objective = Batch(STATES, STATES), ContrastiveDivergence(2, persistent=True)
    objective(model, batch)
    assert not model.chains.any()
    torch.manual_seed(4)
    expected = model.gibbs(model.chains, 2)
    torch.manual_seed(4)
    objective(model, batch._replace(step=torch.tensor(0)))
    assert torch.equal(model.chains, expected)
    assert expected.any()


def test_what_does_not_fit_is_an_error_in_words():
    batch = Batch(STATES, STATES)
    with pytest.raises(ValueError, match="Gaussian ones in both"):
        tiny("gaussian", "gaussian")
    with pytest.raises(ValueError, match="with chains.*n_chains=100"):
        ContrastiveDivergence(persistent=True)(tiny(), batch)
    with pytest.raises(ValueError, match="n_steps >= 1"):
        ContrastiveDivergence(0)
    with pytest.raises(ValueError, match="features that count alike"):
        ContrastiveDivergence()(tiny(), batch._replace(feature_weight=torch.ones(8, 3)))
    vae = VAE(2, hidden=(4,), max_epochs=1).fit(np.eye(8))
    with pytest.raises(TypeError, match="Expected a RestrictedBoltzmannMachine, got LatentVariableModel"):
        ContrastiveDivergence()(vae.model_, Batch(torch.eye(8), torch.eye(8)))

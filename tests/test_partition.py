"""Partition functions of Boltzmann machines by annealing, against summing over all states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.boltzmann import RestrictedBoltzmannMachine
from isthmus.estimators import RBM
from isthmus.evaluation import evaluate
from isthmus.evaluation.partition import annealed_log_partition

UNITS = [("bernoulli", "bernoulli"), ("gaussian", "bernoulli"), ("bernoulli", "gaussian")]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def machine(visible, hidden, n_visible=12, n_hidden=6, scale=0.7):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = RestrictedBoltzmannMachine(n_visible, n_hidden, visible=visible, hidden=hidden)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=scale)
    return model


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
@pytest.mark.parametrize("base", [None, 0.3])
def test_it_is_what_summing_over_all_states_says(visible, hidden, base):
    model = machine(visible, hidden, scale=0.4 if "gaussian" in (visible, hidden) else 0.7)
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    base = None if base is None else torch.full((12,), base)
    found = annealed_log_partition(model, 200, 200, base=base, generator=generator())
    assert abs(found.log_evidence - model.log_partition()) < 4 * found.standard_error
    assert found.standard_error < 0.1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    again = annealed_log_partition(model, 200, 200, base=base, generator=generator())
    assert again.log_evidence == found.log_evidence


def test_a_machine_without_weights_needs_no_annealing():
    model = machine("bernoulli", "bernoulli")
    with torch.no_grad():
        model.weights.weight.zero_()
    found = annealed_log_partition(model, 1, 10, generator=generator())
    assert found.log_evidence.item() == pytest.approx(model.log_partition().item(), abs=1e-9)
    assert found.standard_error.item() < 1e-9


def test_more_temperatures_spread_less():
    model = machine("bernoulli", "bernoulli")
    spread = [annealed_log_partition(model, n, 100, generator=generator()).log_weights.var() for n in (1, 10, 100)]
    assert spread[0] > spread[1] > spread[2]


def test_chains_end_as_draws_of_the_model():
    model = machine("bernoulli", "bernoulli")
    found = annealed_log_partition(model, 300, 2000, generator=generator())
    states = (torch.arange(2**12)[:, None] >> torch.arange(12) & 1).float()
    probabilities = (-model.free_energy(states)).double().softmax(0)
    exact = probabilities @ states.double()
    mean = found.log_weights.softmax(0) @ found.draws
    assert (mean - exact).abs().max() < 4 * 0.5 / found.effective_sample_size.sqrt()


def test_what_can_t_be_annealed():
    model = machine("bernoulli", "bernoulli")
    for change, message in (
        ({"n_chains": 0}, "n_chains of at least 1"),
        ({"n_temperatures": 0}, "n_temperatures of at least 1"),
        ({"base": torch.zeros(3)}, "12 features as the base"),
    ):
        with pytest.raises(ValueError, match=message):
            annealed_log_partition(model, generator=generator(), **change)


def test_the_estimator_s_likelihood(digits):
    """Exact for 12 hidden units; annealed, the same within its error. More units have only the annealed one."""
    X = digits[:300]
    rbm = RBM(n_components=12, max_epochs=3, random_state=0, device="cpu").fit(X)
    log_z, error = rbm.annealed_log_partition(X, n_temperatures=300, random_state=0)
    assert abs(log_z - rbm.log_partition()) < max(4 * error, 1e-3)
    annealed = rbm.log_likelihood(X[:20], n_temperatures=300, random_state=0)
    np.testing.assert_allclose(annealed, rbm.log_likelihood(X[:20]), atol=0.3)
    large = RBM(n_components=30, max_epochs=1, random_state=0, device="cpu").fit(X)
    with pytest.raises(ValueError, match="n_temperatures"):
        large.log_likelihood(X[:20])
    assert np.isfinite(large.log_likelihood(X[:20], n_temperatures=20)).all()


def test_evaluate_has_it_where_there_is_no_exact_one(digits):
    small = RBM(n_components=8, max_epochs=1, random_state=0, device="cpu").fit(digits[:300])
    both = evaluate(small, digits[300:400], n_temperatures=200)
    annealed, exact = both["annealed_log_likelihood"], both["log_likelihood"]
    assert annealed.value == pytest.approx(exact.value, abs=0.3)
    assert annealed.standard_error >= exact.standard_error
    large = RBM(n_components=30, max_epochs=1, random_state=0, device="cpu").fit(digits[:300])
    assert "log_likelihood" not in evaluate(large, digits[300:400])
    assert np.isfinite(evaluate(large, digits[300:400], n_temperatures=10)["annealed_log_likelihood"].value)

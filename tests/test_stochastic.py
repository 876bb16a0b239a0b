"""Families beyond Gaussians, and fitting any of them by stochastic gradients."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from isthmus.inference import Family, Flow, FullRank, GaussianMixtureFamily, LogDensity, LowRank, MeanField, fit_family
from isthmus.inference.stochastic import _draws


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bent(family: Family, size: float = 0.3) -> Family:
    """With other parameters than the first ones."""
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator(5), dtype=torch.float64))
    return family


# --- families --------------------------------------------------------------------------------------


def test_pushed_noise_has_the_covariance_of_a_low_rank_family() -> None:
    family = bent(LowRank(5, 2, location=1.0, scale=2.0))
    q = family()
    matrix = family.push(torch.eye(7).double()) - q.mean
    torch.testing.assert_close(matrix.T @ matrix, q.covariance_matrix)
    assert family.n_parameters == 5 + 5 + 10
    for rank in (0, 6):
        with pytest.raises(ValueError, match="rank from 1 to 5"):
            LowRank(5, rank)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_stratified_draws_of_a_mixture_give_its_moments_and_their_gradients(covariance: str) -> None:
    family = bent(GaussianMixtureFamily(2, 3, covariance=covariance))
    q = family()
    torch.manual_seed(0)
    z, weight = family.stratified(q, 300_000)
    assert weight.sum().item() == pytest.approx(1)
    parameters = [family.logits, family.locations, family.log_scales]
    estimate = torch.cat(((weight @ z), weight @ z.square()))
    exact = torch.cat((q.mean, q.variance + q.mean.square()))
    torch.testing.assert_close(estimate, exact, atol=0.03, rtol=0)
    ours, theirs = (torch.autograd.grad(m.sum(), parameters, retain_graph=True) for m in (estimate, exact))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=0.05, rtol=0)


def test_a_mixture_of_one_is_a_gaussian_and_others_start_apart() -> None:
    full = bent(GaussianMixtureFamily(3, 1, covariance="full"))
    component = full.components()
    gaussian = MultivariateNormal(component.mean[0], component.covariance_matrix[0])
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(full().log_prob(x), gaussian.log_prob(x))
    assert torch.pdist(GaussianMixtureFamily(3, 4).locations.detach()).min() > 0.1
    for arguments in ({"n_components": 0}, {"covariance": "tied"}):
        with pytest.raises(ValueError, match="Expected"):
            GaussianMixtureFamily(3, **arguments)


def a_flow(dim: int, transform: str) -> Flow:
    if transform == "spline":
        pytest.importorskip("zuko")
    scale = torch.diag(torch.linspace(0.5, 1.5, dim)) + 0.2 * torch.ones(dim, dim).tril(-1)
    return Flow(dim, transform, n_layers=5, hidden=(8,), location=1.0, scale=scale)


FLOWS = [(2, "affine"), (5, "affine"), (1, "spline"), (3, "spline")]


@pytest.mark.parametrize(("dim", "transform"), FLOWS)
def test_a_flow_starts_as_the_gaussian_it_is_given(dim: int, transform: str) -> None:
    flow = a_flow(dim, transform)
    x = torch.randn(20, dim, generator=generator(), dtype=torch.float64)
    gaussian = MultivariateNormal(flow.location, scale_tril=flow.scale)
    torch.testing.assert_close(flow().log_prob(x), gaussian.log_prob(x))


@pytest.mark.parametrize(("dim", "transform"), FLOWS)
def test_a_flow_is_one_map_both_ways_with_its_own_determinant(dim: int, transform: str) -> None:
    flow = bent(a_flow(dim, transform))
    draws, log_q = flow().rsample_and_log_prob((7, 2))
    torch.testing.assert_close(flow().log_prob(draws), log_q)
    assert draws.shape == (7, 2, dim)
    noise = torch.randn(1, dim, generator=generator(), dtype=torch.float64)
    x, log_det = flow.push(noise)
    torch.testing.assert_close(flow.pull(x)[0], noise)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.push(v[None])[0][0], noise[0])
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0].detach())


def test_a_flow_s_density_integrates_to_one() -> None:
    flow = bent(a_flow(2, "affine"), 0.1)
    axis = torch.linspace(-25, 25, 1001, dtype=torch.float64)
    with torch.no_grad():
        total = flow().log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-3)


def test_flows_say_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'spline' or a mixture"):
        Flow(1, "affine")
    with pytest.raises(ValueError, match="transform"):
        Flow(2, "neural")
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'isthmus\[flows\]'"):
        Flow(2, "spline")
    Flow(2)  # needs no other package


# --- fitting ---------------------------------------------------------------------------------------


def correlated(dim: int) -> MultivariateNormal:
    factor = torch.randn(dim, dim, generator=generator(1), dtype=torch.float64) / dim**0.5
    return MultivariateNormal(torch.arange(dim) / 2.0, factor @ factor.T + 0.1 * torch.eye(dim, dtype=torch.float64))


def test_a_family_that_holds_the_posterior_finds_it_exactly() -> None:
    target = correlated(5)
    fit = fit_family(lambda x: target.log_prob(x) + 3.0, FullRank(5))
    assert fit.converged
    assert fit.bound == pytest.approx(3, abs=1e-4)
    assert fit.bound_error < 1e-4
    torch.testing.assert_close(fit.family().covariance_matrix, target.covariance_matrix, atol=0.01, rtol=0)
    assert fit.n_evaluations == 32 * fit.n_steps + 2000
    assert len(fit.history) > 2
    assert fit.message.startswith("Stationary after")


def test_low_rank_gaussians_find_their_directions() -> None:
    factor = torch.randn(12, 2, generator=generator(2), dtype=torch.float64)
    target = LowRankMultivariateNormal(torch.zeros(12).double(), factor, torch.full((12,), 0.3).double())
    fit = fit_family(target.log_prob, LowRank(12, 2))
    assert fit.bound == pytest.approx(0, abs=0.02)


def test_the_same_generator_gives_the_same_fit_and_nothing_else_is_touched() -> None:
    start, state = MeanField(3), torch.get_rng_state()
    before = [parameter.clone() for parameter in start.parameters()]
    fits = [
        fit_family(correlated(3).log_prob, start, generator=generator(seed), max_steps=200, window=25)
        for seed in (1, 1, 2)
    ]
    assert fits[0].bound == fits[1].bound
    assert fits[0].history == fits[1].history
    assert fits[0].history != fits[2].history
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, start.parameters(), strict=True))


def test_draws_are_pairs_only_where_estimators_allow_it() -> None:
    """Doubly reparameterised ones are biased if a draw moves with another."""
    for family in (MeanField(2), FullRank(2), LowRank(2, 1)):
        for direction in ("reverse", "forward", "alpha"):
            draws, weight = _draws(family, family(), 8, direction, "stl")
            assert draws.requires_grad
            assert weight is None
            assert (draws.sum(0).abs().max() < 1e-12) == (direction == "reverse")


def test_evaluations_are_those_of_the_function() -> None:
    """Of a mixture more than asked for, the same for each component."""
    seen = 0

    def log_density(x: Tensor) -> Tensor:
        nonlocal seen
        seen += len(x)
        return -0.5 * x.square().sum(-1)

    counted = LogDensity(log_density, 2, batched=True)
    fit = fit_family(counted, GaussianMixtureFamily(2, 5), max_steps=100)
    assert fit.n_evaluations == seen == 35 * fit.n_steps + 2000


def test_steps_that_are_not_finite_are_left_out() -> None:
    """A border that a normal distribution can't keep within."""

    def log_density(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > -2.0, -0.5 * x.square().sum(-1), math.nan)

    fit = fit_family(log_density, MeanField(2, scale=0.3), max_steps=300)
    assert 0 < fit.n_rejected < fit.n_steps
    assert "left out as not finite" in fit.message
    assert all(parameter.isfinite().all() for parameter in fit.family.parameters())


def test_what_can_t_be_fitted_is_said() -> None:
    with pytest.raises(ValueError, match="finite near the start"):
        fit_family(lambda x: x.sum(-1) * math.nan, MeanField(2), max_steps=100)
    improper = fit_family(lambda x: 0.5 * x.sum(-1), MeanField(2), max_steps=300)
    assert not improper.converged
    assert "Not stationary" in improper.message
    for arguments in ({"n_draws": 1}, {"window": 1}, {"max_steps": 40}):
        with pytest.raises(ValueError, match="n_draws"):
            fit_family(correlated(2).log_prob, MeanField(2), **arguments)


def test_the_score_function_needs_no_derivative_of_the_density() -> None:
    def log_density(x: Tensor) -> Tensor:
        return -0.5 * (x.detach() - 2.0).square().sum(-1)

    fit = fit_family(log_density, MeanField(2), gradient="score")
    assert fit.family().mean.tolist() == pytest.approx([2, 2], abs=0.1)
    assert fit.family().variance.tolist() == pytest.approx([1, 1], abs=0.15)


def banana(x: Tensor) -> Tensor:
    """Normalised: x_1 from N(0, 4), x_2 about x_1^2 / 2 with standard deviation 1 / 2."""
    first, second = x.unbind(-1)
    return -(first**2) / 8 - 2 * (second - first**2 / 2) ** 2 - math.log(2 * math.pi)


@pytest.mark.slow
def test_a_flow_bends_where_a_gaussian_can_t() -> None:
    gaussian, flow = fit_family(banana, FullRank(2)), fit_family(banana, Flow(2))
    assert gaussian.bound < -0.5
    assert flow.bound == pytest.approx(0, abs=0.05)
    assert flow.converged


def test_a_few_steps_of_a_flow_gain_on_what_it_starts_from() -> None:
    start = Flow(2, n_layers=4, hidden=(16,), location=torch.tensor([0.0, 0.3]), scale=0.5)
    before = -(start().log_prob(draws := start.draw(2000, generator())) - banana(draws)).mean()
    fit = fit_family(banana, start, max_steps=500)
    assert fit.bound > float(before.detach()) + 0.5

"""What `fit_posterior` is made of: parameters, log-densities, noise, optimisers, families, linear response."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, constraints, kl_divergence

from isthmus.inference import FullRank, LogDensity, MeanField, Parameters, Student, linear_response, linear_response_of
from isthmus.inference.draws import standard_draws
from isthmus.inference.optimise import lbfgs, newton, newton_cg
from isthmus.inference.saa import FullRankObjective, MeanFieldObjective
from isthmus.inference.variational import fit_mean_field, mean_field_noise

FLOAT = torch.float64
ALL = Parameters(
    a=constraints.real,
    b=(constraints.positive, 2),
    i=constraints.interval(-1, 3),
    s=(constraints.simplex, 4),
    L=(constraints.lower_cholesky, (3, 3)),
    P=(constraints.positive_definite, (2, 2)),
    R=(constraints.corr_cholesky, (3, 3)),
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=FLOAT)


def test_parameters_are_within_their_constraints_and_go_back():
    vectors = noise(5, ALL.dim)
    values = ALL.constrain(vectors)
    for name, constraint in ALL.constraints.items():
        assert values[name].shape == (5, *ALL.shapes[name])
        assert bool(constraint.check(values[name]).all())
    torch.testing.assert_close(ALL.unconstrain(**values), vectors)
    assert len(ALL.free_coordinates()) == ALL.dim == 1 + 2 + 1 + 3 + 6 + 3 + 3


def test_the_log_determinant_is_that_of_the_jacobian():
    """By automatic differentiation of all numbers that are free in the constrained parameters."""

    def free(vector):
        values = ALL.constrain(vector)
        lower, square, strict = torch.tril_indices(3, 3), torch.tril_indices(2, 2), torch.tril_indices(3, 3, -1)
        return torch.cat([
            values["a"][None], values["b"], values["i"][None], values["s"][:-1],
            values["L"][lower[0], lower[1]], values["P"][square[0], square[1]], values["R"][strict[0], strict[1]],
        ])  # fmt: skip

    vectors = noise(4, ALL.dim)
    exact = torch.stack([torch.linalg.slogdet(torch.func.jacrev(free)(vector))[1] for vector in vectors])
    torch.testing.assert_close(ALL.log_jacobian(vectors), exact)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ValueError, "at least one parameter"),
        ({"a": 3.0}, TypeError, "a constraint"),
        ({"a": (constraints.real, 0)}, ValueError, "positive whole numbers"),
        ({"a": constraints.simplex}, ValueError, "shape of 1 or more"),
        ({"a": (constraints.lower_cholesky, (2, 3))}, ValueError, "square"),
        ({"a": constraints.boolean}, ValueError, "with a bijection"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        Parameters(**arguments)


def test_a_density_of_parameters_takes_names_or_a_dictionary():
    parameters = Parameters(mu=constraints.real, tau=constraints.positive)
    vector = noise(2)
    by_name = parameters.log_density(lambda mu, tau: mu * tau)(vector)
    by_dictionary = parameters.log_density(lambda values: values["mu"] * values["tau"])(vector)
    assert by_name == by_dictionary == vector[0] * vector[1].exp() + vector[1]
    with pytest.raises(ValueError, match="sum over everything"):
        parameters.log_density(lambda values: values["mu"][..., None])(vector)


TRICKY = {
    "sum over everything": (lambda x: -x.square().sum(), False),
    "sum over the last": (lambda x: -x.square().sum(-1), True),
    "columns": (lambda x: -x[:, 0] * x[:, 1], True),
    "a matrix": (lambda x: -(x @ torch.eye(2, dtype=FLOAT)).square().sum(), False),
    "rows as if they were numbers": (lambda x: -x[0] * x[1], False),
}


@pytest.mark.parametrize("name", TRICKY)
def test_whether_a_function_is_batched_is_found_out(name):
    function, batched = TRICKY[name]
    target, points = LogDensity(function, 2), noise(7, 2)
    assert target.batched is batched
    expected = -points[:, 0] * points[:, 1] if name in ("columns", "rows as if they were numbers") else None
    expected = -points.square().sum(-1) if expected is None else expected
    torch.testing.assert_close(target(points), expected)
    values, gradient = target.value_and_gradient(points)
    torch.testing.assert_close(values, expected)
    assert gradient.shape == (7, 2)
    assert (target.n_values, target.n_gradients) == (14, 7)


def test_nan_and_infinity_are_counted_as_no_density():
    target = LogDensity(lambda x: torch.log(x).sum(), 2)
    values = target(torch.tensor([[1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]], dtype=FLOAT))
    assert values.tolist() == [0.0, -torch.inf, -torch.inf]
    assert target.n_not_finite == 2


def test_values_in_chunks_are_those_of_all_at_once(monkeypatch):
    target, points = LogDensity(lambda x: -x.square().sum(), 3), noise(50, 3)
    whole = target.values(points)
    monkeypatch.setattr("isthmus.inference.density.CHUNK", 21)
    torch.testing.assert_close(target.values(points), whole, rtol=0, atol=0)


@pytest.mark.parametrize("antithetic", [True, False])
def test_noise_has_exact_moments(antithetic):
    draws = standard_draws(40, 3, generator(), antithetic=antithetic)
    torch.testing.assert_close(draws.mean(0), torch.zeros(3, dtype=FLOAT))
    torch.testing.assert_close(draws.mT @ draws / 40, torch.eye(3, dtype=FLOAT))
    if antithetic:
        torch.testing.assert_close(draws[:20], -draws[20:])


def test_noise_of_fewer_draws_than_dimensions_is_orthogonal_of_unit_variance():
    draws = standard_draws(8, 40, generator())
    torch.testing.assert_close(draws.square().mean(0), torch.ones(40, dtype=FLOAT))
    first = torch.nn.functional.normalize(draws[:4], dim=1)
    assert float((first @ first.T - torch.eye(4)).abs().max()) < 0.5  # exactly so before variances were made one


def logistic(n=60, dim=3):
    x, w = noise(n, dim, seed=1), noise(dim, seed=2)
    y = (torch.rand(n, generator=generator(3), dtype=FLOAT) < torch.sigmoid(x @ w)).double()
    return lambda b: (y * (x @ b) - torch.nn.functional.softplus(x @ b)).sum() - 0.5 * b.square().sum()


def value_of(objective):
    return lambda theta: objective.value_and_gradient(theta)[0]


def numeric_gradient(function, at, step=1e-5):
    return np.array([(function(at + step * e) - function(at - step * e)) / (2 * step) for e in np.eye(len(at))])


def test_the_mean_field_objective_s_derivatives_are_right():
    target = LogDensity(logistic(), 3)
    objective = MeanFieldObjective(target, standard_draws(16, 3, generator()))
    theta = noise(6, seed=5).numpy() * 0.3
    value, gradient = objective.value_and_gradient(theta)
    same, derivatives = objective.second_order(theta)
    slope, hessian = derivatives()
    assert same == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-10)
    np.testing.assert_allclose(gradient, numeric_gradient(value_of(objective), theta), rtol=1e-6)
    columns = numeric_gradient(lambda t: objective.value_and_gradient(t)[1], theta)
    np.testing.assert_allclose(hessian, columns, rtol=1e-5, atol=1e-6)
    direction = np.arange(6.0)
    np.testing.assert_allclose(objective.product(theta)(direction), hessian @ direction, rtol=1e-9)


def test_the_full_rank_objective_s_gradient_is_right():
    factor = torch.eye(3, dtype=FLOAT) + 0.2 * noise(3, 3).tril()
    objective = FullRankObjective(LogDensity(logistic(), 3), standard_draws(16, 3, generator()), noise(3), factor)
    theta = noise(9, seed=5).numpy() * 0.3
    gradient = objective.value_and_gradient(theta)[1]
    np.testing.assert_allclose(gradient, numeric_gradient(value_of(objective), theta), rtol=1e-5)
    with pytest.raises(ValueError, match="6 draws or more"):
        FullRankObjective(LogDensity(logistic(), 3), standard_draws(4, 3, generator()), noise(3), factor)


def test_minus_the_objective_is_the_bound():
    """For a normal target it is minus the divergence, in closed form."""
    p, q = Normal(noise(3), noise(3, seed=1).exp()), Normal(noise(3, seed=2), noise(3, seed=3).exp())
    objective = MeanFieldObjective(LogDensity(lambda x: p.log_prob(x).sum(), 3), standard_draws(8, 3, generator()))
    value, _ = objective.value_and_gradient(torch.cat([q.loc, q.scale.log()]).numpy())
    assert value == pytest.approx(float(kl_divergence(q, p).sum()), rel=1e-9)


def test_linear_response_by_conjugate_gradients_is_that_of_the_whole_hessian():
    target = LogDensity(logistic(), 3)
    draws = mean_field_noise(None, target, generator())
    start = np.concatenate([np.zeros(3), np.full(3, -2.0)])
    fit = fit_mean_field(target, start, draws, draws[:8], ["a", "b", "c"])
    assert fit.optimum.converged
    whole = linear_response(fit.optimum.hessian)
    some = linear_response_of(
        fit.objective.product(fit.optimum.theta), np.eye(3)[:2], fit.family.scale.detach().numpy()
    )
    torch.testing.assert_close(some, whole[:2, :2], rtol=1e-4, atol=1e-6)
    assert linear_response(-fit.optimum.hessian) is None
    with pytest.raises(ValueError, match="positive definite"):
        linear_response_of(lambda vector: -vector, np.eye(3), np.ones(3))


def rosenbrock(x):
    a, b = x
    value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    gradient = np.array([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)])
    hessian = np.array([[2 - 400 * (b - 3 * a**2), -400 * a], [-400 * a, 200.0]])
    return value, gradient, hessian


def with_border(x):
    """Not defined where x is 0 or below."""
    if x[0] <= 0:
        return np.nan, np.full(1, np.nan), np.full((1, 1), np.nan)
    return x[0] - np.log(x[0]), 1 - 1 / x, np.array([[1 / x[0] ** 2]])


@pytest.mark.parametrize(
    ("function", "start", "end"),
    [(rosenbrock, [-1.2, 1.0], [1.0, 1.0]), (with_border, [30.0], [1.0]), (with_border, [1e-3], [1.0])],
)
def test_optimisers_find_minima_also_beside_borders(function, start, end):
    def lazy(x):
        value, gradient, hessian = function(x)
        return (value if np.isfinite(value) else np.inf), lambda: (gradient, hessian)

    start = np.array(start)
    found = [
        newton(lazy, start, max_iter=200),
        lbfgs(lambda x: function(x)[:2], start, tolerance=1e-7),
        newton_cg(lambda x: function(x)[:2], lambda x: function(x)[2].__matmul__, start, tolerance=1e-7),
    ]
    for optimum in found:
        assert optimum.converged
        np.testing.assert_allclose(optimum.theta, end, atol=1e-4)


def test_optimisers_say_where_they_can_t_begin():
    for optimise in (
        lambda: newton(lambda x: (np.inf, lambda: None), np.ones(1)),
        lambda: lbfgs(lambda x: (np.nan, x), np.ones(1)),
    ):
        with pytest.raises(ValueError, match="where the optimiser starts"):
            optimise()


FAMILIES = {
    "mean-field": MeanField(3, noise(3), noise(3, seed=1).exp()),
    "full-rank": FullRank(3, noise(3), torch.eye(3, dtype=FLOAT) + noise(3, 3).tril(-1)),
    "student": Student(3, noise(3), torch.eye(3, dtype=FLOAT) + noise(3, 3).tril(-1), df=5.0),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_s_draws_are_those_of_its_density(name):
    """Importance weights to a narrow normal distribution have mean one, and draws are a function of the generator."""
    family = FAMILIES[name]
    q, state = family(), torch.get_rng_state()
    draws = family.draw(20000, generator())
    assert torch.equal(draws, family.draw(20000, generator()))
    assert torch.equal(state, torch.get_rng_state())
    location, covariance = family.location.detach(), 0.02 * torch.eye(3, dtype=FLOAT)
    narrow = torch.distributions.MultivariateNormal(location, covariance)
    ratio = (narrow.log_prob(draws) - q.log_prob(draws).detach()).exp()
    assert float(ratio.mean()) == pytest.approx(1, abs=4 * float(ratio.std()) / 20000**0.5)
    assert q.rsample((2,)).shape == (2, 3)
    assert family.n_parameters == {"mean-field": 6, "full-rank": 9}.get(name, family.n_parameters)


def test_a_factor_that_is_none_is_refused():
    with pytest.raises(ValueError, match="positive diagonal"):
        FullRank(2, factor=-torch.eye(2))

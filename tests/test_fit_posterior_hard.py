"""fit_posterior where it is hard: borders, improper densities, several modes, heavy tails, funnels, wrong functions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import HalfNormal, Normal, constraints

from isthmus.inference import FullRank, ImproperDensityError, LogDensity, Parameters, fit_posterior
from isthmus.inference.weigh import weigh, weigh_surely

FLOAT = torch.float64


def tensor(*values):
    return torch.tensor(values, dtype=FLOAT)


def seeded():
    return torch.Generator().manual_seed(0)


def normal(x):
    return -0.5 * x.square().sum()


IMPROPER = {
    "flat": lambda x: 0 * x.sum(),
    "one coordinate": lambda x: -0.5 * x[0] ** 2 + 0 * x[1],
    "rising": lambda x: x.sum(),
    "separated classes": lambda x: sum(
        2 * torch.nn.functional.logsigmoid(k * x[1] + side * x[0]) for k in (1, 2) for side in (1, -1)
    ),
    "flat on the positive line": lambda x: x[0] - 0.5 * x[1] ** 2,
}


@pytest.mark.parametrize("name", IMPROPER)
def test_an_improper_posterior_is_refused(name):
    with pytest.raises(ImproperDensityError, match=r"grows without end along x\["):
        fit_posterior(IMPROPER[name], 2)


def test_densities_with_borders_are_fitted_from_within():
    """A gamma density that is NaN on the left."""
    posterior = fit_posterior(lambda x: (torch.log(x) - x).sum(), 1)
    assert float(posterior.mean) == pytest.approx(2, abs=0.1)
    assert float(posterior.sd) == pytest.approx(2**0.5, rel=0.1)
    assert posterior.bound == -math.inf  # a normal distribution reaches beyond the border
    assert "density of zero" in posterior.message
    assert posterior.to_dict()["bound"] is None


def test_a_density_that_is_finite_far_away_only_is_found():
    def log_density(x):
        return torch.where((x - 8).abs().max() < 4, -0.5 * (x - 8).square().sum(), -torch.inf)

    posterior = fit_posterior(log_density, 2)
    torch.testing.assert_close(posterior.mean, tensor(8.0, 8.0), rtol=0.02, atol=0)


WRONG = {
    "finite nowhere": (lambda x: x.sum() * torch.nan, 2, ValueError, "finite somewhere"),
    "a vector": (lambda x: x, 3, ValueError, "sum over everything"),
    "no tensor": (lambda x: 1.0, 2, TypeError, "return a tensor, got float"),
    "no gradient": (lambda x: torch.tensor(1.0), 2, ValueError, "does not depend on x"),
    "item": (lambda x: -x.square().sum() * x[0].item(), 2, ValueError, "reads values out of tensors"),
    "its own error": (lambda x: x @ torch.ones(5, dtype=FLOAT), 2, ValueError, "inconsistent tensor size"),
    "no function": (3, 2, TypeError, "Expected a function"),
    "dim": (normal, 0, ValueError, "Expected dim"),
    "other names": (lambda mu, sd: mu, Parameters(tau=constraints.real), ValueError, "log-density of tau"),
}


def test_an_error_in_the_function_says_in_which_line():
    weights = torch.ones(5, dtype=FLOAT)

    def log_density(x):
        return x @ weights

    with pytest.raises(ValueError, match=r"got an error in line \d+ of .*test_fit_posterior_hard\.py: "):
        fit_posterior(log_density, 2)


@pytest.mark.parametrize("name", WRONG)
def test_what_can_t_be_fitted_is_said(name):
    function, dim, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        fit_posterior(function, dim)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"family": "normal"}, "Expected family"), ({"n_weighed": 10}, "n_weighed"),
     ({"start": [1.0]}, "2 finite numbers"), ({"start": {"x": 1.0}}, "Parameters"), ({"n_draws": 7}, "even number"),
     ({"random_state": None}, "random_state"), ({"n_starts": -1}, "n_starts"), ({"n_starts": 2.5}, "n_starts")],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        fit_posterior(normal, 2, **arguments)


def test_what_fails_far_out_is_fitted_without_a_look_there():
    def log_density(x):
        if x.abs().max() > 60:
            raise RuntimeError("the simulator failed")
        return -0.5 * x.square().sum(-1)

    posterior = fit_posterior(log_density, 2, batched=True)
    assert posterior.reliable
    assert "not looked for" in posterior.message
    assert "the simulator failed" in posterior.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"famly": "flow"}, "did you mean family"), ({"seed": 1}, "random_state"), ({"max_steps": 10}, "family='auto'"),
     ({"family": "flow", "max_step": 3}, "did you mean max_steps")],
)  # fmt: skip
def test_arguments_that_nothing_takes_are_refused(arguments, words):
    with pytest.raises(TypeError, match=words):
        fit_posterior(normal, 2, **arguments)


def test_a_posterior_is_shown_with_its_evidence():
    """The bound of heavy tails may be minus anything."""
    posterior = fit_posterior(lambda x: (x - x.exp()).sum(-1), 3, batched=True)
    assert posterior.family.startswith("Student's t")
    assert f"log evidence {posterior.log_evidence:.4f} ± " in repr(posterior)
    assert posterior.log_evidence == pytest.approx(0, abs=4 * posterior.log_evidence_error)
    assert posterior.log_evidence_error < 0.05


def test_heavy_tails_climb_to_student_s_t():
    posterior = fit_posterior(lambda x: torch.distributions.StudentT(4.0).log_prob(x).sum(), 2)
    assert [step.family for step in posterior.steps][:2] == [
        "mean field with linear response", "Student's t by linear response",
    ]  # fmt: skip
    assert posterior.steps[0].khat > 0.7
    assert posterior.reliable
    assert posterior.log_evidence == pytest.approx(0, abs=0.05)
    assert "Tried: mean field" in posterior.message


def funnel(x):
    return Normal(0.0, 3.0).log_prob(x[0]) + Normal(0.0, (x[0] / 2).exp()).log_prob(x[1:]).sum()


def test_a_doubtful_tail_is_told_from_more_draws():
    """Weights of a normal target over a normal proposal of variance v have a tail of shape 1 - v."""
    target = LogDensity(lambda x: -0.5 * x.square().sum(), 1)
    doubtful, good = (FullRank(1, factor=variance**0.5) for variance in (0.45, 1.0))
    assert 0.4 < weigh(target, doubtful, 2000, seeded()).khat < 0.7
    assert len(weigh_surely(target, doubtful, 2000, seeded()).draws) == 20_000
    assert len(weigh_surely(target, good, 2000, seeded()).draws) == 2000


def test_a_funnel_is_flagged_where_only_one_family_may_be_tried():
    posterior = fit_posterior(funnel, 3, family="linear-response")
    assert posterior.khat > 0.7
    assert not posterior.reliable
    assert "NOT RELIABLE" in repr(posterior)
    assert "not to be trusted" in posterior.message
    torch.testing.assert_close(posterior.mean, posterior.approximation_mean)


@pytest.mark.slow
def test_a_funnel_climbs_to_a_flow():
    posterior = fit_posterior(funnel, 3)
    assert posterior.family == "flow"
    assert posterior.reliable
    assert float(posterior.mean[0]) == pytest.approx(0, abs=0.3)
    assert float(posterior.sd[0]) == pytest.approx(3, rel=0.1)
    assert posterior.log_evidence == pytest.approx(0, abs=0.1)


def test_no_mode_is_no_laplace_approximation():
    """An exponential density is highest at its border."""
    with pytest.raises(ValueError, match="Expected a density with a mode"):
        fit_posterior(lambda x: torch.where(x > 0, -x, torch.nan).sum(), 1, family="laplace")


@pytest.mark.parametrize("seed", [0, 3])
def test_scales_that_overflow_far_out_are_passed_over(seed):
    """In float32 a search for other optima comes to scales of 0 and infinity, which torch's distributions refuse."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(60, 3, generator=generator)
    y = inputs @ torch.tensor([1.0, -2.0, 0.5]) + 3 + 0.7 * torch.randn(60, generator=generator)

    def log_density(w, b, sigma):
        prior = Normal(0.0, 5.0).log_prob(w).sum() + Normal(0.0, 10.0).log_prob(b) + HalfNormal(2.0).log_prob(sigma)
        return prior + Normal(inputs @ w + b, sigma).log_prob(y).sum()

    parameters = Parameters(w=(constraints.real, 3), b=constraints.real, sigma=constraints.positive)
    fitted = fit_posterior(log_density, parameters)
    assert fitted.reliable


def test_where_a_distribution_refuses_its_arguments_the_density_is_zero():
    log_density = LogDensity(
        lambda x: Normal(0.0, x[..., 0].exp()).log_prob(torch.tensor([1.0, 2.0])[:, None]).sum(0), 1, batched=True
    )
    values = log_density(torch.tensor([[0.0], [1e4], [-1e4]], dtype=torch.float64))
    assert values.tolist() == [pytest.approx(-2.5 - math.log(2 * math.pi)), -math.inf, -math.inf]
    with pytest.raises(ValueError, match="scale"):  # users' own distributions are validated as before
        Normal(0.0, -1.0)


def test_a_direction_that_there_is_not_is_said_at_once():
    def never(x):
        raise AssertionError

    with pytest.raises(ValueError, match="reverse, forward, alpha"):
        fit_posterior(never, 1, direction="sideways")


def test_a_matrix_that_has_no_root_loses_its_draw_alone():
    def log_density(x):
        matrix = torch.stack([torch.stack([torch.ones(()), x[0]]), torch.stack([x[0], torch.ones(())])])
        return -torch.linalg.cholesky(matrix).diagonal().log().sum()

    points = torch.tensor([[0.5], [2.0], [0.0], [3.0], [-0.5]])
    values, gradient = LogDensity(log_density, 1, dtype=torch.float32).value_and_gradient(points)
    found = -0.5 * (1 - points[[0, 2, 4], 0].square()).log()
    torch.testing.assert_close(values[[0, 2, 4]], found)
    assert values[[1, 3]].tolist() == [-math.inf, -math.inf]
    torch.testing.assert_close(gradient[[0, 2, 4], 0], points[[0, 2, 4], 0] / (1 - points[[0, 2, 4], 0].square()))

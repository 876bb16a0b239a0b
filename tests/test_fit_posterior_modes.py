"""fit_posterior where there are several modes: far ones, narrow ones, and what is said of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from isthmus.inference import fit_posterior

FLOAT = torch.float64


def normal(x):
    return -0.5 * x.square().sum()


def two_modes(x):
    modes = torch.stack([math.log(0.2) + Normal(-10.0, 1.0).log_prob(x), math.log(0.8) + Normal(10.0, 1.0).log_prob(x)])
    return modes.logsumexp(0).sum()


def test_two_modes_are_found_and_said():
    posterior = fit_posterior(two_modes, 1)
    assert "several modes" in posterior.message
    assert float(posterior.mean) == pytest.approx(6, abs=0.5)
    assert float(posterior.sd) == pytest.approx((1 + 64) ** 0.5, rel=0.05)
    assert posterior.log_evidence == pytest.approx(0, abs=0.05)
    low, _, high = posterior.quantity(lambda draws: draws[:, 0]).quantiles
    assert low < -5 < 5 < high


def apart(dim, distance, width):
    """Two normal densities, the second of weight 0.7 and `width` times as wide, that far from the first."""
    second = torch.full((dim,), distance / dim**0.5, dtype=FLOAT)

    def log_density(x):
        parts = [math.log(0.3) + Normal(0.0, 1.0).log_prob(x).sum(-1),
                 math.log(0.7) + Normal(second, width).log_prob(x).sum(-1)]  # fmt: skip
        return torch.stack(parts).logsumexp(0)

    return log_density, 0.7 * second


@pytest.mark.parametrize(
    ("dim", "distance", "width"), [(1, 80, 1.0), (4, 24, 1.0), (4, 50, 2.0), (20, 60, 1.0), (3, 16, 0.4)]
)
def test_modes_far_away_are_found_in_any_number_of_dimensions(dim, distance, width):
    log_density, mean = apart(dim, distance, width)
    posterior = fit_posterior(log_density, dim)
    assert posterior.reliable
    torch.testing.assert_close(posterior.mean, mean, rtol=0.02, atol=0)
    assert posterior.log_evidence == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_modes_of_unlike_widths_are_all_found(seed):
    """The first fit lies across all three."""
    modes = [(-10.0, 0.5, 0.2), (0.0, 2.0, 0.5), (9.0, 1.0, 0.3)]

    def log_density(x):
        return torch.stack([math.log(w) + Normal(m, s).log_prob(x[..., 0]) for m, s, w in modes]).logsumexp(0)

    posterior = fit_posterior(log_density, 1, batched=True, random_state=seed)
    assert posterior.reliable
    assert float(posterior.mean) == pytest.approx(0.7, abs=0.1)
    assert posterior.log_evidence == pytest.approx(0, abs=0.02)


def test_second_derivatives_that_are_not_numbers_are_replaced():
    """Those of torch's `logaddexp`, of numbers more than 709 apart."""

    def log_density(x):
        return torch.logaddexp(normal(x), normal(x - 50.0))

    x = torch.zeros(1, dtype=FLOAT)
    assert torch.autograd.functional.hessian(log_density, x).isnan().all()
    posterior = fit_posterior(log_density, 1)
    assert "mixture of 2 optima" in posterior.family
    assert float(posterior.mean) == pytest.approx(25, abs=0.1)
    assert posterior.log_evidence == pytest.approx(math.log(2 * (2 * math.pi) ** 0.5), abs=0.01)


def test_one_of_two_modes_alone_is_what_a_fit_without_other_starts_returns():
    """Why other starts are worth their time: k-hat can't see what no draw fell into."""
    posterior = fit_posterior(two_modes, 1, start=[9.0], n_starts=0)
    assert posterior.reliable
    assert float(posterior.mean) == pytest.approx(10, abs=0.01)
    assert posterior.log_evidence == pytest.approx(math.log(0.8), abs=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use (CUDA)")
def test_the_answer_on_a_gpu_is_that_on_the_cpu():
    def log_density(x):
        return (torch.distributions.StudentT(4.0).log_prob(x) + 0.1 * x).sum()

    here, there = fit_posterior(log_density, 3), fit_posterior(log_density, 3, device="cuda")
    assert there.draws.is_cuda
    torch.testing.assert_close(there.mean.cpu(), here.mean, rtol=1e-6, atol=1e-6)
    assert there.summary().splitlines()[:4] == here.summary().splitlines()[:4]
    assert fit_posterior(two_modes, 1, device="cuda").steps[0].family.startswith("mixture")

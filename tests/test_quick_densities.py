"""Shorter ways to a log-density give that of torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from isthmus.distributions import FixedScaleNormal, normal
from isthmus.evaluation.lean import LeanBernoulli
from isthmus.evaluation.likelihood import importance_log_likelihood
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.priors import StandardNormal


@pytest.mark.parametrize("n_features", [1, 12, 112, 113, 784])
def test_the_quick_bernoulli_is_torch_s(n_features: int):
    logits = 20 * torch.randn(50, 3, n_features)
    logits[0], logits[1], logits[2] = 80.0, -80.0, 0.0
    grey = torch.rand(3, n_features).round(decimals=1)
    wide = logits.double().requires_grad_()
    exact = Independent(Bernoulli(logits=wide, validate_args=False), 1).log_prob(grey.double())
    torch.testing.assert_close(LeanBernoulli(logits).log_prob(grey).double(), exact, rtol=1e-6, atol=1e-4)
    found = LeanBernoulli(logits.requires_grad_()).log_prob(grey)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-4)
    factor = torch.randn(50, 3)
    (slope,) = torch.autograd.grad((found * factor).sum(), logits)
    (exact_slope,) = torch.autograd.grad((exact * factor).sum(), wide)
    torch.testing.assert_close(slope.double(), exact_slope, rtol=1e-4, atol=1e-6)


def test_half_precision_is_close_to_double():
    """Same noise in all: what differs is the networks' rounding, and half precision is not just asked for."""
    encoder = Conditional(nn.Sequential(nn.Linear(64, 32), nn.Tanh()), GaussianHead(32, 4))
    decoder = Conditional(nn.Sequential(nn.Linear(4, 32), nn.Tanh()), BernoulliHead(32, 64))
    model, x = LatentVariableModel(encoder, decoder, StandardNormal(4)), torch.rand(20, 64).round()
    quick = {
        precision: importance_log_likelihood(model, x, 500, precision=precision).log_likelihood
        for precision in ("fp32", "bf16")
    }
    exact = importance_log_likelihood(model.double(), x.double(), 500).log_likelihood
    error = {precision: (estimate - exact).abs() for precision, estimate in quick.items()}
    assert error["fp32"].max() < 1e-4
    assert 1e-4 < error["bf16"].max() < 0.1
    assert (quick["bf16"] - exact).mean().abs() < 0.02
    with pytest.raises(ValueError, match="Expected precision 'fp32' or 'bf16', got 'half'"):
        importance_log_likelihood(model, x, precision="half")  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0])
def test_a_gaussian_of_fixed_scale_is_torch_s(scale: float):
    loc, x = torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True), torch.randn(5, 7, dtype=torch.float64)
    quick = FixedScaleNormal(loc, scale)
    plain = Independent(Normal(loc, torch.full_like(loc, scale)), 1)
    torch.testing.assert_close(quick.log_prob(x), plain.log_prob(x))
    gradients = [torch.autograd.grad(p.log_prob(x).sum(), loc)[0] for p in (quick, plain)]
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(quick.mean, loc, rtol=0, atol=0)
    torch.testing.assert_close(quick.stddev, plain.stddev)
    torch.testing.assert_close(quick.entropy(), plain.entropy())
    other = normal(torch.zeros_like(loc), torch.ones_like(loc))
    torch.testing.assert_close(kl_divergence(quick, other), kl_divergence(plain, other))

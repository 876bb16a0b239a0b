"""Variational EM against probabilistic PCA, whose likelihood it reaches where the decoder is linear and Gaussian."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal

from isthmus.distributions import normal
from isthmus.inference import amortisation_gap, variational_em
from isthmus.inference.draws import standard_draws
from isthmus.inference.variational_em import RowFactors, factor_bound, fit_factors
from isthmus.linear import probabilistic_pca
from isthmus.linear.covariance import Covariance


class LinearGaussian(nn.Module):
    """p(x|z) = N(W z + b, s^2 I)."""

    def __init__(self, n_components: int, n_features: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = 0.1 * torch.randn(n_features, n_components, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_features, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, z: Tensor) -> Distribution:
        mean = z @ self.weight.T + self.bias
        return normal(mean, self.log_scale.exp().expand_as(mean))


class Network(nn.Module):
    """Binary features given a code."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 5))

    def forward(self, z: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=self.net(z), validate_args=False), 1, validate_args=False)


def rows() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    codes = torch.randn(300, 2, generator=generator, dtype=torch.float64) * torch.tensor([2.0, 1.0])
    return codes @ mixing + 0.5 * torch.randn(300, 5, generator=generator, dtype=torch.float64) + 3.0


def test_a_linear_gaussian_decoder_reaches_probabilistic_pca() -> None:
    x, decoder = rows(), LinearGaussian(2, 5)
    found = variational_em(decoder, x, 2, tolerance=1e-6, max_iter=300)
    expected = probabilistic_pca(Covariance(matrix=torch.cov(x.T, correction=0)), 2)
    assert found.converged
    assert found.bounds[-1] == pytest.approx(expected.log_likelihoods[-1], abs=1e-4)
    assert float((2 * decoder.log_scale.detach()).exp()) == pytest.approx(float(expected.noise[0]), rel=0.01)
    torch.testing.assert_close(decoder.bias.detach(), x.mean(0), rtol=0.01, atol=0.01)


def test_factors_of_a_linear_gaussian_decoder_are_the_mean_field_optimum() -> None:
    """The exact posterior's mean, and one over its precisions, whatever correlations it has."""
    x, decoder = rows()[:20], LinearGaussian(2, 5)
    with torch.no_grad():
        decoder.weight.copy_(torch.randn(5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    noise = standard_draws(16, 2, torch.Generator().manual_seed(0))
    factors, bound = fit_factors(decoder, x, RowFactors.prior(20, 2, x), noise)
    weight = decoder.weight.detach()
    precision = torch.eye(2).double() + weight.T @ weight
    torch.testing.assert_close(factors.mean, torch.linalg.solve(precision, weight.T @ x.T).T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(factors.scale, precision.diagonal().rsqrt().expand(20, 2), rtol=1e-4, atol=1e-4)
    evidence = MultivariateNormal(torch.zeros(5).double(), weight @ weight.T + torch.eye(5).double()).log_prob(x)
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())  # Hadamard: what independence costs
    torch.testing.assert_close(evidence - bound, gap.expand(20), rtol=1e-4, atol=1e-5)


def test_the_bound_never_falls_whatever_the_decoder() -> None:
    generator = torch.Generator().manual_seed(2)
    x = (torch.rand(60, 5, generator=generator) < 0.4).float()
    seen: list[tuple[str, float]] = []
    found = variational_em(Network(), x, 2, max_iter=8, inner_steps=3, callback=lambda *step: seen.append(step))
    assert found.bounds == sorted(found.bounds)
    assert found.bounds[-1] > found.bounds[0] + 0.1
    assert [step for step, _ in seen] == ["E", "M"] * found.n_steps
    assert [bound for _, bound in seen] == found.bounds[1:]
    again = variational_em(Network(), x, 2, max_iter=8, inner_steps=3)
    assert again.bounds == found.bounds


def test_the_amortisation_gap_is_what_an_encoder_loses() -> None:
    x, decoder = rows()[:30], LinearGaussian(2, 5)
    noise = standard_draws(16, 2, torch.Generator().manual_seed(0))
    best, bound = fit_factors(decoder, x, RowFactors.prior(30, 2, x), noise, max_iter=500)
    assert amortisation_gap(decoder, x, best).max() < 1e-6
    off = RowFactors(best.mean + 0.5, best.scale)
    lost = bound - factor_bound(decoder, x, off, noise)
    torch.testing.assert_close(amortisation_gap(decoder, x, off), lost.detach(), rtol=1e-3, atol=1e-5)


def test_no_example_s_factor_gets_worse() -> None:
    """Where steps are few, what the sum gains some examples lose: these keep what they had."""
    x = (torch.rand(200, 5, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    decoder, noise = Network(), standard_draws(16, 2, torch.Generator().manual_seed(0), dtype=torch.float32)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4)
        start, _ = fit_factors(decoder, x, RowFactors.prior(200, 2, x), noise)
        off = RowFactors(torch.where(torch.arange(200)[:, None] < 100, start.mean, start.mean + 2), start.scale)
        before = factor_bound(decoder, x, off, noise)
    found, bound = fit_factors(decoder, x, off, noise, max_iter=1)
    assert (bound >= before).all()
    assert bound[100:].mean() > before[100:].mean()
    torch.testing.assert_close(factor_bound(decoder, x, found, noise).detach(), bound)


def test_the_best_factors_have_no_gap() -> None:
    """On the noise of a search of its own, the result of few draws would seem to gain much."""
    generator = torch.Generator().manual_seed(2)
    x = (torch.rand(40, 5, generator=generator) < 0.4).float()
    decoder = Network()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4)
    noise = standard_draws(512, 2, generator, dtype=torch.float32)
    best, _ = fit_factors(decoder, x, RowFactors.prior(40, 2, x), noise, max_iter=300)
    few = standard_draws(8, 2, torch.Generator().manual_seed(0), dtype=torch.float32)
    seeming = (fit_factors(decoder, x, best, few)[1] - factor_bound(decoder, x, best, few)).mean()
    gap = amortisation_gap(decoder, x, best).mean()
    assert gap < 0.002 < seeming / 5


@pytest.mark.parametrize(
    "arguments", [{"n_components": 0}, {"max_iter": -1}, {"inner_steps": 0}, {"tolerance": -1.0}, {"x": torch.zeros(3)}]
)
def test_what_can_t_be_is_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="Expected"):
        variational_em(**{"decoder": Network(), "x": torch.zeros(3, 5), "n_components": 2, **arguments})

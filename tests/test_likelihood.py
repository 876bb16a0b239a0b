"""Bounds and importance sampling against linear-Gaussian models, whose likelihood is known exactly."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Uniform, kl_divergence

from isthmus.distributions import Point, normal
from isthmus.evaluation.chunks import evaluating, map_rows
from isthmus.evaluation.likelihood import NoDensityError, bound, importance_log_likelihood
from isthmus.evaluation.noise import RowNoise, row_keys
from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Batch, Conditional, LatentVariableModel
from isthmus.priors import StandardNormal

F, D, N = 12, 3, 9
SCALE = 0.8  # of p(x|z)


class Decoder(nn.Module):
    """p(x|z) = N(W z, SCALE^2); counts the elements of what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(F, D, generator=torch.Generator().manual_seed(0), dtype=torch.double)
        self.register_buffer("weight", weight)
        self.largest = 0

    def forward(self, z: Tensor, condition: Tensor | None = None):
        loc = z @ self.weight.T
        if condition is not None:
            loc = loc + condition
        self.largest = max(self.largest, loc.numel())
        return normal(loc, torch.full_like(loc, SCALE))


class Encoder(nn.Module):
    """The exact posterior's mean, moved; and a diagonal covariance, widened. `exact` has the posterior itself."""

    def __init__(self, weight: Tensor, shift: float = 0.2, widen: float = 1.3, exact: bool = False) -> None:
        super().__init__()
        precision = torch.eye(D, dtype=torch.double) + weight.T @ weight / SCALE**2
        self.covariance = torch.linalg.inv(precision)
        self.linear = weight @ self.covariance / SCALE**2  # (F, D)
        self.shift, self.widen, self.exact = shift, widen, exact

    def with_hidden(self, x: Tensor, condition: Tensor | None = None):
        mean = (x - condition if condition is not None else x) @ self.linear
        if self.exact:
            return MultivariateNormal(mean, self.covariance.expand(len(x), D, D)), ()
        return normal(mean + self.shift, self.widen * self.covariance.diagonal().sqrt().expand_as(mean)), ()


def linear_gaussian(**how) -> LatentVariableModel:
    decoder = Decoder()
    return LatentVariableModel(Encoder(decoder.weight, **how), decoder, StandardNormal(D))  # type: ignore[arg-type]


def evidence(model: LatentVariableModel, x: Tensor) -> Tensor:
    weight = model.decoder.weight
    covariance = weight @ weight.T + SCALE**2 * torch.eye(F, dtype=torch.double)
    return MultivariateNormal(torch.zeros(F, dtype=torch.double), covariance).log_prob(x)


@pytest.fixture(scope="module")
def x() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(N, D, generator=generator, dtype=torch.double)
    return z @ Decoder().weight.T + SCALE * torch.randn(N, F, generator=generator, dtype=torch.double)


def test_bound_is_the_closed_form(x: Tensor):
    """E_q[log p(x|z)] of a linear-Gaussian model is known, and torch knows the KL."""
    model = linear_gaussian()
    q, _ = model.encoder.with_hidden(x)
    rate = kl_divergence(q, model.prior(Batch(x, x)))
    residual = x - q.mean @ model.decoder.weight.T
    spread = (q.variance @ model.decoder.weight.square().T).sum(-1)
    distortion = 0.5 * ((residual.square().sum(-1) + spread) / SCALE**2 + F * math.log(2 * math.pi * SCALE**2))

    result = bound(model, x, n_samples=20_000)
    torch.testing.assert_close(result.rate, rate)
    torch.testing.assert_close(result.distortion, distortion, rtol=0, atol=0.1)
    torch.testing.assert_close(result.bound, -result.distortion - result.rate)
    assert (result.bound < evidence(model, x)).all()


def test_importance_estimate_is_within_its_error(x: Tensor):
    model = linear_gaussian()
    truth = evidence(model, x)
    estimate = importance_log_likelihood(model, x, 20_000)
    scaled = (estimate.log_likelihood - truth) / estimate.standard_error
    assert scaled.abs().max() < 4
    assert estimate.standard_error.max() < 0.05
    assert (bound(model, x, 1000).bound < estimate.log_likelihood).all()


def test_monte_carlo_error_is_honest(x: Tensor):
    """Over 100 seeds the scaled errors have a standard deviation near one."""
    model = linear_gaussian()
    truth = evidence(model, x)
    scaled = torch.stack(
        [
            (estimate.log_likelihood - truth) / estimate.standard_error
            for estimate in (importance_log_likelihood(model, x, 1000, seed=seed) for seed in range(100))
        ]
    )
    assert 0.85 < scaled.std() < 1.15
    assert scaled.mean().abs() < 0.25  # the estimate's own bias is of the order 1 / k


def test_exact_posterior_needs_one_sample(x: Tensor):
    model = linear_gaussian(exact=True)
    for n_samples in (1, 7):
        estimate = importance_log_likelihood(model, x, n_samples)
        torch.testing.assert_close(estimate.log_likelihood, evidence(model, x))
        torch.testing.assert_close(estimate.effective_sample_size, torch.full_like(x[:, 0], n_samples))
    assert estimate.standard_error.max() < 1e-6


def test_rises_with_k_towards_the_evidence(x: Tensor):
    """Equal draws: k = 1, 10, 100 from 100 seeds; the differences are many times their standard errors."""
    model = linear_gaussian(shift=0.5)
    copies = 100
    means = [
        torch.stack([importance_log_likelihood(model, x, k, seed=s).log_likelihood for s in range(copies)]).mean()
        for k in (1, 10, 100)
    ]
    lower = torch.stack([bound(model, x, 1, seed=s).bound for s in range(copies)]).mean()
    assert abs(lower - means[0]) < 0.3  # both estimate the bound
    assert means[0] + 0.5 < means[1]
    assert means[1] + 0.1 < means[2] < evidence(model, x).mean()


def test_without_encoder_samples_come_from_the_prior(x: Tensor):
    model = LatentVariableModel(None, Decoder(), StandardNormal(D))  # type: ignore[arg-type]
    estimate = importance_log_likelihood(model, x, 200_000)
    assert ((estimate.log_likelihood - evidence(model, x)).abs() / estimate.standard_error).max() < 4
    assert bound(model, x).rate.eq(0).all()


def test_one_sample_is_the_bound_by_monte_carlo(x: Tensor):
    model = linear_gaussian()
    n_samples = 4000
    singles = torch.stack([importance_log_likelihood(model, x, 1, seed=s).log_likelihood for s in range(400)])
    error = singles.std(0) / 20
    assert ((singles.mean(0) - bound(model, x, n_samples).bound).abs() / error).max() < 4
    assert importance_log_likelihood(model, x, 1).standard_error.isnan().all()


@pytest.mark.parametrize("score", [bound, importance_log_likelihood])
def test_memory_is_bounded_and_chunks_change_nothing(x: Tensor, score):
    model = linear_gaussian()
    reference = score(model, x, 300)
    for max_elements in (256, 7 * 256, 20_000):
        model.decoder.largest = 0
        result = score(model, x, 300, max_elements=max_elements)
        assert model.decoder.largest <= max_elements * F // 256
        for a, b in zip(result, reference, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("score", [bound, importance_log_likelihood])
@pytest.mark.parametrize("n_samples", [1, 3, 150, 500])
def test_scores_do_not_depend_on_the_batch(score, n_samples: int):
    """Bit for bit, in float32, where products of other sizes, and the last elements of a tensor, round differently."""
    torch.manual_seed(0)
    x = torch.rand(70, 50)
    x[::2] = x[::2].round()
    model = bernoulli_model(50)
    together = score(model, x, n_samples)
    order = torch.randperm(70)
    shuffled = score(model, x[order], n_samples)
    parts = [score(model, part, n_samples) for part in (x[:1], x[1:30], x[30:])]
    for field in range(len(together)):
        if n_samples > 1 or field == 0:  # the standard error of one sample is NaN
            assert torch.equal(shuffled[field], together[field][order])
            assert torch.equal(torch.cat([part[field] for part in parts]), together[field])


def bernoulli_model(n_features: int) -> LatentVariableModel:
    encoder = Conditional(nn.Sequential(nn.Linear(n_features, 32), nn.SiLU()), GaussianHead(32, 5))
    net = nn.Sequential(nn.Linear(5, 32), nn.Dropout(0.5), nn.Sigmoid())
    return LatentVariableModel(encoder, Conditional(net, BernoulliHead(32, n_features)), StandardNormal(5))


@pytest.mark.parametrize("levels", [1, 4], ids=["binary", "grey"])
def test_bernoulli_is_torch_s(levels: int):
    """A shorter way to the same log-likelihood, or cross-entropy of grey data."""
    torch.manual_seed(0)
    x, model = (torch.rand(8, 30) * levels).round() / levels, bernoulli_model(30).eval()
    trace = model.trace(Batch(x, x), 40, RowNoise(row_keys(x)))
    logits = 20 * trace.p.base_dist.logits  # far out as well
    model.decoder.head = nn.Sequential(model.decoder.head, Scaled(20.0))
    expected = -nn.functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
    torch.testing.assert_close(bound(model, x, 40).distortion, -expected.double().mean(0), rtol=1e-6, atol=0)


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, p: Independent) -> Independent:
        return Independent(Bernoulli(logits=self.scale * p.base_dist.logits, validate_args=False), 1)


def test_condition_reaches_the_model(x: Tensor):
    model = linear_gaussian()
    shift = torch.randn(N, F, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    estimate = importance_log_likelihood(model, x + shift, 5000, condition=shift)
    assert ((estimate.log_likelihood - evidence(model, x)).abs() / estimate.standard_error).max() < 4


def test_the_model_is_left_as_it_was():
    model = bernoulli_model(6)
    model.encoder.eval()
    x = torch.rand(3, 6).round()
    assert torch.equal(bound(model, x).bound, bound(model, x).bound)  # no dropout
    assert model.decoder.training
    assert not model.encoder.training
    with evaluating(model):
        assert torch.is_inference_mode_enabled()
        assert not model.training


def test_rare_weights_do_not_overflow():
    """Far out, weights are smaller than e^-1e5 and their squares smaller still."""
    model = linear_gaussian()
    x = torch.full((2, F), 300.0, dtype=torch.double)
    estimate = importance_log_likelihood(model, x, 2000, max_elements=20 * 256)
    assert estimate.log_likelihood.isfinite().all()
    assert estimate.log_likelihood.max() < -1e5
    assert (estimate.effective_sample_size >= 1).all()


def test_samples_of_weight_zero_count():
    """x|z is uniform on [z - 1, z + 1], so p(x) = P(|z - x| < 1) / 2; far out most passes see nothing but zeros."""

    class Box(nn.Module):
        def forward(self, z: Tensor, condition: Tensor | None = None):
            return Independent(Uniform(z - 1, z + 1, validate_args=False), 1)

    model = LatentVariableModel(None, Box(), StandardNormal(1))  # type: ignore[arg-type]
    x = torch.tensor([[0.0], [1.0], [3.5], [100.0]])
    estimate = importance_log_likelihood(model, x, 20_000, max_elements=256 * 50)
    z = torch.distributions.Normal(0.0, 1.0)
    truth = ((z.cdf(x + 1) - z.cdf(x - 1)) / 2).log()[:, 0]
    assert ((estimate.log_likelihood - truth)[:3].abs() / estimate.standard_error[:3]).max() < 4
    assert estimate.log_likelihood[3] == -math.inf


def test_a_deterministic_code_is_refused(x: Tensor):
    class Code(nn.Module):
        def with_hidden(self, x: Tensor, condition: Tensor | None = None):
            return Point(x[:, :D]), ()

    for prior in (None, StandardNormal(D)):
        model = LatentVariableModel(Code(), Decoder(), prior)  # type: ignore[arg-type]
        for score in (bound, importance_log_likelihood):
            with pytest.raises(NoDensityError, match="deterministic"):
                score(model, x, 2)


@pytest.mark.parametrize(
    ("x", "n_samples", "match"),
    [
        (torch.zeros(2, 3, 4), 1, "flat"),
        (torch.zeros(2, F), 0, "at least 1"),
        (torch.zeros(0, F), 1, "rows"),
    ],
)
def test_wrong_input_is_refused(x: Tensor, n_samples: int, match: str):
    with pytest.raises(ValueError, match=match):
        bound(linear_gaussian(), x.double(), n_samples)


def test_rows_come_in_chunks_of_one_size():
    sizes = []

    def double(rows: Tensor, other: Tensor | None) -> tuple[Tensor, Tensor]:
        sizes.append(len(rows))
        assert other is None
        assert torch.is_inference_mode_enabled()
        return 2 * rows, rows.sum(-1)

    x = torch.randn(10, 3)
    doubled, summed = map_rows(double, x, None, chunk_size=4)
    assert sizes == [4, 4, 4]
    assert torch.equal(doubled, 2 * x)
    assert torch.equal(summed, x.sum(-1))
    weight = torch.ones(3, requires_grad=True)
    (doubled @ weight).sum().backward()  # not an inference tensor
    assert torch.allclose(weight.grad, 2 * x.sum(0))
    with pytest.raises(ValueError, match="rows"):
        map_rows(double, x, x[:3])

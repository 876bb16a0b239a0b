"""Gradient estimators of bounds against closed forms and quadrature, on a linear-Gaussian model."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from cases import binary, fixed_noise, vae
from isthmus.distributions import normal
from isthmus.inference import evidence_bound, importance_weighted_bound, leave_one_out, path_log_prob
from isthmus.model import Trace
from isthmus.objectives import ELBO, ImportanceWeightedBound

# p(z) = N(0, I), p(x|z) = N(W z, s^2 I). The columns of W are orthogonal, so that the posterior is diagonal.
WEIGHT = torch.tensor([[1.0, 0.5], [1.0, -0.5], [0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
WEIGHT[:, 1] -= WEIGHT[:, 0] * (WEIGHT[:, 0] @ WEIGHT[:, 1]) / (WEIGHT[:, 0] @ WEIGHT[:, 0])
NOISE = 0.7
X = torch.tensor([1.0, -0.5, 0.3, 2.0], dtype=torch.float64)
ZERO = torch.zeros(2, dtype=torch.float64)

POSTERIOR_SCALE = (1 + WEIGHT.square().sum(0) / NOISE**2) ** -0.5
POSTERIOR_MEAN = POSTERIOR_SCALE.square() * (X @ WEIGHT) / NOISE**2
MEAN, LOG_SCALE = POSTERIOR_MEAN + torch.tensor([0.3, -0.2]), POSTERIOR_SCALE.log() + torch.tensor([0.3, 0.2])

ELBO_ESTIMATORS = [("reparameterised", "none"), ("stl", "none"), ("score", "none"), ("score", "leave_one_out")]
UNBIASED = [("reparameterised", "none"), ("dreg", "none"), ("score", "none"), ("score", "leave_one_out")]
Bound = Callable[..., Tensor]


def log_joint(z: Tensor) -> Tensor:
    return normal(z @ WEIGHT.T, torch.full((4,), NOISE, dtype=torch.float64)).log_prob(X) + normal(
        ZERO, ZERO + 1
    ).log_prob(z)


def log_evidence() -> Tensor:
    covariance = WEIGHT @ WEIGHT.T + NOISE**2 * torch.eye(4).double()
    return MultivariateNormal(torch.zeros(4).double(), covariance).log_prob(X)


def gradients(bound: Bound, k: int, n: int, mean: Tensor = MEAN, log_scale: Tensor = LOG_SCALE, **options) -> Tensor:
    """The gradient to mean and log-scale of each of n repetitions, (n, 4)."""
    torch.manual_seed(0)
    parameters = [p.expand(n, 2).clone().requires_grad_() for p in (mean, log_scale)]
    q = normal(parameters[0], parameters[1].exp())
    z = q.rsample((k,))
    return torch.cat(torch.autograd.grad(bound(log_joint(z), q, z, **options).sum(), parameters), -1)


def closed_form() -> Tensor:
    """The gradient of the evidence lower bound, in closed form."""
    mean, log_scale = (p.clone().requires_grad_() for p in (MEAN, LOG_SCALE))
    variance = (2 * log_scale).exp()
    squares = (X - WEIGHT @ mean).square().sum() + (WEIGHT.square() * variance).sum()
    kl = 0.5 * (variance + mean.square() - 1).sum() - log_scale.sum()
    return torch.cat(torch.autograd.grad(-squares / (2 * NOISE**2) - kl, (mean, log_scale)))


def assert_mean(samples: Tensor, expected: Tensor) -> None:
    """Within 4 standard errors: of one wrong test in 16,000."""
    error = samples.std(0) / len(samples) ** 0.5
    assert ((samples.mean(0) - expected).abs() / error).max() < 4


@pytest.mark.parametrize(("gradient", "baseline"), ELBO_ESTIMATORS)
def test_estimators_of_the_elbo_s_gradient_are_unbiased(gradient: str, baseline: str) -> None:
    samples = gradients(evidence_bound, 4, 20_000, gradient=gradient, baseline=baseline)
    assert_mean(samples, closed_form())


@pytest.mark.parametrize("bound", [evidence_bound, importance_weighted_bound])
def test_sticking_the_landing_has_no_noise_at_the_posterior(bound: Bound) -> None:
    at = {"mean": POSTERIOR_MEAN, "log_scale": POSTERIOR_SCALE.log()}
    for gradient in ("stl", "dreg") if bound is importance_weighted_bound else ("stl",):
        assert gradients(bound, 3, 100, **at, gradient=gradient).square().max() < 1e-20
    if bound is evidence_bound:  # the other one's value is the same for any sample, and its gradient a score
        assert gradients(bound, 3, 100, **at, gradient="reparameterised").var(0).min() > 1e-3


def test_a_leave_one_out_baseline_takes_noise_away() -> None:
    for bound in (evidence_bound, importance_weighted_bound):
        plain, better = (
            gradients(bound, 4, 5000, gradient="score", baseline=baseline).var(0)
            for baseline in ("none", "leave_one_out")
        )
        assert (better < plain / 2).all()


def test_leave_one_out_is_the_mean_of_the_others() -> None:
    values = torch.randn(5, 3, dtype=torch.float64)
    expected = torch.stack([torch.cat((values[:k], values[k + 1 :])).mean(0) for k in range(5)])
    torch.testing.assert_close(leave_one_out(values), expected)
    with pytest.raises(ValueError, match="two samples or more"):
        leave_one_out(values[:1])


# --- importance-weighted bounds --------------------------------------------------------------------


def one_dimensional(alpha: float) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """A log-density that is no Gaussian, parameters of q, and the exact gradient of its bound with two samples."""

    def log_p(z: Tensor) -> Tensor:
        return (-0.5 * z.square() + torch.sin(2 * z)).squeeze(-1)

    parameters = torch.tensor([0.4, -0.3], dtype=torch.float64)
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(80))
    weights = weights / math.sqrt(2 * math.pi)
    own = parameters.clone().requires_grad_()
    q = Normal(own[0], own[1].exp())
    z = own[0] + own[1].exp() * nodes
    log_w = log_p(z[:, None]) - q.log_prob(z)
    order = 1 - alpha
    pairs = (torch.logaddexp(order * log_w[:, None], order * log_w) - math.log(2)) / order
    (exact,) = torch.autograd.grad((weights[:, None] * weights * pairs).sum(), own)
    return log_p, parameters, exact


def one_dimensional_gradients(log_p, parameters: Tensor, n: int, **options) -> Tensor:
    torch.manual_seed(1)
    own = parameters.expand(n, 2).clone().requires_grad_()
    q = normal(own[:, :1], own[:, 1:].exp())
    z = q.rsample((2,))
    return torch.autograd.grad(importance_weighted_bound(log_p(z), q, z, **options).sum(), own)[0]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("gradient", "baseline"), UNBIASED)
def test_estimators_of_the_importance_weighted_gradient_are_unbiased(
    gradient: str, baseline: str, alpha: float
) -> None:
    log_p, parameters, exact = one_dimensional(alpha)
    options = {"gradient": gradient, "baseline": baseline, "alpha": alpha}
    assert_mean(one_dimensional_gradients(log_p, parameters, 40_000, **options), exact)


def test_sticking_the_landing_is_biased_with_more_than_one_sample() -> None:
    log_p, parameters, exact = one_dimensional(0.0)
    samples = one_dimensional_gradients(log_p, parameters, 40_000, gradient="stl")
    assert ((samples.mean(0) - exact).abs() / (samples.std(0) / 200)).max() > 10


def test_signal_to_noise_rises_with_k_where_doubly_reparameterised_and_falls_where_not() -> None:
    ratios: dict[str, list[float]] = {"dreg": [], "reparameterised": []}
    for k in (2, 8, 32, 128):
        samples = {gradient: gradients(importance_weighted_bound, k, 2000, gradient=gradient) for gradient in ratios}
        signal = samples["dreg"].mean(0).abs()
        for gradient, own in samples.items():
            ratios[gradient].append(float((signal / own.std(0)).mean()))
    assert ratios["dreg"] == sorted(ratios["dreg"])
    assert ratios["reparameterised"] == sorted(ratios["reparameterised"], reverse=True)
    assert ratios["dreg"][-1] > 4 * ratios["dreg"][0]  # as the root of k: 8 times
    assert ratios["reparameterised"][-1] < ratios["reparameterised"][0] / 4


def test_the_importance_weighted_bound_rises_with_k_to_the_evidence() -> None:
    torch.manual_seed(0)
    q = normal(MEAN, LOG_SCALE.exp())
    z = q.rsample((64, 20_000))
    estimates = torch.stack([
        importance_weighted_bound(log_joint(z[:k]), q, z[:k]) for k in (1, 2, 4, 16, 64)
    ])  # fmt: skip
    steps = torch.cat((estimates, log_evidence().expand(1, 20_000))).diff(dim=0)
    assert (steps.mean(1) > 4 * steps.std(1) / 20_000**0.5).all()
    assert steps.mean(1)[-1] < 0.01


def test_one_sample_is_the_evidence_lower_bound() -> None:
    for gradient, same in (("dreg", "stl"), ("stl", "stl"), ("reparameterised", "reparameterised")):
        weighted = gradients(importance_weighted_bound, 1, 50, gradient=gradient)
        torch.testing.assert_close(weighted, gradients(evidence_bound, 1, 50, gradient=same))


def test_renyi_bounds_fall_with_alpha_and_pass_the_evidence_lower_bound_at_one() -> None:
    q = normal(MEAN, LOG_SCALE.exp())
    z = q.sample((50,))
    values = [importance_weighted_bound(log_joint(z), q, z, alpha=alpha) for alpha in (0.0, 0.5, 1 - 1e-6, 2.0)]
    assert values == sorted(values, reverse=True)
    torch.testing.assert_close(values[2], evidence_bound(log_joint(z), q, z), rtol=1e-4, atol=1e-4)


# --- objectives ------------------------------------------------------------------------------------

ROWS = torch.arange(8)
ALIKE = {
    "elbo": [ELBO(n_samples=3, kl="monte_carlo", gradient=g) for g in ("reparameterised", "stl", "score")],
    "elbo, closed form": [ELBO(n_samples=3, beta=2.0, free_bits=0.1, gradient=g) for g in ("reparameterised", "score")],
    "iwae": [ImportanceWeightedBound(3, g) for g in ("reparameterised", "stl", "dreg", "score")],
}


@pytest.mark.parametrize("name", ALIKE)
def test_estimators_differ_in_the_encoder_s_gradient_alone(name: str) -> None:
    model, batch = vae().double(), binary(8)
    batch = batch._replace(x=batch.x.double(), target=batch.target.double())
    losses, decoders, encoders = [], [], []
    for objective in ALIKE[name]:
        model.zero_grad()
        loss = objective(model, batch, fixed_noise(ROWS))
        losses.append(loss.value.detach())
        loss.total().backward()
        decoders.append(torch.cat([p.grad.flatten() for p in model.decoder.parameters()]))
        encoders.append(torch.cat([p.grad.flatten() for p in model.encoder.parameters()]))
    for other in range(1, len(losses)):
        torch.testing.assert_close(losses[other], losses[0])
        torch.testing.assert_close(decoders[other], decoders[0])
        assert not torch.allclose(encoders[other], encoders[0], rtol=1e-3)


def test_without_gradients_the_values_are_the_same() -> None:
    model, batch = vae(), binary(8)
    for objective in (
        ELBO(gradient="stl"),
        ELBO(n_samples=2, gradient="score"),
        ImportanceWeightedBound(3),
        ImportanceWeightedBound(3, "score"),
    ):
        value = objective(model, batch, fixed_noise(ROWS)).value
        with torch.no_grad():
            torch.testing.assert_close(objective(model, batch, fixed_noise(ROWS)).value, value.detach())


def test_path_log_prob_has_no_gradient_to_q_s_own_parameters() -> None:
    mean = torch.zeros(2, requires_grad=True)
    z = torch.ones(3, 2, requires_grad=True)
    value = path_log_prob(normal(mean, torch.ones(2)), z)
    torch.testing.assert_close(value, normal(mean, torch.ones(2)).log_prob(z))
    to_mean, to_z = torch.autograd.grad(value.sum(), (mean, z), allow_unused=True)
    assert to_mean is None
    torch.testing.assert_close(to_z, -torch.ones(3, 2))


def test_the_importance_weighted_objective_wants_a_latent_layer_with_a_density() -> None:
    trace = vae().trace(binary(8), 2)
    with pytest.raises(TypeError, match="latent layer"):
        ImportanceWeightedBound(2).loss(Trace(trace.batch, (), trace.p), vae())
    with pytest.raises(TypeError, match="prior"):
        ImportanceWeightedBound(2).loss(trace._replace(layers=(trace.layers[0]._replace(prior=None),)), vae())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ELBO(gradient="dreg"), "gradient"),
        (lambda: ELBO(gradient="score"), "n_samples >= 2"),
        (lambda: ELBO(gradient="stl", free_bits=0.1), "free_bits"),
        (lambda: ELBO(gradient="stl", kl="analytic"), "analytic"),
        (lambda: ImportanceWeightedBound(0), "n_samples"),
        (lambda: ImportanceWeightedBound(2, "doubly"), "gradient"),
        (lambda: ImportanceWeightedBound(1, "score"), "n_samples >= 2"),
        (lambda: ImportanceWeightedBound(2, baseline="mean"), "baseline"),
        (lambda: gradients(evidence_bound, 2, 1, gradient="dreg"), "importance_weighted_bound"),
        (lambda: gradients(importance_weighted_bound, 2, 1, gradient="other"), "dreg"),
        (lambda: gradients(importance_weighted_bound, 2, 1, alpha=1), "evidence_bound"),
    ],
)  # fmt: skip
def test_what_can_t_be_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()

"""Heads: their densities against scipy and torch, their bounds, their shapes with any projection."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from isthmus.heads import (
    LOG_SCALE_FLOOR,
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    DiscretisedLogisticHead,
    FixedGaussianHead,
    FullGaussianHead,
    GaussianHead,
    Head,
    LearnedGaussianHead,
    PointHead,
    bounded_log_scale,
)

N, F = 5, 4
HEADS: dict[str, Callable[..., Head]] = {
    "point": PointHead,
    "gaussian": GaussianHead,
    "full gaussian": FullGaussianHead,
    "fixed gaussian": FixedGaussianHead,
    "learned gaussian": LearnedGaussianHead,
    "bernoulli": BernoulliHead,
    "continuous bernoulli": ContinuousBernoulliHead,
    "discretised logistic": DiscretisedLogisticHead,
    "categorical": lambda n_features, n_outputs, **options: CategoricalHead(
        n_features, n_outputs, n_classes=3, **options
    ),
}
every_head = pytest.mark.parametrize("name", HEADS)


class Fixed(nn.Module):
    """A projection that gives the same numbers whatever the features."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = numbers

    def forward(self, features: Tensor) -> Tensor:
        return self.numbers.expand(*features.shape[:-1], -1)


@every_head
def test_any_leading_dimensions(name: str) -> None:
    head = HEADS[name](N, F)
    p = head(torch.randn(7, 3, N))
    width = 3 * F if name == "categorical" else F
    assert p.batch_shape == (7, 3)
    assert p.event_shape == (width,)
    assert p.mean.shape == (7, 3, width)
    assert p.sample((2,)).shape == (2, 7, 3, width)


@every_head
def test_half_precision_features_give_single_precision_densities(name: str) -> None:
    head = HEADS[name](N, F).bfloat16()
    assert head(torch.randn(3, N, dtype=torch.bfloat16)).mean.dtype == torch.float32
    assert head.double()(torch.randn(3, N, dtype=torch.double)).mean.dtype == torch.float64


@every_head
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_wild_features_give_finite_means_and_no_nan(name: str, size: float) -> None:
    """A row far from all data gets a large finite score where float32 can hold it, and never a NaN."""
    if name == "full gaussian" and size > 1e3:
        pytest.skip("powers of such numbers are beyond float32")
    head = HEADS[name](N, F)
    p = head(size * torch.randn(64, N))
    assert p.mean.isfinite().all()
    if name != "point":
        score = p.log_prob(torch.zeros_like(p.mean))
        assert not score.isnan().any()
        assert size > 1e3 or score.isfinite().all()


@every_head
def test_projection_can_be_replaced(name: str) -> None:
    if name == "full gaussian":
        pytest.skip("its numbers are not parameters of single outputs")
    seen = []

    def project(n_features: int, n_outputs: int) -> nn.Module:
        seen.append((n_features, n_outputs))
        return nn.Linear(n_features, n_outputs, bias=False)

    head = HEADS[name](N, F, project=project)
    assert seen == [(N, head.n_parameters * F)]
    assert head(torch.randn(3, N)).mean.shape[0] == 3


@every_head
def test_widths_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="n_features and n_outputs >= 1, got 4 and 0"):
        HEADS[name](4, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CategoricalHead(N, F, n_classes=1),
        lambda: DiscretisedLogisticHead(N, F, n_levels=1),
        lambda: FixedGaussianHead(N, F, scale=0.0),
        lambda: FixedGaussianHead(N, F, scale=math.nan),
    ],
)
def test_values_out_of_range_are_errors(wrong: Callable) -> None:
    with pytest.raises(ValueError, match="Expected"):
        wrong()


# --- densities -------------------------------------------------------------------------------------


def test_gaussian_heads_are_scipy_s_normal() -> None:
    features, x = torch.randn(3, N).double(), torch.randn(3, F).double()
    for head in (GaussianHead(N, F), LearnedGaussianHead(N, F), FixedGaussianHead(N, F, scale=0.3)):
        p = head.double()(features)
        expected = stats.norm.logpdf(x, p.mean.detach(), p.stddev.detach()).sum(-1)
        torch.testing.assert_close(p.log_prob(x).detach(), torch.from_numpy(expected))
    assert FixedGaussianHead(N, F, scale=0.3)(features.float()).stddev.unique().item() == pytest.approx(0.3)


def test_full_gaussian_head_is_scipy_s_multivariate_normal() -> None:
    p = FullGaussianHead(N, F).double()(torch.randn(3, N).double())
    x = torch.randn(3, F).double()
    for row in range(3):
        mean, covariance = p.mean[row].detach().numpy(), p.covariance_matrix[row].detach().numpy()
        expected = stats.multivariate_normal(mean, covariance).logpdf(x[row])
        assert p.log_prob(x)[row].item() == pytest.approx(expected)
    below = p.scale_tril.detach()[0].tril(-1)
    assert (below != 0).sum() == F * (F - 1) / 2
    assert torch.equal(p.scale_tril.triu(1), torch.zeros(3, F, F).double())
    assert (p.scale_tril.diagonal(dim1=-2, dim2=-1) > 0).all()


def test_full_gaussian_head_of_one_dimension() -> None:
    assert FullGaussianHead(N, 1)(torch.randn(3, N)).covariance_matrix.shape == (3, 1, 1)


def test_bernoulli_head_is_the_cross_entropy() -> None:
    head, features, x = BernoulliHead(N, F), torch.randn(3, N), torch.rand(3, F)
    expected = -nn.functional.binary_cross_entropy_with_logits(head.project(features), x, reduction="none").sum(-1)
    torch.testing.assert_close(head(features).log_prob(x), expected)


def test_categorical_head_is_the_cross_entropy() -> None:
    head, features = CategoricalHead(N, 1, n_classes=3), torch.randn(6, N)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    expected = -nn.functional.cross_entropy(head.project(features), labels, reduction="none")
    torch.testing.assert_close(head(features).log_prob(nn.functional.one_hot(labels, 3).float()), expected)


def test_categorical_head_keeps_variables_apart() -> None:
    """Parameter by parameter in, variable by variable out."""
    logits = torch.tensor([[9.0, 0.0], [0.0, 0.0], [0.0, 9.0]])  # (classes, variables)
    head = CategoricalHead(N, 2, n_classes=3, project=lambda *_: Fixed(logits.flatten()))
    assert head(torch.zeros(1, N)).mean.round().tolist() == [[1, 0, 0, 0, 0, 1]]


def test_parameters_come_one_after_the_other() -> None:
    numbers = torch.tensor([1.0, 2.0, 0.5, -0.5])  # means, then log-scales
    p = GaussianHead(N, 2, project=lambda *_: Fixed(numbers))(torch.zeros(1, N))
    assert p.mean.tolist() == [[1.0, 2.0]]
    torch.testing.assert_close(p.stddev.log()[0], torch.tensor([0.5, -0.5]), rtol=0, atol=2e-3)


# --- bounds ----------------------------------------------------------------------------------------


def test_scales_stay_above_the_floor_and_below_infinity_with_gradients_that_never_vanish() -> None:
    log_scale = torch.tensor([-50.0, -8.0, -7.0, 0.0, 5.0, 1e6], requires_grad=True)
    bounded = bounded_log_scale(log_scale)
    assert (bounded.detach() >= LOG_SCALE_FLOOR).all()
    assert bounded.exp().isfinite().all()
    torch.testing.assert_close(bounded[3:5], log_scale[3:5], rtol=0, atol=1e-3)
    (gradient,) = torch.autograd.grad(bounded.sum(), log_scale)
    assert (gradient[:5] > 0).all()


def test_a_constant_column_is_worth_a_finite_density() -> None:
    numbers = torch.tensor([0.0, -1e4])
    p = GaussianHead(N, 1, project=lambda *_: Fixed(numbers))(torch.zeros(1, N))
    assert p.log_prob(torch.zeros(1, 1)).item() == pytest.approx(-LOG_SCALE_FLOOR - 0.5 * math.log(2 * math.pi))


def test_a_constant_pixel_costs_nothing_and_never_less() -> None:
    numbers = torch.tensor([0.2 - 0.5, -1e4])  # the mean of level 51, as narrow as may be
    p = DiscretisedLogisticHead(N, 1, project=lambda *_: Fixed(numbers))(torch.zeros(1, N))
    cost = -p.log_prob(torch.tensor([[51 / 255]])).item()
    assert 0 <= cost < 1e-6
    assert -p.log_prob(torch.tensor([[52 / 255]])).item() == pytest.approx(32, abs=0.1)  # wrong by a level, finite


def test_point_head_applies_its_activation() -> None:
    code = PointHead(N, F, activation=torch.sigmoid)(100 * torch.randn(20, N)).mean
    assert code.min() >= 0
    assert code.max() <= 1

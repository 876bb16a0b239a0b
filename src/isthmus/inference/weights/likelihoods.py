"""Likelihoods of a network's outputs: Gaussian with constant noise, with noise that depends on the input, classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Classes", "ConstantNoise", "InputNoise", "OutputLikelihood"]

LOG_SCALE_FLOOR = -7.0  # of noise, in the model's units, so that no density grows without bound


class OutputLikelihood(Protocol):
    """p(y | outputs, noise) for M networks at once; noise holds the logarithms of scales that no input decides."""

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""
        ...

    @property
    def n_noise(self) -> int:
        """Log-scales beside the weights."""
        ...

    def log_likelihood(self, outputs: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
        """Nats of each row, (M, n), from outputs (M, n, n_outputs), targets (n, ...) and noise (M, n_noise)."""
        ...

    def expected(self, mean: Tensor, variance: Tensor, targets: Tensor, noise: Tensor) -> Tensor | None:
        """Expectation of it under independent Gaussian outputs; None where there is no closed form."""
        ...

    def curvature(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """Fisher information of the outputs, (..., n, n_outputs, n_outputs)."""
        ...


@dataclass(frozen=True)
class ConstantNoise:
    r"""Gaussian targets with one standard deviation each, the same for all rows, :math:`y \sim N(f(x), \sigma^2)`.

    Args:
        n_targets: columns of y.
    """

    n_targets: int

    @property
    def n_outputs(self) -> int:
        """One mean for each target."""
        return self.n_targets

    @property
    def n_noise(self) -> int:
        """One log-scale for each target."""
        return self.n_targets

    def log_likelihood(self, outputs: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        return self._of_squares((targets - outputs).square(), noise)

    def expected(self, mean: Tensor, variance: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        return self._of_squares((targets - mean).square() + variance, noise)

    def _of_squares(self, squares: Tensor, noise: Tensor) -> Tensor:
        return _gaussian(squares, noise.clamp(min=LOG_SCALE_FLOOR).unsqueeze(-2)).sum(-1)

    def curvature(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        return torch.diag_embed(torch.exp(-2 * noise).unsqueeze(-2).expand_as(outputs))


@dataclass(frozen=True)
class InputNoise:
    r"""Gaussian targets whose standard deviation is an output too, :math:`y \sim N(f(x), g(x)^2)`.

    Args:
        n_targets: columns of y.
    """

    n_targets: int

    @property
    def n_outputs(self) -> int:
        """A mean and a log-scale for each target."""
        return 2 * self.n_targets

    @property
    def n_noise(self) -> int:
        """None: all scales are outputs."""
        return 0

    def log_likelihood(self, outputs: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        mean, log_scale = self.split(outputs)
        return _gaussian((targets - mean).square(), log_scale).sum(-1)

    def evened(self, outputs: Tensor, targets: Tensor, beta: float | Tensor) -> Tensor:
        r"""Nats of each row, weighted by :math:`\sigma^{2\beta}` over its mean, so that noisy rows teach means too.

        Under the likelihood itself, beta = 0, a row whose mean is not learned yet is taken for a noisy one, which then
        hardly counts, and never is learned. Under beta = 1 all rows count alike for the means. No gradient goes through
        the weights.

        References:
            Seitzer et al. (2022). On the pitfalls of heteroscedastic uncertainty estimation with probabilistic neural
            networks. ICLR.
        """
        mean, log_scale = self.split(outputs)
        weight = torch.exp(2 * beta * log_scale.detach())
        return (weight / weight.mean(-2, keepdim=True) * _gaussian((targets - mean).square(), log_scale)).sum(-1)

    def expected(self, mean: Tensor, variance: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`; a log-normal mean of the precision."""
        loc, log_scale = self.split(mean)
        of_loc, of_scale = variance.chunk(2, -1)
        squares = ((targets - loc).square() + of_loc) * torch.exp(2 * of_scale)
        return _gaussian(squares, log_scale).sum(-1)

    def curvature(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        _, log_scale = self.split(outputs)
        return torch.diag_embed(torch.cat((torch.exp(-2 * log_scale), torch.full_like(log_scale, 2.0)), -1))

    def split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-scales, which have a floor."""
        mean, log_scale = outputs.chunk(2, -1)
        return mean, log_scale.clamp(LOG_SCALE_FLOOR, -LOG_SCALE_FLOOR)


@dataclass(frozen=True)
class Classes:
    r"""One of several classes, :math:`p(y|x) = \mathrm{softmax}(f(x))`; targets are one-hot, (n, n_classes).

    Args:
        n_classes: at least 2.
    """

    n_classes: int

    @property
    def n_outputs(self) -> int:
        """One logit for each class."""
        return self.n_classes

    @property
    def n_noise(self) -> int:
        """None."""
        return 0

    def log_likelihood(self, outputs: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        return (targets * outputs.log_softmax(-1)).sum(-1)

    def expected(self, mean: Tensor, variance: Tensor, targets: Tensor, noise: Tensor) -> None:
        """There is no closed form."""
        return

    def curvature(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """See `OutputLikelihood`."""
        p = outputs.softmax(-1)
        return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)


def _gaussian(squares: Tensor, log_scale: Tensor) -> Tensor:
    """Log-density from squared differences."""
    return -0.5 * torch.exp(-2 * log_scale) * squares - (log_scale + 0.5 * math.log(2 * math.pi))

"""Likelihoods that torch.distributions lacks: stored pixels, grey pixels and one-hot tables."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

__all__ = ["ContinuousBernoulli", "DiscretisedLogistic", "OneHotGroups", "log_prob_per_dimension"]


def log_prob_per_dimension(p: Distribution, value: Tensor) -> Tensor:
    r"""Log-density of each dimension, :math:`\log p_j(x_j)`, of a distribution of independent dimensions.

    Use it where dimensions count differently, see `isthmus.model.Batch.feature_weight`.

    Args:
        p: `Independent` over the last dimension, as heads of pixels and of diagonal Gaussians give it.
        value: where, (..., F).

    Returns:
        Nats, (..., F); their sum over F is `p.log_prob(value)`.

    Raises:
        TypeError: another distribution, whose log-density is no sum over single dimensions.

    Example:
        >>> p = Independent(torch.distributions.Bernoulli(logits=torch.zeros(2)), 1)
        >>> log_prob_per_dimension(p, torch.ones(2))
        tensor([-0.6931, -0.6931])
    """
    if isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1:
        return p.base_dist.log_prob(value)
    raise TypeError(
        f"Expected a likelihood of independent dimensions, got {type(p).__name__}, which has no density of each; "
        "use a Bernoulli, Gaussian or logistic one, or weigh all features alike."
    )


class DiscretisedLogistic(Distribution):
    r"""A logistic distribution rounded to levels 0, 1/(n-1), ..., 1; the tails belong to the outermost levels.

    .. math:: P(x) = \sigma((x + w/2 - \mu)/s) - \sigma((x - w/2 - \mu)/s),\quad w = 1/(n-1)

    Use it for pixels as they are stored, 8 bits as multiples of 1/255: a probability of levels, so its negative
    logarithm is the length of a lossless code. The probabilities sum to one by construction.

    Args:
        loc: centre, (..., F).
        log_scale: logarithm of s, (..., F).
        n_levels: number of levels, 256 for 8 bits.

    References:
        Salimans, Karpathy, Chen and Kingma (2017). PixelCNN++. ICLR, eq. 2.

    Example:
        >>> p = DiscretisedLogistic(torch.tensor(0.3), torch.tensor(-2.0), n_levels=16)
        >>> float(p.log_prob(torch.arange(16) / 15).exp().sum().round(decimals=5))
        1.0
    """

    arg_constraints = {"loc": constraints.real, "log_scale": constraints.real}
    support = constraints.unit_interval

    def __init__(self, loc: Tensor, log_scale: Tensor, n_levels: int = 256) -> None:
        self.loc, self.log_scale = torch.broadcast_tensors(loc, log_scale)
        self.n_levels = n_levels
        super().__init__(self.loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The exact mean, from the probabilities of exceeding each border between levels: n_levels - 1 evaluations."""
        steps, precision = self.n_levels - 1, (-self.log_scale).exp()
        total = torch.zeros_like(self.loc)
        for level in range(steps):  # one border at a time: all at once would take n_levels times the memory
            total = total + torch.sigmoid((self.loc - (level + 0.5) / steps) * precision)
        return total / steps

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of the level nearest to each value, nats."""
        steps, precision = self.n_levels - 1, (-self.log_scale).exp()
        level = (value * steps).round()
        above = F.logsigmoid(((level + 0.5) / steps - self.loc) * precision)  # log P(below the upper border)
        below = F.logsigmoid((self.loc - (level - 0.5) / steps) * precision)  # log P(above the lower border)
        # sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - exp(a - b)): no difference of nearly equal numbers, and
        # b - a does not depend on x, so value and gradient stay finite however far out x is.
        inside = above + below + torch.log(-torch.expm1(-precision / steps))
        return torch.where(level <= 0, above, torch.where(level >= steps, below, inside))

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Levels, without gradient."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            tiny = torch.finfo(self.loc.dtype).tiny
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(min=tiny)
            x = self.loc + self.log_scale.exp() * (uniform.log() - torch.log1p(-uniform))
            return (x.clamp(0, 1) * (self.n_levels - 1)).round() / (self.n_levels - 1)


class ContinuousBernoulli(Distribution):
    r"""A density on [0, 1] with the Bernoulli's parameters, :math:`p(x) = \exp(\eta x) / \int_0^1 \exp(\eta t) dt`.

    Use it for grey pixels in [0, 1]: scored with a Bernoulli they give no bound on any density. Unlike torch's own,
    values and gradients are accurate at every logit (torch's stay constant beyond logit 15 and lose three digits
    near 0 in float32).

    Args:
        logits: eta, (..., F).

    References:
        Loaiza-Ganem and Cunningham (2019). The continuous Bernoulli: fixing a pervasive error in variational
        autoencoders. NeurIPS, eqs. 4 to 8.

    Example:
        >>> ContinuousBernoulli(torch.tensor([0.0, 100.0])).mean
        tensor([0.5000, 0.9900])
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """1 / (1 - exp(-eta)) - 1 / eta, the derivative of the log-normaliser."""
        small, safe = self._split()
        square = self.logits.square()
        series = self.logits * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)))
        closed = safe.sign() * (0.5 / torch.tanh(safe.abs() / 2) - 1 / safe.abs())
        return 0.5 + torch.where(small, series, closed)

    @property
    def log_normaliser(self) -> Tensor:
        r""":math:`\log \int_0^1 \exp(\eta t) dt`."""
        small, safe = self._split()
        square = self.logits.square()
        series = self.logits / 2 + square * (
            1 / 24 - square * (1 / 2880 - square * (1 / 181440 - square * (1 / 9676800 - square / 479001600)))
        )
        size = safe.abs()
        closed = safe.clamp(min=0) + torch.log(-torch.expm1(-size)) - size.log()
        return torch.where(small, series, closed)

    def _split(self) -> tuple[Tensor, Tensor]:
        """Where eta is small, so that the closed forms cancel and the series are exact; an eta safe for the former."""
        small = self.logits.abs() < 0.3
        return small, torch.where(small, 1.0, self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        return self.logits * value - self.log_normaliser

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Draws by inversion of the distribution function, without gradient."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
            size = self.logits.abs().clamp(min=1e-6)  # at 0 the draw is the uniform itself
            x = -torch.log1p(uniform * torch.expm1(-size)) / size
            return torch.where(self.logits < 0, x, 1 - x).clamp(0, 1)


class OneHotGroups(Distribution):
    """Independent categorical variables, each one-hot, side by side in one flat event of shape (G * C,).

    The mean is the probabilities, in the shape of the data. A group of zeros, a missing value, counts nothing; a soft
    target gives the cross-entropy.

    Args:
        logits: one row a group, (..., G, C).

    Example:
        >>> OneHotGroups(torch.zeros(2, 4)).log_prob(torch.eye(4)[[0, 3]].flatten())  # -2 log 4
        tensor(-2.7726)
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 2)}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        n_groups, n_classes = logits.shape[-2:]
        super().__init__(logits.shape[:-2], torch.Size((n_groups * n_classes,)), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Probabilities of the classes, (..., G * C)."""
        return self.logits.softmax(-1).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of one-hot values, (...), nats."""
        return (value * self.logits.log_softmax(-1).flatten(-2)).sum(-1)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """One-hot draws, without gradient."""
        with torch.no_grad():
            one_hot = torch.distributions.OneHotCategorical(logits=self.logits, validate_args=False)
            return one_hot.sample(torch.Size(sample_shape)).flatten(-2)

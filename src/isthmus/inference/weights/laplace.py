"""Laplace's approximation of the posterior over weights, linearised, with its marginal likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from .likelihoods import ConstantNoise, OutputLikelihood
from .network import Network

__all__ = ["Curved", "Evidence", "Linearised", "curvatures", "evidence", "jacobian", "last_mode", "linearised"]

CHUNK = 256  # rows whose Jacobians are in memory at a time
LOG_RANGE = (-8.0, 12.0)  # of precisions: beyond it a group of weights is free, or zero


def jacobian(network: Network, vector: Tensor, x: Tensor) -> Tensor:
    """Derivatives of the outputs by the weights.

    Args:
        network: the architecture.
        vector: weights, (P,).
        x: rows, (n, inputs).

    Returns:
        (n, outputs, P).
    """
    return vmap(jacrev(lambda weights, row: network(weights, row.unsqueeze(0))[0]), (None, 0))(vector, x)


def _last_jacobian(network: Network, vector: Tensor, x: Tensor) -> Tensor:
    """The same by the weights of the last layer alone, (n, outputs, n_last)."""
    features, n_outputs = network.features(vector, x), network.widths[-1]
    identity = torch.eye(n_outputs, dtype=x.dtype, device=x.device)
    return (features[:, None, :, None] * identity[:, None, :]).reshape(len(x), n_outputs, -1)


def curvatures(
    network: Network, likelihood: OutputLikelihood, vector: Tensor, noise: Tensor, x: Tensor, last_layer: bool = False,
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    r"""Generalised Gauss-Newton matrices of minus the log-likelihood, :math:`\sum_i v_i J_i^T \Lambda_i J_i`.

    Args:
        network: the architecture.
        likelihood: of its outputs.
        vector: weights, (P,).
        noise: log-scales, (n_noise,).
        x: rows, (n, inputs), read in chunks.
        last_layer: by its weights alone, D of them; else D is P.
        weight: v, how much each row counts, (n,); None counts all once.

    Returns:
        (1, D, D) in float64; with constant noise one for each target, (n_targets, D, D), for a noise of one.
    """
    size = network.n_last if last_layer else network.n_parameters
    separate = isinstance(likelihood, ConstantNoise)
    total = torch.zeros(likelihood.n_noise if separate else 1, size, size, dtype=torch.float64, device=x.device)
    roots = None if weight is None else weight.double().sqrt()
    for index in torch.arange(len(x), device=x.device).split(CHUNK):
        rows = x[index]
        J = (_last_jacobian if last_layer else jacobian)(network, vector, rows).double()
        if roots is not None:
            J = J * roots[index, None, None]
        if separate:
            total += J.permute(1, 2, 0) @ J.transpose(0, 1)
        else:
            information = likelihood.curvature(network(vector, rows).double(), noise.double())
            total[0] += torch.einsum("noi,noj->ij", J, information @ J)
    return total


class Evidence(NamedTuple):
    """What a curvature and a prior make together."""

    log_evidence: Tensor
    covariance: Tensor  # (D, D)


def evidence(curvature: Tensor, precision: Tensor, weights: Tensor, log_likelihood: Tensor) -> Evidence:
    r"""Laplace's marginal likelihood and the posterior's covariance.

    .. math:: \log p(y) \approx \log p(y|w) - \frac12 \sum_j \alpha_j w_j^2 + \frac12 \sum_j \log \alpha_j
        - \frac12 \log |H + \mathrm{diag}(\alpha)|

    Exact where the outputs are linear in the weights, the noise is Gaussian and w is the mode.

    Args:
        curvature: H, (D, D).
        precision: alpha, (D,).
        weights: w, (D,).
        log_likelihood: at w, in nats.

    Returns:
        Nats, and the covariance (D, D).
    """
    factor = torch.linalg.cholesky(curvature + torch.diag(precision))
    value = log_likelihood - 0.5 * (precision * weights.square() - precision.log()).sum()
    return Evidence(value - factor.diagonal().log().sum(), torch.cholesky_inverse(factor))


def last_mode(
    network: Network, vector: Tensor, noise: Tensor, precision: Tensor, x: Tensor, y: Tensor, weight: Tensor | None
) -> Tensor:
    """The last layer's most probable weights given the others: regression on the features, solved exactly.

    Args:
        network: the architecture.
        vector: all weights, (P,).
        noise: log-scales of constant noise, (k,).
        precision: of the prior of the last layer's weights, (n_last,).
        x: rows, (n, inputs).
        y: targets, (n, k).
        weight: how much each row counts, (n,), or None.

    Returns:
        (n_last,), as `vector` has them at its end.
    """
    features = network.features(vector, x).double()
    weighted, weights = features.T if weight is None else features.T * weight.double(), []
    for k, prior in enumerate(precision.double().reshape(-1, y.shape[1]).T):
        information = torch.exp(-2 * noise[k].double())
        matrix = information * weighted @ features + torch.diag(prior)
        weights.append(torch.linalg.solve(matrix, information * weighted @ y[:, k].double()))
    return torch.stack(weights, 1).flatten().to(vector)


class Curved:
    """One network at the mode of its weights, its curvature, and what follows from precisions and noise.

    Args:
        network: the architecture.
        likelihood: of its outputs.
        vector: weights, (P,).
        x: rows, (n, inputs).
        y: targets, (n, ...).
        weight: how much each row counts, (n,), or None.
        groups: of weights that share a precision, (P,).
        last_layer: posterior of its weights alone.
    """

    def __init__(
        self, network: Network, likelihood: OutputLikelihood, vector: Tensor, x: Tensor, y: Tensor,
        weight: Tensor | None, groups: Tensor, last_layer: bool = False,
    ) -> None:  # fmt: skip
        size = network.n_last if last_layer else network.n_parameters
        self.likelihood, self.y = likelihood, y.double()
        self.counts = torch.ones_like(self.y[:, 0]) if weight is None else weight.double()
        self.outputs = network(vector, x).double()
        self.weights, self.groups = vector[-size:].double(), groups[-size:]
        # Other curvatures than those of constant noise need no noise at all.
        noise = vector.new_zeros(likelihood.n_noise)
        self.matrices = curvatures(network, likelihood, vector, noise, x, last_layer, weight)

    def _scaled(self, noise: Tensor) -> Tensor:
        """The curvatures with their noise."""
        if not self.likelihood.n_noise:
            return self.matrices
        return torch.exp(-2 * noise.double())[:, None, None] * self.matrices

    def evidence(self, log_precision: Tensor, noise: Tensor) -> Evidence:
        """Under precisions of groups (n_groups,) and log-scales (n_noise,)."""
        fit = (self.counts * self.likelihood.log_likelihood(self.outputs, self.y, noise.double())).sum()
        return evidence(self._scaled(noise).sum(0), log_precision.double().exp()[self.groups], self.weights, fit)

    def updated(self, covariance: Tensor, log_precision: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Precisions and noise from the covariance under the present ones: one step of a fixed point.

        Precisions are MacKay's; noise is that of EM, with the same fixed point. MacKay's, errors over the rows that the
        weights have not used, swings where they use nearly all of them, as the errors lag behind the precisions.
        """
        matrices, precision = self._scaled(noise), log_precision.double().exp()
        sums = torch.zeros(3, len(precision), dtype=torch.float64, device=precision.device)
        per_weight = torch.stack((torch.ones_like(self.weights), covariance.diagonal(), self.weights.square()))
        count, variances, squares = sums.index_add(1, self.groups, per_weight)
        determined = (count - precision * variances).clamp(min=0)
        found = torch.log((determined + 1e-3) / (squares + 1e-6)).clamp(*LOG_RANGE).to(log_precision)
        found = torch.where(count > 0, found, log_precision)  # layers that have no posterior keep theirs
        if not self.likelihood.n_noise:
            return found, noise
        used = (matrices * covariance).sum((1, 2))
        errors = (self.counts.unsqueeze(1) * (self.y - self.outputs).square()).sum(0)
        explained = torch.exp(2 * noise.double()) * used  # variance of the outputs at the rows, added up
        scales = 0.5 * torch.log((errors + explained) / self.counts.sum()).clamp(min=-12)
        return found, scales.to(noise)


class Linearised(NamedTuple):
    """Gaussian outputs of M networks.

    Attributes:
        mean: (M, n, outputs).
        covariance: (M, n, outputs, outputs), of the weights' uncertainty, without noise.
    """

    mean: Tensor
    covariance: Tensor


def linearised(network: Network, vectors: Tensor, covariances: Tensor, x: Tensor) -> Linearised:
    r"""Outputs as linear functions of the weights around their mode: :math:`N(f(x), J \Sigma J^T)`.

    Args:
        network: the architecture.
        vectors: modes, (M, P).
        covariances: of all weights, or of the last layer's, (M, D, D).
        x: rows, (n, inputs).

    Returns:
        Means and covariances, in float64.

    References:
        Immer, Korzepa, Bauer (2021). Improving predictions of Bayesian neural nets via local linearization. AISTATS.
    """
    last, means, found = covariances.shape[-1] < network.n_parameters, [], []
    for vector, covariance in zip(vectors, covariances, strict=True):
        means.append(network(vector, x).double())
        if last:  # the Jacobian has a block for each output: it is not formed
            features = network.features(vector, x).double()
            width, n_outputs = features.shape[1], network.widths[-1]
            blocks = covariance.reshape(width, n_outputs, width, n_outputs)
            found.append(torch.einsum("ni,iojp,nj->nop", features, blocks, features))
        else:
            chunks = (jacobian(network, vector, rows).double() for rows in x.split(CHUNK))
            found.append(torch.cat([J @ covariance @ J.transpose(-1, -2) for J in chunks]))
    return Linearised(torch.stack(means), torch.stack(found))

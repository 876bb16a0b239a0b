"""Laplace's approximation of the posterior over weights, linearised, with its marginal likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from .descend import train_networks
from .likelihoods import ConstantNoise, OutputLikelihood
from .network import Network

__all__ = ["LaplaceFit", "Linearised", "curvatures", "evidence", "fit_laplace", "jacobian", "linearised"]

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
    network: Network, likelihood: OutputLikelihood, vector: Tensor, noise: Tensor, x: Tensor, last_layer: bool = False
) -> Tensor:
    r"""Generalised Gauss-Newton matrices of minus the log-likelihood, :math:`\sum_i J_i^T \Lambda_i J_i`, in float64.

    Args:
        network: the architecture.
        likelihood: of its outputs.
        vector: weights, (P,).
        noise: log-scales, (n_noise,).
        x: rows, (n, inputs), read in chunks.
        last_layer: by its weights alone, D of them; else D is P.

    Returns:
        (1, D, D); with constant noise one for each target, (n_targets, D, D), for a noise of one.
    """
    size = network.n_last if last_layer else network.n_parameters
    separate = isinstance(likelihood, ConstantNoise)
    total = torch.zeros(likelihood.n_noise if separate else 1, size, size, dtype=torch.float64, device=x.device)
    for rows in x.split(CHUNK):
        J = (_last_jacobian if last_layer else jacobian)(network, vector, rows).double()
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


class LaplaceFit(NamedTuple):
    """M networks with their posteriors.

    Attributes:
        vectors: most probable weights, (M, P).
        noise: log-scales, (M, n_noise).
        log_precision: of each group of weights, (M, n_groups).
        covariances: of the weights, (M, D, D) float64.
        log_evidence: nats, (M,).
        history: mean log evidence after each round.
    """

    vectors: Tensor
    noise: Tensor
    log_precision: Tensor
    covariances: Tensor
    log_evidence: Tensor
    history: list[float]


def fit_laplace(
    network: Network,
    likelihood: OutputLikelihood,
    x: Tensor,
    y: Tensor,
    *,
    generator: torch.Generator,
    n_networks: int = 1,
    n_steps: int = 2500,
    n_rounds: int = 20,
    learning_rate: float = 0.02,
    batch_size: int = 2048,
    each_input: bool = True,
    last_layer: bool = False,
    precision: float | None = None,
    noise: float | None = None,
) -> LaplaceFit:
    """Train networks, and while that goes on raise their marginal likelihood over prior precisions and noise.

    A round trains, takes the curvature, and updates precisions and noise by MacKay's fixed point: a group's precision
    is its number of well-determined weights over their squares. The last fifth of all steps trains with these fixed.

    Args:
        network: the architecture.
        likelihood: of its outputs.
        x: rows, (n, inputs), standardised.
        y: targets, (n, ...), standardised.
        generator: of first weights and the order of rows.
        n_networks: M, from different weights.
        n_steps: of training, in all.
        n_rounds: updates of precisions and noise.
        learning_rate: of Adam.
        batch_size: rows a step.
        each_input: a precision for the weights of each input, see `Network.groups`.
        last_layer: posterior of its weights alone; precisions of the others stay 1.
        precision: of all weights, fixed; None finds it.
        noise: standard deviation in the units of y, fixed; None finds it.

    Returns:
        The networks and their posteriors.

    References:
        MacKay (1992). A practical Bayesian framework for backpropagation networks. Neural Computation 4.
        Immer et al. (2021). Scalable marginal likelihood estimation for model selection in deep learning. ICML.

    Example:
        >>> x = torch.linspace(-1, 1, 30)[:, None]
        >>> generator = torch.Generator().manual_seed(0)
        >>> fit = fit_laplace(Network((1, 1)), ConstantNoise(1), x, 2 * x, generator=generator, n_steps=200)
        >>> round(float(fit.vectors[0, 0]), 2), fit.covariances.shape
        (2.0, torch.Size([1, 2, 2]))
    """
    groups = network.groups(each_input).to(x.device)
    size = network.n_last if last_layer else network.n_parameters
    vectors = network.initial(n_networks, generator).to(x)
    scales = x.new_full((n_networks, likelihood.n_noise), 0.3 if noise is None else noise).log()
    logs = x.new_full((n_networks, int(groups.max()) + 1), 1.0 if precision is None else precision).log()
    free = precision is None or (noise is None and likelihood.n_noise > 0)
    rounds = n_rounds if free else 0
    each = int(0.8 * n_steps) // rounds if rounds else 0
    history: list[float] = []
    for i in range(rounds + 1):
        final = i == rounds
        vectors, _, _ = train_networks(
            network, likelihood, x, y, vectors, scales, logs.exp()[:, groups], generator=generator,
            n_steps=n_steps - rounds * each if final else each, learning_rate=learning_rate / (2 if final else 1),
            batch_size=batch_size, learn_noise=False,
        )  # fmt: skip
        found = []
        for m in range(n_networks):
            if final and last_layer and isinstance(likelihood, ConstantNoise):
                vectors[m, -size:] = _last_mode(network, vectors[m], scales[m], logs[m].exp()[groups[-size:]], x, y)
            state = _State(network, likelihood, x, y, vectors[m], groups, size, last_layer)
            found.append(state.evidence(logs[m], scales[m]))
            if not final:
                new_logs, new_scales = state.updated(found[-1].covariance, logs[m], scales[m])
                logs[m] = new_logs if precision is None else logs[m]
                scales[m] = new_scales if noise is None else scales[m]
        history.append(float(torch.stack([each.log_evidence for each in found]).mean()))
    covariances = torch.stack([each.covariance for each in found])
    return LaplaceFit(vectors, scales, logs, covariances, torch.stack([each.log_evidence for each in found]), history)


def _last_mode(network: Network, vector: Tensor, scales: Tensor, precision: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The last layer's most probable weights given the others: regression on the features, solved exactly."""
    features = network.features(vector, x).double()
    weights = []
    for k, prior in enumerate(precision.double().reshape(-1, y.shape[1]).T):
        information = torch.exp(-2 * scales[k].double())
        matrix = information * features.T @ features + torch.diag(prior)
        weights.append(torch.linalg.solve(matrix, information * features.T @ y[:, k].double()))
    return torch.stack(weights, 1).flatten().to(vector)


class _State:
    """One network, its curvature, and what follows from precisions and noise."""

    def __init__(
        self, network: Network, likelihood: OutputLikelihood, x: Tensor, y: Tensor, vector: Tensor, groups: Tensor,
        size: int, last_layer: bool,
    ) -> None:  # fmt: skip
        self.likelihood, self.y = likelihood, y.double()
        self.outputs = network(vector, x).double()
        self.weights, self.groups = vector[-size:].double(), groups[-size:]
        # Other curvatures than those of constant noise need no noise at all.
        self.matrices = curvatures(network, likelihood, vector, vector.new_zeros(likelihood.n_noise), x, last_layer)

    def _scaled(self, scales: Tensor) -> Tensor:
        """The curvatures with their noise."""
        if not self.likelihood.n_noise:
            return self.matrices
        return torch.exp(-2 * scales.double())[:, None, None] * self.matrices

    def evidence(self, logs: Tensor, scales: Tensor) -> Evidence:
        fit = self.likelihood.log_likelihood(self.outputs, self.y, scales.double()).sum()
        return evidence(self._scaled(scales).sum(0), logs.double().exp()[self.groups], self.weights, fit)

    def updated(self, covariance: Tensor, logs: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """MacKay's fixed point, one step: precisions and noise from the covariance under the present ones."""
        matrices, precision = self._scaled(scales), logs.double().exp()
        sums = torch.zeros(3, len(logs), dtype=torch.float64, device=logs.device)
        per_weight = torch.stack((torch.ones_like(self.weights), covariance.diagonal(), self.weights.square()))
        count, variances, squares = sums.index_add(1, self.groups, per_weight)
        determined = (count - precision * variances).clamp(min=0)
        found = torch.log((determined + 1e-3) / (squares + 1e-6)).clamp(*LOG_RANGE).to(logs)
        found = torch.where(count > 0, found, logs)  # layers that have no posterior keep theirs
        if not self.likelihood.n_noise:
            return found, scales
        used = (matrices * covariance).sum((1, 2))
        errors = (self.y - self.outputs).square().sum(0)
        noise = 0.5 * torch.log(errors / (len(self.y) - used).clamp(min=1)).clamp(min=-12)
        return found, noise.to(scales)


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

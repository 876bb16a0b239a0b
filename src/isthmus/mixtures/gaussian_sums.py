"""The E-step of a mixture of Gaussians: sums over rows, in one pass over chunks that fit a processor's cache.

Two forms. In sufficient statistics a log-density is linear, and an E-step is two matrix products a chunk; terms as
large as squared distances in units of the smallest deviation cancel in it. Where they would cost too many digits, rows
are whitened by each component instead, in which nothing cancels but is slower. What is lost is estimated beforehand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .gaussian import Gaussians, log_determinants, precisions_cholesky, whitened
from .in_chunks import in_chunks
from .moments import Moments
from .prepared import Prepared

__all__ = ["expectations"]

MAX_FEATURES = 64
"""With more features, products of all pairs of them would not leave room for enough rows in a cache."""
PRODUCTS_AT_ONCE = 4
"""Features that are multiplied by others in one operation: few operations, and few products taken twice."""
CACHE_BYTES = 2**22
"""Of what is computed of a chunk, by each thread."""
DEVICE_BYTES = 2**28
"""The same on a GPU."""
MAX_ROWS = 2**12
"""Of a chunk; more in one product would cost float32 digits."""
ALLOWED = {torch.float32: 3e-5, torch.float64: 1e-8}
"""Largest error of a log-density by rounding, in nats, at which a quicker form is taken."""


def expectations(data: Prepared, gaussians: Gaussians) -> tuple[Moments, Tensor]:
    r"""The E-step: expected counts, means and scatters of each component, and the mean log-likelihood of a row.

    .. math:: r_{ik} = p(k \mid x_i), \qquad N_k = \sum_i r_{ik}, \qquad \bar x_k = \frac1{N_k} \sum_i r_{ik} x_i,
        \qquad S_k = \sum_i r_{ik} (x_i - \bar x_k)(x_i - \bar x_k)^T

    Memory is bounded, whatever the number of rows. Sums are of float64; what is summed is of the rows' dtype where
    that is exact enough.

    Args:
        data: the rows.
        gaussians: one mixture, or R of them on a leading axis of weights, means and covariances.

    Returns:
        Moments, with a leading axis where the mixtures have one, and the log-likelihood, () or (R,), in nats.
    """
    single = gaussians.means.ndim == 2
    stack = gaussians.each(lambda part: part[None]) if single else gaussians
    roots = precisions_cholesky(stack)
    expanded, dtype = _form(data, stack, roots)
    counts, origins, first, second, likelihood = (_Expanded if expanded else _Whitened).sums(data, stack, roots, dtype)
    moments = Moments.of_sums(counts, origins, first, second, gaussians.kind)
    if single:
        return Moments(moments.counts[0], moments.means[0], moments.scatters[0], moments.kind), likelihood[0]
    return moments, likelihood


def _form(data: Prepared, gaussians: Gaussians, roots: Tensor) -> tuple[bool, torch.dtype]:
    """The quickest form that is exact enough: whether in sufficient statistics, and in which dtype."""
    kind, n_features = gaussians.kind, gaussians.n_features
    squares = roots.square()
    precisions = squares.sum(dim=-1) if kind in ("full", "tied") else squares
    precisions = precisions[..., None] if kind == "spherical" else precisions
    size = float((precisions * data.variances).sum(dim=-1).max()) + n_features
    own = data.rows.dtype if data.rows.dtype in ALLOWED else torch.float64
    own = own if float(data.variances.max()) < 1e20 else torch.float64  # squares of it are no numbers of float32
    forms = [(True, own), (True, torch.float64), (False, own), (False, torch.float64)]
    if kind == "full" and n_features > MAX_FEATURES:
        forms = forms[2:]
    for expanded, dtype in forms:
        terms = size if expanded else math.sqrt(n_features * size)
        if 0.5 * torch.finfo(dtype).eps * terms <= ALLOWED[dtype]:
            return expanded, dtype
    return False, torch.float64


def _shares(joint: Tensor, weight: Tensor | None, out: Tensor) -> Tensor:
    """Responsibilities (R, K, m) of joint log-densities, into `out`; returns the log-likelihood, (R,) float64.

    log p(x) is the largest of log p(x, k) less the log of the largest p(k|x), which is never below 1/K.
    """
    torch.softmax(joint, dim=1, out=out)
    evidence = torch.amax(joint, dim=1).sub_(torch.amax(out, dim=1).log_())
    if weight is None:
        return evidence.sum(dim=1, dtype=torch.float64)
    out.mul_(weight)
    return evidence.double() @ weight.double()


def _size(data: Prepared, numbers: int, dtype: torch.dtype) -> int:
    """Rows of a chunk, of each of which so many numbers are computed."""
    on_cpu = data.rows.device.type == "cpu"
    budget, most = (CACHE_BYTES, MAX_ROWS) if on_cpu else (DEVICE_BYTES, 16 * MAX_ROWS)
    return max(16, min(most, budget // (numbers * dtype.itemsize) // 16 * 16))


class _Expanded:
    r"""In sufficient statistics: :math:`\log p(x, k) = \eta_k^T \phi(x)` and sums of :math:`r_k \phi(x)`.

    phi is x, counted from the middle of the data, then its products (squares alone where features are independent,
    none for "tied", where they are the same for all components), and 1. Features come first, rows last.
    """

    @classmethod
    def sums(cls, data: Prepared, gaussians: Gaussians, roots: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        kind, (n_starts, n_components, n_features) = gaussians.kind, gaussians.means.shape
        natural = _natural(data, gaussians, roots).flatten(0, 1).to(dtype)
        size = _size(data, natural.shape[1] + 2 * natural.shape[0], dtype)
        found, likelihood = in_chunks(
            lambda: cls(data, natural, kind, n_starts, size), len(data.rows), size, data.rows.device
        )
        found = found.unflatten(0, (n_starts, n_components))
        first, products, counts = found[..., :n_features], found[..., n_features:-1], found[..., -1]
        if kind == "tied":
            second = data.scatter.expand(n_starts, -1, -1)
            likelihood = likelihood - 0.5 * ((roots @ roots.mT) * data.scatter).sum(dim=(1, 2))
        elif kind == "full":
            i, j = _pairs(n_features, products.device)
            second = products.new_empty(n_starts, n_components, n_features, n_features)
            second[..., i, j] = second[..., j, i] = products
        else:
            second = products
        return counts, data.center.expand_as(gaussians.means), first, second, likelihood / data.total

    def __init__(self, data: Prepared, natural: Tensor, kind: str, n_starts: int, size: int) -> None:
        self.data, self.natural, self.kind, self.n_starts = data, natural, kind, n_starts
        self.features = natural.new_ones(natural.shape[1], size)
        self.joint, self.shares = (natural.new_empty(natural.shape[0], size) for _ in range(2))
        self.found = torch.empty_like(natural)
        self.center = data.center[:, None].to(data.rows.dtype if data.rows.dtype == natural.dtype else torch.float64)

    def totals(self) -> list[Tensor]:
        return [torch.zeros_like(self.natural, dtype=torch.float64), self.natural.new_zeros(self.n_starts).double()]

    def add(self, here: slice, totals: list[Tensor]) -> None:
        features, joint, shares = (part[:, : here.stop - here.start] for part in self._buffers())
        centred, n = features[: self.data.rows.shape[1]], self.data.rows.shape[1]
        torch.sub(self.data.rows[here].T, self.center, out=centred)
        if self.kind == "full":
            at = n
            for i, width in _blocks(n):
                products = features[at : at + width * (n - i)].unflatten(0, (width, n - i))
                torch.mul(centred[i : i + width, None], centred[None, i:], out=products)
                at += width * (n - i)
        elif self.kind != "tied":
            torch.mul(centred, centred, out=features[n : 2 * n])
        torch.mm(self.natural, features, out=joint)
        weight = None if self.data.weight is None else self.data.weight[here].to(joint)
        by_start = (self.n_starts, -1, joint.shape[1])
        totals[1] += _shares(joint.view(by_start), weight, shares.view(by_start))
        totals[0] += torch.mm(shares, features.T, out=self.found)

    def _buffers(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.features, self.joint, self.shares


def _blocks(n_features: int) -> list[tuple[int, int]]:
    """Features whose products with all from the first of them on are taken at once: (first, how many)."""
    return [(i, min(PRODUCTS_AT_ONCE, n_features - i)) for i in range(0, n_features, PRODUCTS_AT_ONCE)]


def _pairs(n_features: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which features are multiplied, in the order of the sufficient statistics."""
    pairs = [(i + k, j) for i, width in _blocks(n_features) for k in range(width) for j in range(i, n_features)]
    i, j = torch.tensor(pairs, device=device).T
    return i, j


def _natural(data: Prepared, gaussians: Gaussians, roots: Tensor) -> Tensor:
    """Coefficients eta of the sufficient statistics, (R, K, P)."""
    kind, n_features = gaussians.kind, gaussians.n_features
    means = gaussians.means - data.center
    if kind in ("full", "tied"):
        precisions = roots @ roots.mT
        white = means @ roots if kind == "tied" else (means[..., None, :] @ roots)[..., 0, :]
        linear = white @ roots.mT if kind == "tied" else (white[..., None, :] @ roots.mT)[..., 0, :]
    else:
        precisions = (roots[..., None] if kind == "spherical" else roots).square().expand_as(means)
        white, linear = means * precisions.sqrt(), means * precisions
    # A component without weight has no say in any row; minus infinity times 0 would be no number.
    weights = gaussians.weights.log().clamp_min(-1e30)
    constant = log_determinants(roots, kind, n_features) + weights
    constant = constant - 0.5 * (n_features * math.log(2 * math.pi) + white.square().sum(dim=-1))
    if kind == "full":
        i, j = _pairs(n_features, means.device)
        once = (i // PRODUCTS_AT_ONCE != j // PRODUCTS_AT_ONCE).to(means)  # a product in one order alone counts twice
        products = precisions[..., i, j] * (-0.5 - 0.5 * once)
    else:
        products = means[..., :0] if kind == "tied" else -0.5 * precisions
    return torch.cat([linear, products, constant[..., None]], dim=-1)


class _Whitened:
    """By whitening rows in each component: sums of r y and r y y^T for y = W^T (x - mu)."""

    @classmethod
    def sums(cls, data: Prepared, gaussians: Gaussians, roots: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        kind, (n_starts, n_components, n_features) = gaussians.kind, gaussians.means.shape
        size = _size(data, 3 * n_starts * n_components * n_features, dtype)
        counts, first, second, likelihood = in_chunks(
            lambda: cls(data, gaussians, roots, dtype), len(data.rows), size, data.rows.device
        )
        shape = (n_starts, n_components)
        counts, first, second = counts.view(shape), first.unflatten(0, shape), second.unflatten(0, shape)
        if kind in ("full", "tied"):
            back = torch.linalg.solve_triangular(
                roots, torch.eye(n_features, dtype=roots.dtype, device=roots.device).expand_as(roots), upper=True
            )
            first = first @ back if kind == "tied" else (first[..., None, :] @ back)[..., 0, :]
            second = second.sum(dim=1) if kind == "tied" else second
            second = back.mT @ second @ back
        else:
            deviations = 1 / (roots[..., None] if kind == "spherical" else roots)
            first, second = first * deviations, second * deviations.square()
        return counts, gaussians.means, first, second, likelihood / data.total

    def __init__(self, data: Prepared, gaussians: Gaussians, roots: Tensor, dtype: torch.dtype) -> None:
        kind, self.data, self.n_starts = gaussians.kind, data, len(gaussians.means)
        constant = log_determinants(roots, kind, gaussians.n_features) + gaussians.weights.log().clamp_min(-1e30)
        constant = constant - 0.5 * gaussians.n_features * math.log(2 * math.pi)
        if kind == "tied":
            roots = roots[:, None].expand(-1, gaussians.n_components, -1, -1)
        self.kind = "full" if kind == "tied" else kind
        self.constant = constant.flatten()[:, None].to(dtype)
        # Both are counted from the middle of the data, so that an offset costs no digits.
        self.means = (gaussians.means - data.center).flatten(0, 1).to(dtype)
        self.center, self.roots = data.center, roots.flatten(0, 1).to(dtype)

    def totals(self) -> list[Tensor]:
        n, n_features = self.means.shape
        shape = (n, n_features, n_features) if self.kind == "full" else (n, n_features)
        shapes: list[tuple[int, ...]] = [(n,), (n, n_features), shape, (self.n_starts,)]
        return [self.means.new_zeros(shape, dtype=torch.float64) for shape in shapes]

    def add(self, here: slice, totals: list[Tensor]) -> None:
        centred = (self.data.rows[here] - self.center.to(self.data.rows.dtype)).to(self.means)
        white = whitened(centred, self.means, self.roots, self.kind)
        joint = torch.sub(self.constant, white.square().sum(dim=2), alpha=0.5)
        weight = None if self.data.weight is None else self.data.weight[here].to(joint)
        shares, by_start = torch.empty_like(joint), (self.n_starts, -1, joint.shape[1])
        totals[3] += _shares(joint.view(by_start), weight, shares.view(by_start))
        totals[0] += shares.sum(dim=1, dtype=torch.float64)
        totals[1] += (shares[:, None] @ white)[:, 0]
        weighted = white * shares[..., None]
        totals[2] += weighted.mT @ white if self.kind == "full" else (weighted * white).sum(dim=1)

"""Scoring noise that depends on what is scored, and on nothing around it.

A generator that is read row after row gives a row other noise in another batch, and so another score. Here the
noise is a hash of (seed, content of the row, latent layer, sample, dimension): counter-based, without a state.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import reparameterise

__all__ = ["RowNoise", "binarised", "row_keys", "standard_normal", "standard_uniform"]


def _signed(value: int) -> int:
    """An unsigned 64-bit constant as the int64 with the same bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


# The constants of splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): the
# golden ratio spreads a counter over all bits, the two multipliers are variant 13 of Stafford's mixer.
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shift_right(bits: Tensor, n: int) -> Tensor:
    """Logical shift: `>>` on int64 would drag the sign along."""
    return (bits >> n).bitwise_and_((1 << (64 - n)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """The finaliser of splitmix64, a bijection: each bit in changes about half of the bits out."""
    bits = _shift_right(bits, 30).bitwise_xor_(bits).mul_(_FIRST)
    bits = _shift_right(bits, 27).bitwise_xor_(bits).mul_(_SECOND)
    return _shift_right(bits, 31).bitwise_xor_(bits)


def _counter(n: int) -> int:
    """n steps of splitmix64's counter, wrapped to 64 bits: Python's own integers would overflow a tensor's."""
    return _signed(n * _GOLDEN % (1 << 64))


def _stream(start: int, n: int, device: torch.device) -> Tensor:
    """Hashes of the counters start, ..., start + n - 1."""
    return _mix((torch.arange(start, start + n, device=device) + 1) * _GOLDEN)


def row_keys(x: Tensor) -> Tensor:
    """Hash of each row's content.

    Equal values have equal keys, whatever their dtype or the sign of a zero; so have repeated rows, which then
    also get the same noise and the same score.

    Args:
        x: rows, (B, F).

    Returns:
        Keys, int64, (B,).

    Example:
        >>> x = torch.eye(3)
        >>> bool((row_keys(x)[1:] == row_keys(x[1:])).all()), len(set(row_keys(x).tolist()))
        (True, 3)
    """
    bits = (x.to(torch.float64) + 0.0).view(torch.int64)  # + 0.0 makes -0.0 a 0.0
    # The sum wraps around and so is the same in any order of summation; the position is in what is summed.
    summed = _mix(bits + _stream(0, x.shape[-1], x.device)).sum(-1)
    return _mix(summed + _counter(x.shape[-1]))


def standard_normal(
    keys: Tensor, n_samples: int, n_dimensions: int, *, seed: int = 0, layer: int = 0, first_sample: int = 0
) -> Tensor:
    """Independent standard normal noise: `standard_uniform` through the inverse of its distribution function.

    Returns:
        Noise, float64, (K, B, D), in the range -8.2 to 8.2.
    """
    noise = standard_uniform(keys, n_samples, n_dimensions, seed=seed, layer=layer, first_sample=first_sample)
    return torch.special.ndtri(noise)


def standard_uniform(
    keys: Tensor, n_samples: int, n_dimensions: int, *, seed: int = 0, layer: int = 0, first_sample: int = 0
) -> Tensor:
    """Independent noise, uniform in (0, 1), a pure function of (seed, key, layer, sample, dimension).

    Args:
        keys: one key for each row, int64, (B,).
        n_samples: samples K.
        n_dimensions: dimensions D.
        seed: any integer; another seed gives independent noise.
        layer: number of the latent layer.
        first_sample: number of the first sample, so that samples can be drawn piece by piece.

    Returns:
        Noise, float64, (K, B, D).
    """
    device = keys.device
    # A hash after each part makes neighbouring seeds, layers, samples and dimensions unrelated.
    seeded = _mix(torch.tensor(_signed(seed % (1 << 64)), device=device) + _GOLDEN)
    rows = _mix(keys ^ _mix(seeded + _counter(layer + 1)))  # (B,)
    samples = _mix(rows + _stream(first_sample, n_samples, device)[:, None])  # (K, B)
    bits = _mix(samples[..., None] + _stream(0, n_dimensions, device))
    # 52 bits and a half fill a float64 exactly: never 0, never 1.
    return (_shift_right(bits, 12).to(torch.float64) + 0.5) * 2.0**-52


_PIXELS = -1
"""The layer whose noise pixels are drawn with: those of codes count from 0."""


def binarised(x: Tensor, seed: int = 0, piece: int = 1024) -> Tensor:
    r"""Black and white pixels drawn from grey ones, :math:`x \sim \mathrm{Bernoulli}(g)`, for scoring.

    What is drawn for a row depends on its content and the seed only: a score is the same in any batch, and again.

    Args:
        x: grey values in [0, 1], (n, F).
        seed: another seed draws other pixels.
        piece: rows at a time, which bounds the memory.

    Returns:
        Zeros and ones, of the dtype of x, (n, F).

    Example:
        >>> grey = torch.tensor([[0.0, 1.0, 0.5, 0.5]]).expand(3, 4)
        >>> drawn = binarised(grey)
        >>> drawn[:, :2].tolist(), bool((drawn == drawn[0]).all())
        ([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], True)
    """
    drawn = torch.empty_like(x, memory_format=torch.contiguous_format)
    for start in range(0, len(x), piece):
        rows = x[start : start + piece]
        noise = standard_uniform(row_keys(rows), 1, x.shape[1], seed=seed, layer=_PIXELS)[0]
        drawn[start : start + piece] = (noise < rows).to(x.dtype)
    return drawn


class RowNoise:
    """A `Sampler` for scoring: the same row gets the same noise in every batch, chunk and order.

    It counts its calls, as each latent layer of a model draws once: make a new one for each pass. Posteriors are
    those that `isthmus.distributions.reparameterise` knows.

    Args:
        keys: `row_keys` of the rows of the batch, (B,).
        seed: seed of all noise.
        first_sample: number of the first sample of this pass.

    Example:
        >>> from isthmus.distributions import normal
        >>> x, q = torch.eye(4), normal(torch.zeros(4, 2), torch.ones(4, 2))
        >>> z = RowNoise(row_keys(x))(q, 3)
        >>> rest = RowNoise(row_keys(x), first_sample=1)(q, 2)
        >>> z.shape, bool((z[1:] == rest).all())
        (torch.Size([3, 4, 2]), True)
    """

    def __init__(self, keys: Tensor, seed: int = 0, first_sample: int = 0) -> None:
        self.keys, self.seed, self.first_sample = keys, seed, first_sample
        self.layer = 0

    def __call__(self, q: Distribution, n_samples: int) -> Tensor:
        """K samples of each row's posterior, (K, B, D).

        Above the first latent layer the posterior has batch shape (K, B) already: one sample of each, (1, K, B, D).
        """
        n_posteriors = math.prod(q.batch_shape[:-1])
        if n_posteriors > 1 and n_samples > 1:
            raise ValueError(
                f"Expected n_samples=1 for a posterior of batch shape {tuple(q.batch_shape)}, got {n_samples}; "
                "above the first latent layer each sample below has one sample of its own."
            )
        noise = standard_normal(
            self.keys,
            n_samples * n_posteriors,
            math.prod(q.event_shape),
            seed=self.seed,
            layer=self.layer,
            first_sample=self.first_sample,
        )
        self.layer += 1
        noise = noise.reshape(torch.Size((n_samples,)) + q.batch_shape + q.event_shape)
        return reparameterise(q, noise.to(q.mean.dtype))

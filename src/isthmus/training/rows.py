"""Training data as it came, resident on the device: gathered by index, scaled inside the step."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.shards import Shards
from ..model import Batch
from ..processes import Part, own_part

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["Rows", "Scaling", "checked_rows", "epoch_order", "fingerprint", "mix"]


class Scaling(NamedTuple):
    """From the data as it came to the model's units: (x - shift) / scale.

    Attributes:
        shift: subtracted from each feature, (F,), or None.
        scale: one divisor for all features, so that the geometry of the data is kept.
    """

    shift: Tensor | None = None
    scale: float = 1.0

    def __call__(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Rows in the model's units and dtype; float64 data are centred before they are rounded."""
        x = x if x.is_floating_point() else x.to(dtype)
        x = x if self.shift is None else x - self.shift
        return (x if self.scale == 1 else x / self.scale).to(dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Back to the units in which the data came."""
        x = x * self.scale
        return x if self.shift is None else x + self.shift

    def to(self, device: torch.device) -> Scaling:
        """The same on a device."""
        return self._replace(shift=None if self.shift is None else self.shift.to(device))


class Rows(NamedTuple):
    """Rows of data: features of any dtype, and what else is known of each of them.

    Attributes:
        x: what the model sees, (n, F).
        condition: labels or side information, (n, C), or None.
        weight: how much each row counts, (n,), or None.
        target: what is scored where it is not x, such as a class, (n, ...), or None.
    """

    x: Tensor
    condition: Tensor | None = None
    weight: Tensor | None = None
    target: Tensor | None = None

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.x)

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return self.x.shape[1]

    @property
    def arrangement(self) -> str:
        """What the order depends on besides the seed: nothing; see `Stream`."""
        return ""

    def batches(self, seed: int, epoch: int, size: int, first: int = 0) -> Iterator[tuple[Rows, Part]]:
        """An epoch's batches from number `first` on: this process's rows of each, and which part of it they are."""
        order = epoch_order(seed, epoch, self.n_rows).to(self.x.device)
        for index in order.split(size)[first:]:
            part = own_part(len(index))
            yield self.take(index[part.rows]), part

    def take(self, index: Tensor) -> Rows:
        """The rows at these indices."""
        return self._each(lambda part: part.index_select(0, index.to(part.device)))

    def to(self, device: torch.device) -> Rows:
        """The same on a device."""
        return self._each(lambda part: part.to(device))

    def without_float64(self, scaling: Scaling) -> tuple[Rows, Scaling]:
        """The same data for a device without float64 (mps): what needs it is scaled here, on the CPU."""
        if self.x.dtype != torch.float64 and scaling.shift is None:
            return self, scaling
        rows = self._replace(x=scaling(self.x))
        return rows._each(lambda part: part.float() if part.dtype == torch.float64 else part), Scaling()

    def _each(self, change: Callable[[Tensor], Tensor]) -> Rows:
        x, *others = self
        return Rows(change(x), *(None if part is None else change(part) for part in others))

    def batch(self, scaling: Scaling, dtype: torch.dtype = torch.float32, step: Tensor | None = None) -> Batch:
        """What the model sees of these rows."""
        x = scaling(self.x, dtype)
        # Whole numbers may be indices into an embedding, or classes.
        condition, weight, target = (
            part.to(dtype) if part is not None and part.is_floating_point() else part for part in self[1:]
        )
        return Batch(x, x if target is None else target, condition, weight, step)


def checked_rows(data: Any, name: str, n_features: int | None = None) -> Rows:
    """Rows at the border: two-dimensional, not empty, finite, weights with mean 1.

    Args:
        data: a tensor or array (n, F), or `Rows`.
        name: what to call it in errors.
        n_features: how many features there must be; None allows any number.

    Raises:
        ValueError: of another shape, not finite, or bad weights.
        TypeError: no numbers.
    """
    rows = data if isinstance(data, Rows) else Rows(_tensor(data, name))
    x, weight = rows.x, rows.weight
    if x.ndim != 2 or len(x) == 0 or x.shape[1] == 0:
        raise ValueError(f"Expected {name} of shape (n, features) with n >= 1, got {tuple(x.shape)}.")
    if n_features is not None and x.shape[1] != n_features:
        raise ValueError(f"Expected {name} with {n_features} features, as the data, got {x.shape[1]}.")
    if x.is_complex():
        raise TypeError(f"Expected real {name}, got {x.dtype}; use real and imaginary parts as features.")
    for part, values in zip(Rows._fields, rows, strict=True):
        if values is None:
            continue
        if values.ndim == 0 or len(values) != len(x):
            raise ValueError(f"Expected a {part} for each of {len(x)} rows of {name}, got {tuple(values.shape)}.")
        if values.is_floating_point() and not values.isfinite().all():
            raise ValueError(f"Expected finite {name}, got NaN or infinity in {part}; impute or drop those rows.")
    if weight is not None:  # in double precision only where the rows are, as not every device has it
        weight = _checked_weight(weight, name).to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    return rows._replace(weight=weight)


def _tensor(data: Any, name: str) -> Tensor:
    if isinstance(data, Shards):
        data = np.asarray(data).reshape(len(data), -1)
    try:
        with warnings.catch_warnings():  # torch warns of read-only arrays, such as memory maps; they are only read here
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.as_tensor(data)
    except (TypeError, RuntimeError, ValueError) as error:
        raise TypeError(f"Expected {name} as numbers in a tensor or an array, got {type(data).__name__}.") from error


def _checked_weight(weight: Tensor, name: str) -> Tensor:
    if weight.ndim != 1:
        raise ValueError(f"Expected weights of {name} of shape (n,), got {tuple(weight.shape)}.")
    if (weight < 0).any() or not (weight > 0).any():
        raise ValueError(f"Expected weights of {name} >= 0 with a positive sum, got others.")
    precise = weight.to("cpu", torch.float64)
    return precise / precise.mean()


FINGERPRINT_ROWS = 1000


def fingerprint(rows: Rows | Stream, scaling: Scaling) -> str:
    """Tells other data from this: shapes, dtypes, the scaling, and a checksum of rows evenly spaced over all."""
    n = rows.n_rows
    index = torch.from_numpy(np.linspace(0, n - 1, min(n, FINGERPRINT_ROWS)).round().astype(np.int64))
    text, checksum = [f"scale {scaling.scale!r}"], 0
    for name, part in zip(Rows._fields, rows.take(index), strict=True):
        if part is not None:
            text.append(f"{name} {(n, *part.shape[1:])} {str(part.dtype).removeprefix('torch.')}")
            checksum = zlib.crc32(_bytes(part), checksum)
    if scaling.shift is not None:
        checksum = zlib.crc32(_bytes(scaling.shift), checksum)
    return f"{', '.join(text)}, crc32 {checksum:08x}{rows.arrangement}"


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def epoch_order(seed: int, epoch: int, n_rows: int) -> Tensor:
    """The order of the rows in an epoch: a permutation that is a pure function of (seed, epoch), (n,)."""
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(mix(seed, epoch)))


def mix(seed: int, counter: int) -> int:
    """A 63-bit seed from two integers (the finaliser of splitmix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + counter * 0xD1B54A32D192ED03 + 0x2545F4914F6CDD1D) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 1

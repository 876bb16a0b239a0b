"""torch's own random numbers, which its distributions draw from, begun at a seed and put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seed_torch", "seeded"]


@contextmanager
def seeded(source: torch.Generator | int) -> Iterator[int]:
    """Inside, torch's own random numbers begin at a seed; afterwards they go on as if nothing had been.

    Args:
        source: a seed, or a generator that gives one.

    Yields:
        The seed.

    Example:
        >>> before = torch.get_rng_state()
        >>> with seeded(torch.Generator().manual_seed(0)):
        ...     noise = torch.randn(3)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    if isinstance(source, torch.Generator):
        source = int(torch.randint(2**62, (), generator=source, device=source.device))
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()):
        seed_torch(source)
        yield source


def seed_torch(seed: int) -> None:
    """As `torch.manual_seed`, but GPUs that are not in use yet will begin as they would have."""
    (torch.manual_seed if torch.cuda.is_initialized() else torch.default_generator.manual_seed)(seed)

"""Memory: data that a device can't hold are found before training; what a step gives back, the next one takes again."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch

from ..data.memory import check_fits
from .rows import Rows
from .stream import Stream

__all__ = ["check_device", "keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt's parameters, from glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MB of freed memory in the process, and nothing else where there is no glibc.

    By default it hands blocks above 128 kB back to the kernel, and every step pays for the page faults of its
    gradients and activations again: a third of the time of a VAE 784-512-20 in bf16 (5.3 ms a step became 3.5). The
    setting holds for the process; glibc comes to such thresholds by itself once a program frees a block of 32 MB.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Windows, macOS, musl
        return
    mallopt(_MMAP_THRESHOLD, 2**25)
    mallopt(_TRIM_THRESHOLD, 2**28)


def check_device(data: Sequence[Rows | Stream | None], device: torch.device) -> None:
    """Make sure that data that will be resident on a GPU fit there, beside what is there already.

    Raises:
        TooLargeError: they don't; says what to use.
    """
    if device.type != "cuda":
        return
    tensors = [part for rows in data if isinstance(rows, Rows) for part in rows if part is not None]
    n_bytes = sum(part.numel() * part.element_size() for part in tensors if part.device != device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    check_fits(n_bytes, f"the data on {device}", "stream them: isthmus.data.Shards(X)", free)

"""How much memory there is, so that what does not fit is found before it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["TooLargeError", "available_memory", "check_fits", "in_words"]

SMALL = 2**26
"""Bytes that are not worth a look: 64 MB."""


class TooLargeError(ValueError):
    """Data that do not fit in the memory there is."""


def check_fits(n_bytes: int, what: str, advice: str, available: int | None = None) -> None:
    """Make sure that so many bytes can be had, before anything is read or converted.

    Args:
        n_bytes: what will be needed on top of what is in use now.
        what: that needs it, in a few words: "big.npy in memory".
        advice: what to use in its place, an imperative without a full stop.
        available: bytes there are; by default those of this machine and process, where they can be found out.

    Raises:
        TooLargeError: there are fewer.

    Example:
        >>> check_fits(8 * 10**9, "the rows as float64", "use float32", available=10**9)
        Traceback (most recent call last):
        isthmus.data.memory.TooLargeError: Expected the rows as float64 to fit in memory, got 7.5 GB for the 954 MB
        that are free; use float32.
    """
    if n_bytes <= SMALL:
        return
    free = available_memory() if available is None else available
    if free is not None and n_bytes > free:
        raise TooLargeError(
            f"Expected {what} to fit in memory, got {in_words(n_bytes)} for the {in_words(free)} that are free; "
            f"{advice}."
        )


def in_words(n_bytes: int) -> str:
    """A number of bytes for people: 954 MB, 7.5 GB (of 1024 MB)."""
    return f"{n_bytes / 2**30:.1f} GB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MB"


def available_memory() -> int | None:
    """Bytes that this process may still take: what the machine, its container and its limits leave; None: unknown.

    Memory that holds nothing but cached files counts as free. Swap does not.
    """
    found = [*_machine(), *_containers(), *_limits()]
    return max(0, min(found)) if found else None


def _machine() -> Iterator[int]:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])
    except (OSError, ValueError):
        yield from _other_machine()


def _other_machine() -> Iterator[int]:
    """Where there is no /proc: Windows says what is free, macOS and BSD at least what there is."""
    if os.name == "nt":
        import ctypes

        class Status(ctypes.Structure):
            """MEMORYSTATUSEX of the Windows API."""

            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [  # noqa: RUF012
                (name, ctypes.c_ulonglong)
                for name in ("total", "free", "total_page", "free_page", "total_virtual", "free_virtual", "extended")
            ]

        status = Status(length=ctypes.sizeof(Status))
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
            yield min(status.free, status.free_virtual)
        return
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return


def _containers(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What the control groups of this process leave, version 1 and 2: a group's limit holds for all in it."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers not in ("", "memory"):
            continue
        old = controllers == "memory"
        base = root / "memory" if old else root
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        group = Path(path.lstrip("/"))
        # Inside of a container its own group may be mounted as the root: there is no folder of its name then.
        for folder in {base, *(base / part for part in (group, *group.parents))}:
            if (left := _left(folder, *names)) is not None:
                yield left


def _left(folder: Path, limit: str, usage: str) -> int | None:
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        if most >= 2**60:  # version 1 has no word for "none"
            return None
        cached = 0
        for line in (folder / "memory.stat").read_text().splitlines():
            name, value = line.split()
            cached = int(value) if name in ("inactive_file", "total_inactive_file") else cached
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return most - used + cached


def _limits() -> Iterator[int]:
    """What `ulimit -v` and `ulimit -d` leave."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        pages = Path("/proc/self/statm").read_text().split()
        size = resource.getpagesize()
        used = {resource.RLIMIT_AS: int(pages[0]) * size, resource.RLIMIT_DATA: int(pages[5]) * size}
    except (OSError, ValueError, IndexError):
        used = {resource.RLIMIT_AS: 0, resource.RLIMIT_DATA: 0}
    for kind, now in used.items():
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY:
            yield soft - now

"""Ctrl-C while training: a flag between two steps, not an exception in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupted", "interrupts"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the step was finished and, where a folder is given, saved."""


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag that the loop reads after each step; a second one stops at once.

    Signals belong to the main thread: in any other, and where the process ignores Ctrl-C (a job in a shell's
    background), the flag stays down and nothing is changed.
    """
    seen = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or previous is None or previous == signal.SIG_IGN:
        yield seen.is_set
        return

    def handle(*_: Any) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, previous)

"""Ctrl-C and SIGTERM while training: a flag between two steps, not an exception in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupted", "interrupts"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: the step was finished and, where a folder is given, saved."""


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag that the loop reads after each step; a second one stops at once.

    SIGTERM, which torchrun and SLURM send before they kill, is taken as the first Ctrl-C, however often it comes.

    Signals belong to the main thread: in any other, and where the process ignores Ctrl-C (a job in a shell's
    background), the flag stays down and nothing is changed.
    """
    seen = threading.Event()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    main = threading.current_thread() is threading.main_thread()
    if not main or previous[signal.SIGINT] in (None, signal.SIG_IGN):
        yield seen.is_set
        return

    def handle(number: int, _: Any) -> None:
        if seen.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.set()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield seen.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

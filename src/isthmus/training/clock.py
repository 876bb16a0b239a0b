"""Time for the loop: seconds that never go back, whatever the system's clock does."""

from __future__ import annotations

import math
import time

__all__ = ["Clock", "rows_per_second"]


class Clock:
    """Seconds since it was made: it stands still where the system's clock jumps back, and goes on from there.

    Without it such a jump would be a negative duration in a record, and hours without a checkpoint.

    Args:
        seconds: to begin with.

    Example:
        >>> Clock(seconds=5.0)() >= 5.0
        True
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def __call__(self) -> float:
        """Seconds until now."""
        now = time.monotonic()
        self._seconds += max(now - self._last, 0.0)
        self._last = now
        return self._seconds


def rows_per_second(rows: int, seconds: float) -> float:
    """Speed; NaN where no time has passed that a clock could have measured."""
    return rows / seconds if seconds > 0 else math.nan

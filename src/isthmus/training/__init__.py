"""The training loop: one function, its settings, and what makes it fast and resumable."""

from .interrupts import Interrupted
from .loop import fit
from .rows import Rows, Scaling
from .schedule import Schedule
from .settings import Settings
from .step import NonFiniteError

__all__ = ["Interrupted", "NonFiniteError", "Rows", "Scaling", "Schedule", "Settings", "fit"]

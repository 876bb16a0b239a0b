"""Pictures and the self-contained report."""

from .build import write_report
from .html import Report, render
from .kinds import KINDS, plot

__all__ = ["KINDS", "Report", "plot", "render", "write_report"]

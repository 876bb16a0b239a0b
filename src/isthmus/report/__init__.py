"""Pictures and the self-contained report."""

from .build import write_report
from .html import Report, render

__all__ = ["Report", "render", "write_report"]

"""Published tables, and claims of lectures, run again: one file a table in `tables`."""

from .catalogue import NAMES, find_table
from .chart import chart
from .page import page
from .results import Figure, Record, Results
from .run import reproduce, saved_results
from .table import Job, Measure, Published, Row, Table

__all__ = [
    "NAMES",
    "Figure",
    "Job",
    "Measure",
    "Published",
    "Record",
    "Results",
    "Row",
    "Table",
    "chart",
    "find_table",
    "page",
    "reproduce",
    "saved_results",
]

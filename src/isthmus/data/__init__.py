"""Reading data: named sets and files, checked at the border. Nothing here imports torch."""

from .dataset import DataSet
from .load import load_data
from .named import NAMED_SETS

__all__ = ["NAMED_SETS", "DataSet", "load_data"]

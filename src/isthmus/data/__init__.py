"""Reading data: named sets, files and what is in memory, checked at the border. Nothing here imports torch."""

from .catalogue import CATALOGUE, NamedSet
from .catalogue_files import cache_folder, check, fetch, find
from .dataset import DataSet
from .load import FILES, load_data
from .shards import Shards
from .split import split_data

__all__ = [
    "CATALOGUE",
    "FILES",
    "DataSet",
    "NamedSet",
    "Shards",
    "cache_folder",
    "check",
    "fetch",
    "find",
    "load_data",
    "split_data",
]

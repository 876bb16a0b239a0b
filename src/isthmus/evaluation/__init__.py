"""How good a model is, in numbers that do not depend on how they were computed."""

from .chunks import map_rows
from .likelihood import Bound, ImportanceEstimate, Mean, bound, importance_log_likelihood
from .noise import RowNoise, row_keys, standard_normal

__all__ = [
    "Bound",
    "ImportanceEstimate",
    "Mean",
    "RowNoise",
    "bound",
    "importance_log_likelihood",
    "map_rows",
    "row_keys",
    "standard_normal",
]

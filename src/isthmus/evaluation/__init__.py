"""How good a model is, in numbers that do not depend on how they were computed."""

from .annealed import AnnealedLikelihood, annealed_gap, annealed_log_likelihood
from .chunks import map_rows
from .classification import evaluate_classifier
from .evaluate import evaluate
from .jacobian import jacobian_norm
from .likelihood import Bound, ImportanceEstimate, NoDensityError, bound, importance_log_likelihood
from .mean import Mean
from .measures import Evaluation, Measure
from .noise import RowNoise, row_keys, standard_normal
from .partition import annealed_log_partition
from .reconstruction import ReconstructionError, reconstruction_error
from .representation import active_units, probe_accuracy

__all__ = [
    "AnnealedLikelihood",
    "Bound",
    "Evaluation",
    "ImportanceEstimate",
    "Mean",
    "Measure",
    "NoDensityError",
    "ReconstructionError",
    "RowNoise",
    "active_units",
    "annealed_gap",
    "annealed_log_likelihood",
    "annealed_log_partition",
    "bound",
    "evaluate",
    "evaluate_classifier",
    "importance_log_likelihood",
    "jacobian_norm",
    "map_rows",
    "probe_accuracy",
    "reconstruction_error",
    "row_keys",
    "standard_normal",
]

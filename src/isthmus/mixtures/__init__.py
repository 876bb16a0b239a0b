"""Mixtures: models with one discrete cause a row, learned by expectation maximisation; pure functions of tensors.

Work on CPU and GPU alike: dtype and device are those of the data. The estimators of `isthmus.estimators` are built
from them.
"""

from .em import EMResult, em
from .kmeans import Clusters, closest, k_means, k_means_plus_plus, lloyd, mini_batch_step, squared_distances

__all__ = [
    "Clusters",
    "EMResult",
    "closest",
    "em",
    "k_means",
    "k_means_plus_plus",
    "lloyd",
    "mini_batch_step",
    "squared_distances",
]

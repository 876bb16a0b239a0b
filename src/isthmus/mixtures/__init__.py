"""Mixtures: models with one discrete cause a row, learned by expectation maximisation; pure functions of tensors.

Work on CPU and GPU alike: dtype and device are those of the data. The estimators of `isthmus.estimators` are built
from them.
"""

from .bernoulli import (
    Bernoullis,
    BernoulliStatistics,
    bernoulli_log_joint,
    fit_bernoullis,
    maximised_bernoullis,
    start_bernoullis,
)
from .em import EMResult, em
from .kmeans import Clusters, closest, k_means, k_means_plus_plus, lloyd, squared_distances
from .mini_batch import mini_batch_k_means, mini_batch_step

__all__ = [
    "start_bernoullis",
    "maximised_bernoullis",
    "fit_bernoullis",
    "bernoulli_log_joint",
    "BernoulliStatistics",
    "Bernoullis",
    "Clusters",
    "EMResult",
    "closest",
    "em",
    "k_means",
    "k_means_plus_plus",
    "lloyd",
    "mini_batch_k_means",
    "mini_batch_step",
    "squared_distances",
]

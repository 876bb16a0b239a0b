"""Models that are linear and Gaussian: what they learn is in closed form, or by EM, and their density is exact.

Pure functions of float64 tensors; the estimators of `isthmus.estimators` are built from them.
"""

from .covariance import Covariance, covariance_of
from .em import Factors, LinearFit, em_step, expectation_maximisation
from .factor_analysis import factor_analysis
from .gaussian import LinearGaussian
from .probabilistic_pca import probabilistic_pca, probabilistic_pca_by_em

__all__ = [
    "Covariance",
    "Factors",
    "LinearFit",
    "LinearGaussian",
    "covariance_of",
    "em_step",
    "expectation_maximisation",
    "factor_analysis",
    "probabilistic_pca",
    "probabilistic_pca_by_em",
]

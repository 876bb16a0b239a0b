"""Objectives: what a model is trained for."""

from .base import Loss, Objective, Penalised, Penalty, Wrapped
from .binarised import DynamicBinarisation
from .contractive import Contractive
from .contrastive_divergence import ContrastiveDivergence
from .denoising import Denoising
from .elbo import ELBO, evidence_minus_posterior_kl, joint_plus_entropy, reconstruction_minus_kl
from .importance_weighted_bound import ImportanceWeightedBound
from .negative_log_likelihood import NegativeLogLikelihood
from .reconstruction import Reconstruction
from .sparsity import KLSparsity, L1Sparsity, bernoulli_kl

__all__ = [
    "ELBO",
    "Contractive",
    "ContrastiveDivergence",
    "Denoising",
    "DynamicBinarisation",
    "ImportanceWeightedBound",
    "KLSparsity",
    "L1Sparsity",
    "Loss",
    "NegativeLogLikelihood",
    "Objective",
    "Penalised",
    "Penalty",
    "Reconstruction",
    "Wrapped",
    "bernoulli_kl",
    "evidence_minus_posterior_kl",
    "joint_plus_entropy",
    "reconstruction_minus_kl",
]

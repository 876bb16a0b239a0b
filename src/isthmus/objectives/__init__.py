"""Objectives: what a model is trained for."""

from .base import Loss, Objective, Penalised, Penalty, Wrapped
from .binarised import DynamicBinarisation
from .contrastive_divergence import ContrastiveDivergence
from .denoising import Denoising
from .elbo import ELBO, evidence_minus_posterior_kl, joint_plus_entropy, reconstruction_minus_kl
from .negative_log_likelihood import NegativeLogLikelihood
from .reconstruction import Reconstruction

__all__ = [
    "ELBO",
    "ContrastiveDivergence",
    "Denoising",
    "DynamicBinarisation",
    "Loss",
    "NegativeLogLikelihood",
    "Objective",
    "Penalised",
    "Penalty",
    "Reconstruction",
    "Wrapped",
    "evidence_minus_posterior_kl",
    "joint_plus_entropy",
    "reconstruction_minus_kl",
]

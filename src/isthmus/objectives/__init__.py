"""Objectives: what a model is trained for."""

from .base import Loss, Objective, Penalised, Penalty, Wrapped
from .elbo import ELBO
from .reconstruction import Reconstruction

__all__ = ["ELBO", "Loss", "Objective", "Penalised", "Penalty", "Reconstruction", "Wrapped"]

"""Optimisers, which commit an update or leave everything as it was."""

from .adam import Adam
from .base import Optimizer
from .muon import Muon
from .sgd import SGD

__all__ = ["SGD", "Adam", "Muon", "Optimizer"]

"""Families of distributions that a posterior is approximated by."""

from .base import Family, LinearFamily
from .mean_field import MeanField

__all__ = ["Family", "LinearFamily", "MeanField"]

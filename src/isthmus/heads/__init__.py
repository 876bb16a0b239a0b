"""Heads: features in, distribution out."""

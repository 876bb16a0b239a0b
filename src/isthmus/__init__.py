"""Autoencoders and the latent-variable models around them."""

__version__ = "0.1.0"

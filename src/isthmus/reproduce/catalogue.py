"""The tables by name; a table's module is imported when it is wanted."""

from __future__ import annotations

from importlib import import_module

from .table import Table

__all__ = ["NAMES", "find_table"]

NAMES: dict[str, str] = {
    "annealed": "Claim: annealed importance sampling finds a VAE's log p(x) to within half a nat, and says so",
    "capacity": "Claim: the marginal likelihood chooses the size of the code",
    "contractive": "Rifai et al. (2011): contractive autoencoders",
    "dimensionality": "Hinton and Salakhutdinov (2006): deep autoencoder against PCA",
    "features": "Claim: features learned without labels help a classifier",
    "greedy": "Bengio et al. (2007): greedy layer-wise training",
    "greedy-labels": "where pre-training pays: 100 to 50,000 labels",
    "iwae-vae": "Burda, Grosse and Salakhutdinov (2015): the VAE of the IWAE paper, in nats",
    "k-sparse": "Makhzani and Frey (2013): k-sparse autoencoders",
    "listings": "The lectures' own listings: autoencoder, denoising, sparse, k-sparse, VAE, conditional VAE",
    "noise-or-dropout": "Claim: masking noise and dropout, what they share and what they do",
    "overfitting": "Claim: autoencoders overfit, and noise, sparsity and contraction help",
    "redundancy": "Claim: denoising needs redundancy in the input",
    "sampling": "Claim: a VAE can be sampled where an autoencoder can't",
    "stacked-denoising": "Vincent et al. (2010): stacked denoising autoencoders, amounts and kinds of noise",
    "tight-bound": "Claim: the bound is tight where q is the posterior",
    "uci-regression": "Five UCI regression sets in the published splits: predicted densities, in nats",
}
"""What each table is. Its module, of the same name with _ for -, lies in `tables`."""


def find_table(name: str) -> Table:
    """A table by name.

    Raises:
        ValueError: there is none.
    """
    if name not in NAMES:
        raise ValueError(f"Expected a table's name, one of {', '.join(NAMES)}, got {name!r}.")
    return import_module(f".tables.{name.replace('-', '_')}", __package__).TABLE

"""Dropout: units that are left out at random while training, and what is put between the layers of a net for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..processes import batch_part, batch_uniform

__all__ = ["Dropout", "blocks_of", "in_turn", "with_dropout"]


class Dropout(nn.Module):
    r"""Leaves each unit out with probability `rate` while training, :math:`y = x m / (1 - r), m \sim B(1 - r)`.

    In evaluation mode it is the identity, which is also its mean: :math:`E[y] = x, Var[y] = x^2 r / (1 - r)`. Use it
    where a net learns its training rows by heart; of inputs, it is masking noise. Unlike torch's it draws the same
    noise in any number of processes and in any precision. In an `nn.Sequential` it is no layer of its own: hidden
    activations, which penalties read, are those before it.

    Args:
        rate: probability of leaving out, 0 <= rate < 1.

    Raises:
        ValueError: another rate.

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014). Dropout: a simple way to prevent neural
            networks from overfitting. JMLR 15.

    Example:
        >>> dropout = Dropout(0.5)
        >>> dropout(torch.ones(3, 100)).unique()
        tensor([0., 2.])
        >>> dropout.eval()(torch.ones(1, 3))
        tensor([[1., 1., 1.]])
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"Expected a dropout rate, 0 <= rate < 1, got {rate}.")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Rows (..., B, width), or (K B, width) of K samples, B being the batch, with units left out."""
        if not self.training or not self.rate:
            return x
        return torch.where(self.kept(x), x / (1 - self.rate), 0.0)

    def kept(self, x: Tensor) -> Tensor:
        """Which units stay, drawn anew; in float32, as half precision has too few numbers for a probability."""
        part = batch_part()
        n_rows = x.shape[-2] if part is None else part.stop - part.start
        # Own networks get samples and batch in one dimension.
        rows = x.detach().float().reshape(-1, n_rows, x.shape[-1])
        return (batch_uniform(rows, dim=1) >= self.rate).reshape(x.shape)

    def extra_repr(self) -> str:
        """As `print` shows it."""
        return f"rate={self.rate}"


def with_dropout(
    blocks: Iterable[nn.Module], dropout: float = 0.0, input_dropout: float = 0.0
) -> OrderedDict[str, nn.Module]:
    """Blocks as arguments of `nn.Sequential`, each one's units followed by dropout.

    Blocks are named 0, 1, ... with dropout and without, so that weights are the same in files.

    Args:
        blocks: of a net.
        dropout: rate for the units of each block.
        input_dropout: rate for the inputs of the first one.

    Returns:
        The modules by name; without dropout, the blocks alone.

    Example:
        >>> [*with_dropout([nn.Linear(3, 2), nn.Linear(2, 2)], dropout=0.5)]
        ['0', 'dropout_0', '1', 'dropout_1']
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    if input_dropout:
        modules["input_dropout"] = Dropout(input_dropout)
    for number, block in enumerate(blocks):
        modules[str(number)] = block
        if dropout:
            modules[f"dropout_{number}"] = Dropout(dropout)
    return modules


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """The blocks of a net, whose outputs are its hidden activations: those of an `nn.Sequential`, or all of it.

    Example:
        >>> blocks_of(nn.Sequential(Dropout(0.2), nn.Linear(3, 2)))
        [Linear(in_features=3, out_features=2, bias=True)]
    """
    return [module for module in in_turn(net) if not isinstance(module, Dropout)]


def in_turn(net: nn.Module) -> list[nn.Module]:
    """The modules that an input passes one after the other: those of an `nn.Sequential`, or the net as a whole."""
    return [*net] if isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward else [net]

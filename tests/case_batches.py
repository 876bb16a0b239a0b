"""Batches that the laws in test_laws.py run over: the same at every call, and the first rows of any larger one."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.model import Batch

F, C = 35, 4
"""Features (a 7 x 5 image), and width of the condition."""


def uniform(n: int, width: int = F) -> Tensor:
    return torch.rand(64, width, generator=torch.Generator().manual_seed(1))[:n]


def binary(n: int) -> Batch:
    x = uniform(n).round()
    return Batch(x, x)


def grey(n: int) -> Batch:
    x = uniform(n)
    return Batch(x, x)


def pixels(n: int) -> Batch:
    x = (uniform(n) * 255).round() / 255
    return Batch(x, x)


def real(n: int) -> Batch:
    x = 4 * uniform(n) - 2
    return Batch(x, x)


def one_hot(n: int) -> Batch:
    x = torch.nn.functional.one_hot((uniform(n, 7) * 5).long(), 5).flatten(1).float()
    return Batch(x, x)


def conditional(n: int) -> Batch:
    return binary(n)._replace(condition=torch.eye(C)[torch.arange(n) % C])


def training(n: int) -> Batch:
    """As training has it: weighted, in the third step."""
    return binary(n)._replace(weight=2 * uniform(n, 1)[:, 0], step=torch.tensor(3))

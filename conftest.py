"""What every test and every docstring's example gets: one thread, a seed, and `torch` and `np` in the examples."""

from __future__ import annotations

import os

# Before anything imports torch: several workers with several threads each would fight over the cores.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in a test whatever ran before it, in this process or another."""
    import torch

    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def example_names(doctest_namespace: dict) -> None:
    """Names that examples in docstrings use without importing them."""
    import torch

    torch.set_printoptions(precision=4, sci_mode=False)
    doctest_namespace.update(np=np, torch=torch)

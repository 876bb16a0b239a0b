"""Training on a GPU: Isthmus, pythae's trainer and the tutorials' loop on the same one, and the limit as a CUDA graph.

The contest of `bench_training.py`, with everything on the GPU; without one, it says so and is done.
"""

from __future__ import annotations

import torch

from bench_training import FULL, TINY, contest_of
from measure import main

PARTS = {
    "mlp": lambda size: contest_of("mlp", size.n_images, size, "cuda"),
    "convolutional": lambda size: contest_of("conv", size.n_images, size, "cuda"),
}

if __name__ == "__main__":
    if torch.cuda.is_available():
        main("gpu", __doc__, PARTS, FULL, TINY)
    else:
        print("no GPU here: nothing measured")

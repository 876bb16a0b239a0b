"""Small tables: an autoencoder on 1,000 x 20 with batch 64, against the same in plain PyTorch.

Same network, loss, batch size, epochs and optimiser; plain PyTorch is the loop of the tutorials without a DataLoader
(which is slower still): shuffle, slice, forward, backward, `torch.optim.Adam`. Both end at the same loss.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import nn

from isthmus import Autoencoder
from measure import interleaved, ratio, write

EPOCHS, WIDTH, CODE, BATCH = 100, 32, 4, 64


def table() -> np.ndarray:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(1000, CODE)) @ generator.normal(size=(CODE, 20)) + generator.normal(size=(1000, 20))
    return ((rows - rows.mean()) / rows.std()).astype(np.float32)


def plain_pytorch(rows: np.ndarray, losses: dict[str, float]) -> None:
    x = torch.from_numpy(rows)
    net = nn.Sequential(
        nn.Linear(20, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CODE), nn.Linear(CODE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 20)
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        total = 0.0
        for index in torch.randperm(len(x)).split(BATCH):
            batch = x[index]
            loss = 0.5 * (net(batch) - batch).square().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(index)
    losses["plain"] = total / len(x)


def isthmus(rows: np.ndarray, losses: dict[str, float]) -> None:
    model = Autoencoder(
        CODE, hidden=(WIDTH,), likelihood="fixed_gaussian", max_epochs=EPOCHS, batch_size=BATCH, random_state=0
    ).fit(rows)
    constant = 0.5 * 20 * float(np.log(2 * np.pi))  # of the Gaussian's density, which plain squared error leaves out
    losses["isthmus"] = model.history_[-1]["loss"] - constant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rows, losses = table(), {}
    contestants = {"plain": lambda: plain_pytorch(rows, losses), "isthmus": lambda: isthmus(rows, losses)}
    interleaved(contestants, 1)
    seconds = interleaved(contestants, parser.parse_args().rounds)
    median = {name: round(float(np.median(values)), 3) for name, values in seconds.items()}
    speed = ratio(seconds["plain"], seconds["isthmus"])
    print(f"{EPOCHS} epochs of 1,000 x 20: {median['isthmus']:.2f} s, plain PyTorch {median['plain']:.2f} s, "
          f"{speed['median']:.2f} times as fast ({speed['min']:.2f} to {speed['max']:.2f})")  # fmt: skip
    print("final loss, half the squared error a row: " + ", ".join(f"{n} {v:.3f}" for n, v in losses.items()))
    result = {"seconds": median, "times_as_fast": speed, "final_loss": {n: round(v, 4) for n, v in losses.items()}}
    write("small_tables", "python benchmarks/bench_small_tables.py", result)


if __name__ == "__main__":
    main()

"""Small tables: an autoencoder on 1,000 x 20 with batches of 64 and of 128, against plain PyTorch and scikit-learn.

Same layers, batch size, epochs and Adam in all; plain PyTorch is the loop of the tutorials without a DataLoader (which
is slower still): shuffle, slice, forward, backward, `torch.optim.Adam`. scikit-learn's `MLPRegressor` learns to give
its input back; its code has the activation of the other layers, where ours is linear. PCA stands beside them for what
a fit costs there. One evaluator measures all: half the squared error a row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from torch import nn

from isthmus import Autoencoder
from measure import SEED, interleaved, main, ratio, shown

WIDTH, CODE = 32, 4


class Size(NamedTuple):
    rounds: int
    epochs: int
    n_rows: int = 1000


def table(n_rows: int) -> np.ndarray:
    """Four directions with as much noise again, 20 columns."""
    generator = np.random.default_rng(SEED)
    rows = generator.normal(size=(n_rows, CODE)) @ generator.normal(size=(CODE, 20))
    rows += generator.normal(size=rows.shape)
    return ((rows - rows.mean()) / rows.std()).astype(np.float32)


def plain_pytorch(rows: np.ndarray, epochs: int, batch: int) -> np.ndarray:
    """Reconstructions by the loop that people write."""
    x = torch.from_numpy(rows)
    net = nn.Sequential(
        nn.Linear(20, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CODE), nn.Linear(CODE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 20)
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        total = 0.0
        for index in torch.randperm(len(x)).split(batch):
            part = x[index]
            loss = 0.5 * (net(part) - part).square().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(index)
    with torch.no_grad():
        return net(x).numpy()


def isthmus(rows: np.ndarray, epochs: int, batch: int) -> np.ndarray:
    """Reconstructions by an `Autoencoder` trained on squared error."""
    model = Autoencoder(
        CODE, hidden=(WIDTH,), likelihood="fixed_gaussian", max_epochs=epochs, batch_size=batch, random_state=SEED
    )
    return model.fit(rows).reconstruct(rows)


def mlp_regressor(rows: np.ndarray, epochs: int, batch: int) -> np.ndarray:
    """Reconstructions by scikit-learn's network, told not to stop early."""
    to_the_end = {"n_iter_no_change": epochs, "tol": 0.0}
    model = MLPRegressor(
        hidden_layer_sizes=(WIDTH, CODE, WIDTH),
        alpha=0.0,
        batch_size=batch,
        max_iter=epochs,
        random_state=SEED,
        **to_the_end,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that is how it says that max_iter is reached
        return model.fit(rows, rows).predict(rows)


def pca(rows: np.ndarray, *_: int) -> np.ndarray:
    """Reconstructions by the closed form."""
    model = PCA(CODE).fit(rows)
    return model.inverse_transform(model.transform(rows))


CONTESTANTS = {"isthmus": isthmus, "plain PyTorch": plain_pytorch, "MLPRegressor": mlp_regressor, "PCA": pca}


def autoencoder(size: Size, batch: int = 64) -> dict[str, Any]:
    """Seconds of a whole fit, and the error that each ends with."""
    rows, errors = table(size.n_rows), {}

    def contestant(name: str, fit: Callable[[np.ndarray, int, int], np.ndarray]) -> Callable[[], None]:
        def run() -> None:
            errors[name] = round(float(0.5 * np.square(fit(rows, size.epochs, batch) - rows).sum(1).mean()), 4)

        return run

    contestants = {name: contestant(name, fit) for name, fit in CONTESTANTS.items()}
    interleaved(contestants, 1)
    seconds = interleaved(contestants, size.rounds)
    results = {
        "epochs": size.epochs,
        "batch": batch,
        "seconds": {name: round(float(np.median(values)), 4) for name, values in seconds.items()},
        "error": errors,
        "times_as_fast": {name: ratio(seconds[name], seconds["isthmus"]) for name in ("plain PyTorch", "MLPRegressor")},
    }
    for name in contestants:
        print(f"{name:<14} {results['seconds'][name]:7.3f} s, half the squared error a row {errors[name]:.3f}")
    for name, times in results["times_as_fast"].items():
        print(f"against {name}: {shown(times)} as fast")
    return results


def default_batch(size: Size) -> dict[str, Any]:
    """The same with the batch of 128 that Isthmus takes if none is given."""
    return autoencoder(size, batch=128)


FULL, TINY = Size(rounds=9, epochs=100), Size(rounds=1, epochs=2, n_rows=100)

if __name__ == "__main__":
    main("small_tables", __doc__, {"batch of 64": autoencoder, "batch of 128": default_batch}, FULL, TINY)

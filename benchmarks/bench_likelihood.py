"""Log-likelihoods by importance sampling, 5,000 samples an image of MNIST's test set, against pythae's `get_nll`.

The same trained weights in both, one thread pool each, images in turn. The limit is the decoder's own matrix products
of so many samples. pythae's samples are other ones, so the two means agree within their Monte-Carlo error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.evaluation import importance_log_likelihood
from isthmus.model import LatentVariableModel
from isthmus.objectives import ELBO
from isthmus.training import Rows, Scaling, Settings, fit
from isthmus.training.memory import keep_freed_memory
from measure import SEED, contest, interleaved, main, mnist, ratio, shown
from models import D, H, K, LogVarianceHead, tensors_of, vae
from workers import PEERS

PASS = 1250  # samples of a matrix product in the limit; 625 to 5,000 take the same time
AIMS = {"share_of_limit": 0.7, "times_as_fast_as_pythae": {"fp32": 3.0, "bf16": 6.0}}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Size(NamedTuple):
    rounds: int
    n_images: int  # of a round
    n_samples: int
    epochs: int
    n_train: int
    n_test: int


def trained(size: Size) -> LatentVariableModel:
    """A VAE whose weights mean the same to pythae."""
    model = vae(posterior=LogVarianceHead)
    rows = Rows(torch.from_numpy(mnist()["x_train"][: size.n_train]).flatten(1))
    settings = Settings(max_epochs=size.epochs, seed=SEED, compile=False, device="cpu")
    fit(model, ELBO(), rows, settings, scaling=Scaling(scale=255.0))
    return model


def limit(dtype: torch.dtype, n_images: int, n_samples: int) -> Callable[[], None]:
    """The decoder's two products for all samples."""
    width = min(PASS, n_samples)
    z, h = torch.randn(width, K, dtype=dtype), torch.randn(width, H, dtype=dtype)
    w1, w2 = torch.randn(H, K, dtype=dtype), torch.randn(D, H, dtype=dtype)

    @torch.inference_mode()
    def contestant() -> None:
        for _ in range(n_images * n_samples // width):
            z @ w1.T, h @ w2.T

    return contestant


def against_pythae(size: Size) -> dict[str, Any]:
    """Some images a round, all contestants on the same ones."""
    keep_freed_memory()
    model, n, k = trained(size), size.n_images, size.n_samples
    x = torch.from_numpy(mnist()["x_test"][: n * (size.rounds + 1)]).flatten(1).float() / 255
    found: dict[str, list[torch.Tensor | float]] = {}

    def isthmus(precision: Any) -> Callable[[], None]:
        def contestant() -> None:
            done = found.setdefault(precision, [])
            here = x[len(done) * n :][:n]
            done.append(importance_log_likelihood(model, here, k, seed=SEED, precision=precision).log_likelihood)

        return contestant

    contestants = {precision: isthmus(precision) for precision in PRECISIONS}
    contestants |= {f"limit, {precision}": limit(dtype, n, k) for precision, dtype in PRECISIONS.items()}
    with contest() as (start, folder, versions):
        if "left_out" not in versions:
            np.savez(folder / "weights.npz", *tensors_of(model))
            np.savez(folder / "rows.npz", x=x.numpy())
            worker = start("worker_peers.py", PEERS)
            worker.ask("load", weights=str(folder / "weights.npz"), data=str(folder / "rows.npz"))

            def pythae() -> None:
                done = found.setdefault("pythae", [])
                first = len(done) * n
                answer = worker.ask("likelihood", first=first, last=min(first + n, len(x)), n_samples=k)
                done.append(answer["log_likelihood"])

            contestants["pythae"] = pythae
        interleaved(contestants, 1)
        seconds = interleaved(contestants, size.rounds)
    fp32, bf16 = (torch.cat(found[precision]) for precision in PRECISIONS)
    difference = bf16 - fp32
    results = {
        "peers": versions,
        "images": len(x),
        "samples": k,
        "seconds_an_image": {name: round(float(np.median(values)) / n, 5) for name, values in seconds.items()},
        "share_of_limit": {name: ratio(seconds[f"limit, {name}"], seconds[name]) for name in PRECISIONS},
        "mean_log_likelihood": {name: round(float(np.mean([np.mean(np.asarray(part)) for part in parts])), 3)
                                for name, parts in found.items()},
        "bf16_minus_fp32": {"mean": round(float(difference.mean()), 4),
                            "standard_deviation": round(float(difference.std()), 4),
                            "largest": round(float(difference.abs().max()), 4)},
        "aims": AIMS,
    }  # fmt: skip
    if "pythae" in seconds:
        results["times_as_fast_as_pythae"] = {name: ratio(seconds["pythae"], seconds[name]) for name in PRECISIONS}
    for name in PRECISIONS:
        print(f"{name}: {results['seconds_an_image'][name]} s an image, "
              f"{shown(results['share_of_limit'][name], percent=True)} of the limit")  # fmt: skip
        if "pythae" in seconds:
            print(f"{name} against pythae: {shown(results['times_as_fast_as_pythae'][name])} as fast")
    print(f"mean log p(x), nats: {results['mean_log_likelihood']}; bf16 - fp32: {results['bf16_minus_fp32']}")
    return results


def test_set(size: Size) -> dict[str, Any]:
    """The whole test set, as one reports it, in both precisions."""
    model = trained(size)
    x = torch.from_numpy(mnist()["x_test"][: size.n_test]).flatten(1).float() / 255
    results: dict[str, Any] = {"images": len(x), "samples": size.n_samples}
    estimates = {}
    for precision in PRECISIONS:
        began = time.perf_counter()
        estimate = importance_log_likelihood(model, x, size.n_samples, seed=SEED, precision=precision)
        seconds = time.perf_counter() - began
        estimates[precision], mean = estimate.log_likelihood, estimate.mean
        sampling_error = float(estimate.standard_error.square().mean().sqrt()) / len(x) ** 0.5
        results[precision] = {
            "seconds": round(seconds, 1),
            "log_likelihood": round(mean.value, 3),
            "standard_error": round(mean.standard_error, 3),
            "monte_carlo_standard_error": round(sampling_error, 4),
        }
        print(f"{precision}: log p(x) = {mean.value:.3f} nats on {len(x)} images in {seconds:.0f} s")
    results["bf16_minus_fp32"] = round(float((estimates["bf16"] - estimates["fp32"]).mean()), 4)
    return results


FULL = Size(rounds=7, n_images=10, n_samples=5000, epochs=5, n_train=60_000, n_test=10_000)
TINY = Size(rounds=1, n_images=2, n_samples=100, epochs=1, n_train=256, n_test=4)

if __name__ == "__main__":
    main("likelihood", __doc__, {"against_pythae": against_pythae, "test_set": test_set}, FULL, TINY)

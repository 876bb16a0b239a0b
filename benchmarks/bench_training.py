"""Training speed on MNIST: Isthmus, pythae's trainer and the tutorials' loop on the same network, and the limit.

All train the same network on the same images with batch 128 and Adam at 1e-3 for the same epochs, each in a process of
its own, and take turns epoch by epoch. The first epoch, in which Isthmus compiles, is no round of the contest. In the
end one evaluator, Isthmus' `bound` on the test images, measures all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.evaluation import bound
from isthmus.heads import GaussianHead
from isthmus.training.memory import keep_freed_memory
from isthmus.training.optimizers import Adam
from measure import SEED, contest, interleaved, main, mnist, rate, ratio, shown
from models import D, H, K, LogVarianceHead, vae, with_tensors
from workers import PEERS, Worker

BATCH = 128
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
AIMS = {  # on the CPU; on a GPU, 15 times pythae
    "pythae": {"fp32": 2.0, "bf16": 3.0},
    "tutorial": {"fp32": 3.2, "bf16": 4.7},
    "limit": {"fp32": 0.9, "bf16": 0.75},
}


class Size(NamedTuple):
    rounds: int
    n_images: int
    n_images_convolutional: int
    n_test: int
    compile: bool = True


def limit(dtype: torch.dtype, steps: int, device: str) -> Callable[[], None]:
    """A step's own matrix products and one fused Adam pass: no gathering, noise, activations or loss.

    Forward: x W1, h W2, z W3, h W4. Backward: for each its weight's gradient and, but for the first, its input's.
    """
    make = {"dtype": dtype, "device": device}
    x, h, z, g_x, g_q = (torch.randn(BATCH, width, **make) for width in (D, H, K, D, 2 * K))
    w1, w2, w3, w4 = (torch.randn(*shape, **make) for shape in ((D, H), (H, 2 * K), (K, H), (H, D)))
    adam = Adam([torch.nn.Parameter(torch.randn_like(parameter, device=device)) for parameter in vae().parameters()])
    gradients = tuple(torch.randn_like(parameter) for parameter in adam.parameters)
    failed = torch.zeros((), device=device)

    def step() -> None:
        x @ w1, h @ w2, z @ w3, h @ w4
        h.T @ g_x, g_x @ w4.T, z.T @ h, h @ w3.T, h.T @ g_q, g_q @ w2.T, x.T @ h
        adam.update(gradients, 1e-3, failed)

    once = graphed(step) if device == "cuda" else step

    def contestant() -> None:
        for _ in range(steps):
            once()
        if device == "cuda":
            torch.cuda.synchronize()

    return contestant


def graphed(step: Callable[[], None]) -> Callable[[], None]:
    """The same step as one CUDA graph: on a GPU, launching such small kernels one by one is no limit."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries set themselves up, which a graph must not see
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def started(
    network: str, images: np.ndarray, folder: Path, size: Size, device: str, peers: bool, start: Callable[..., Worker]
) -> tuple[dict[str, Worker], dict[str, float]]:
    """Workers that wait at the beginning of their first epoch, and the seconds that each took to come so far."""
    data = folder / "images.npz"
    np.savez(data, x=images)
    task = {"network": network, "data": str(data), "epochs": size.rounds + 1, "batch": BATCH, "device": device}
    contestants, seconds = {}, {}

    def enter(name: str, worker: Worker, **arguments: Any) -> None:
        contestants[name] = worker
        seconds[name] = worker.ask("train", **task, out=str(folder / f"{name}.npz"), **arguments)["seconds"]

    for precision in PRECISIONS:
        enter(precision, start("worker_isthmus.py"), precision=precision, compile=size.compile)
    for peer in ("pythae", "tutorial") if peers else ():
        enter(peer, start("worker_peers.py", PEERS), who=peer)
    return contestants, seconds


def quality(name: str, worker: Worker, network: str, folder: Path, x: torch.Tensor) -> float:
    """The bound on the test images, nats an image, of what a worker trained."""
    worker.ask("save")
    arrays = np.load(folder / f"{name}.npz")
    posterior = GaussianHead if name in PRECISIONS else LogVarianceHead
    model = with_tensors(vae(network, posterior), [arrays[key] for key in arrays.files])
    return round(bound(model, x, seed=SEED).mean.value, 2)


def contest_of(network: str, n_images: int, size: Size, device: str = "cpu") -> dict[str, Any]:
    """All contestants on one network: speeds, ratios round by round, bounds, and what a run takes as a whole."""
    keep_freed_memory()  # as `fit` does, for the limit as well
    images = mnist()["x_train"][:n_images]
    x_test = torch.from_numpy(mnist()["x_test"][: size.n_test]).flatten(1) / 255
    with contest() as (start, folder, versions):
        contestants, before = started(network, images, folder, size, device, "left_out" not in versions, start)
        takes_turn = {name: (lambda worker=worker: worker.ask("epoch")) for name, worker in contestants.items()}
        steps = -(-n_images // BATCH)
        if network == "mlp":
            for precision, dtype in PRECISIONS.items():
                takes_turn[f"limit, {precision}"] = limit(dtype, steps, device)
        first = interleaved(takes_turn, 1)
        seconds = interleaved(takes_turn, size.rounds)
        bounds = {name: quality(name, worker, network, folder, x_test) for name, worker in contestants.items()}
    results: dict[str, Any] = {"peers": versions, "epochs": size.rounds + 1, "images": n_images, "bound": bounds}
    results["images_per_second"] = {name: rate(n_images, values) for name, values in seconds.items()}
    results["fit_from_start_to_end"] = {
        name: round(before[name] + first[name][0] + sum(seconds[name]), 2) for name in contestants
    }
    results["seconds_to_compile"] = {
        name: round(first[name][0] - float(np.median(seconds[name])), 2) for name in PRECISIONS if size.compile
    }
    for peer in ("pythae", "tutorial"):
        if peer in seconds:
            results[f"times_as_fast_as_{peer}"] = {name: ratio(seconds[peer], seconds[name]) for name in PRECISIONS}
    if network == "mlp":
        results["share_of_limit"] = {name: ratio(seconds[f"limit, {name}"], seconds[name]) for name in PRECISIONS}
        results["aims"] = AIMS
    tell(results)
    return results


def tell(results: dict[str, Any]) -> None:
    """The figures, in words."""
    for name, speed in results["images_per_second"].items():
        quality = f", bound {results['bound'][name]} nats" if name in results["bound"] else ""
        print(f"{name:<12} {speed / 1e3:6.1f} k images/s{quality}")
    for name in PRECISIONS:
        for peer in ("pythae", "tutorial"):
            if key := results.get(f"times_as_fast_as_{peer}"):
                print(f"{name} against {peer}: {shown(key[name])} as fast (aim with the MLP {AIMS[peer][name]})")
        if "share_of_limit" in results:
            print(f"{name}: {shown(results['share_of_limit'][name], percent=True)} of the limit")
    print(f"from start to end, seconds: {results['fit_from_start_to_end']}; compiling: {results['seconds_to_compile']}")


PARTS = {
    "mlp": lambda size: contest_of("mlp", size.n_images, size),
    "convolutional": lambda size: contest_of("conv", size.n_images_convolutional, size),
}
FULL = Size(rounds=10, n_images=60_000, n_images_convolutional=6_400, n_test=10_000)
TINY = Size(rounds=1, n_images=256, n_images_convolutional=256, n_test=50, compile=False)

if __name__ == "__main__":
    main("training", __doc__, PARTS, FULL, TINY)

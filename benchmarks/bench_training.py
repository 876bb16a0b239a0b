"""Training speed: a VAE 784-512-20 with batch 128 on MNIST, against the arithmetic limit, in one run.

The limit is the step's own matrix products plus one fused Adam pass over the same parameters: no gathering, no noise,
no activations, no loss. Contestants take turns, an epoch's share each; the figure is the median of the ratios.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from isthmus.heads import BernoulliHead, GaussianHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import ELBO
from isthmus.priors import StandardNormal
from isthmus.training import Interrupted, Rows, Scaling, Settings
from isthmus.training.loop import _prepare
from isthmus.training.memory import keep_freed_memory
from isthmus.training.progress import Progress
from isthmus.training.step import Adam
from measure import interleaved, mnist_pixels, ratio, write

D, H, K, BATCH = 784, 512, 20, 128


def vae() -> LatentVariableModel:
    torch.manual_seed(0)
    encoder = Conditional(MLP(D, (H,)), GaussianHead(H, K))
    decoder = Conditional(MLP(K, (H,)), BernoulliHead(H, D))
    return LatentVariableModel(encoder, decoder, StandardNormal(K))


def training(pixels: torch.Tensor, precision: str, steps: int) -> Callable[[], None]:
    """`fit`'s own loop, progress and checks included, so many steps a call on data that stay as they came."""
    settings = Settings(max_epochs=1000, batch_size=BATCH, precision=precision, compile=True, device="cpu")
    run = _prepare(vae(), ELBO(), settings, Rows(pixels), None, Scaling(scale=255.0), None, resume=False)

    def contestant() -> None:
        stop = run.state.step + steps
        try:
            run.train(lambda: run.state.step >= stop, Progress(run.total, shown=False))
        except Interrupted:
            return

    return contestant


def limit(dtype: torch.dtype, steps: int) -> Callable[[], None]:
    """Forward: x W1, h W2, z W3, h W4. Backward: for each its weight's gradient and, but for the first, its input's."""
    x, h, z, g_x, g_q = (torch.randn(BATCH, width, dtype=dtype) for width in (D, H, K, D, 2 * K))
    w1, w2, w3, w4 = (torch.randn(*shape, dtype=dtype) for shape in ((D, H), (H, 2 * K), (K, H), (H, D)))
    adam = Adam([torch.nn.Parameter(torch.randn_like(parameter)) for parameter in vae().parameters()])
    gradients = tuple(torch.randn_like(parameter) for parameter in adam.parameters)
    failed = torch.zeros(())

    def contestant() -> None:
        for _ in range(steps):
            x @ w1, h @ w2, z @ w3, h @ w4
            h.T @ g_x, g_x @ w4.T, z.T @ h, h @ w3.T, h.T @ g_q, g_q @ w2.T, x.T @ h
            adam.update(gradients, 1e-3, failed)

    return contestant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="steps a contestant makes in a round")
    arguments = parser.parse_args()
    keep_freed_memory()  # as `fit` does, for the limit as well
    pixels, results = mnist_pixels(), {}
    for precision, dtype, aim in (("fp32", torch.float32, 0.90), ("bf16", torch.bfloat16, 0.75)):
        contestants = {"fit": training(pixels, precision, arguments.steps), "limit": limit(dtype, arguments.steps)}
        interleaved(contestants, 1)  # compiles, and fills caches
        seconds = interleaved(contestants, arguments.rounds)
        share = ratio(seconds["limit"], seconds["fit"])
        rate = BATCH * arguments.steps / sorted(seconds["fit"])[len(seconds["fit"]) // 2]
        results[precision] = {"images_per_second": round(rate), "share_of_limit": share, "aim": aim}
        print(f"{precision}: {rate / 1e3:.1f} k images/s, {share['median']:.0%} of the limit "
              f"({share['min']:.0%} to {share['max']:.0%}; aim {aim:.0%})")  # fmt: skip
    write("training", "python benchmarks/bench_training.py", results)


if __name__ == "__main__":
    main()

"""What a penalty costs: a training step with the contractive or the sparsity penalty over one without, on MNIST's size.

All steps train the same network on the same batch of 128, in float32, and take turns, some steps each. Networks are
784-1000-784 with sigmoid units, whose contractive penalty is in closed form, and 784-500-250-30 and back, where it is
estimated: from one random direction, from two, and, for comparison, from one by differentiating the encoder twice as
own networks are, in place of the products that are written out for fully connected layers.
`precision` is about the estimator: its relative standard deviation at one example of an untrained network and of one
trained for some epochs, beside that of a direction in the space of inputs, which costs about the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.evaluation import jacobian_norm
from isthmus.heads import BernoulliHead, PointHead
from isthmus.model import Batch, Conditional, LatentVariableModel
from isthmus.nets import MLP
from isthmus.objectives import Contractive, KLSparsity, Objective, Reconstruction
from isthmus.training import Rows, Scaling, Settings, fit
from isthmus.training.memory import keep_freed_memory
from isthmus.training.step import Step
from measure import SEED, interleaved, main, mnist, ratio, shown

BATCH, AIM = 128, 2.5


class Size(NamedTuple):
    rounds: int
    steps: int
    n_images: int
    epochs: int
    n_draws: int
    compile: bool = True


def network(hidden: tuple[int, ...], code: int, *, unknown: bool = False) -> LatentVariableModel:
    """784, then sigmoid layers, a sigmoid code, and back; always the same random weights."""
    torch.manual_seed(SEED)
    encoder, decoder = MLP(784, hidden, "sigmoid"), MLP(code, hidden[::-1], "sigmoid")
    head = PointHead(encoder.n_features, code, activation=nn.Sigmoid())
    likelihood = BernoulliHead(decoder.n_features, 784)
    net = nn.Sequential(encoder) if unknown else encoder
    return LatentVariableModel(Conditional(net, head), Conditional(decoder, likelihood), None)


def cost(hidden: tuple[int, ...], code: int, objectives: dict[str, Objective], size: Size, *, compile: bool) -> Any:
    """Milliseconds of a step of each objective, and their ratios to the plain one's, round by round."""
    keep_freed_memory()
    rows = Rows(torch.from_numpy(mnist()["x_train"][:BATCH]).flatten(1))
    contestants: dict[str, Callable[[], None]] = {}
    for name, objective in objectives.items():
        model = network(hidden, code, unknown="differentiated" in name)
        step = Step(model, objective, Scaling(scale=255.0), SEED, full_size=BATCH, compile=compile)

        def contestant(step: Step = step) -> None:
            for number in range(size.steps):
                step(rows, number, 1e-3)

        contestants[name] = contestant
    interleaved(contestants, 1)
    seconds = interleaved(contestants, size.rounds)
    ratios = {name: ratio(values, seconds["plain"]) for name, values in seconds.items() if name != "plain"}
    for name, found in ratios.items():
        print(f"{'compiled' if compile else 'eager'}, {name}: {shown(found)} a plain step (aim {AIM})", flush=True)
    milliseconds = {name: round(1e3 * min(values) / size.steps, 3) for name, values in seconds.items()}
    return {"milliseconds": milliseconds, "times_a_plain_step": ratios}


def both_ways(hidden: tuple[int, ...], code: int, objectives: dict[str, Objective], size: Size) -> dict[str, Any]:
    """Eager, and compiled where that is asked for."""
    results = {"widths": [784, *hidden, code], "batch": BATCH, "aim": AIM}
    results["eager"] = cost(hidden, code, objectives, size, compile=False)
    if size.compile:
        results["compiled"] = cost(hidden, code, objectives, size, compile=True)
    return results


def closed_form(size: Size) -> dict[str, Any]:
    """784-1000-784."""
    plain = Reconstruction()
    objectives = {
        "plain": plain,
        "contractive": plain + Contractive(0.1),
        "sparse": plain + KLSparsity(0.05, 10.0),
    }
    return both_ways((), 1000, objectives, size)


def estimated(size: Size) -> dict[str, Any]:
    """784-500-250-30-250-500-784."""
    plain = Reconstruction()
    objectives = {
        "plain": plain,
        "contractive": plain + Contractive(0.1),
        "contractive, two directions": plain + Contractive(0.1, n_directions=2),
        "contractive, differentiated twice": plain + Contractive(0.1),
        "all layers sparse": plain + KLSparsity(0.05, 10.0, "all"),
    }
    return both_ways((500, 250), 30, objectives, size)


def precision(size: Size) -> dict[str, Any]:
    """Relative standard deviation of one draw, in the mean over 50 examples."""
    x = torch.from_numpy(mnist()["x_train"][: size.n_images]).flatten(1) / 255
    model, results = network((500, 250), 30), {}
    for when in ("untrained", "trained"):
        if when == "trained":
            fit(model, Reconstruction() + Contractive(0.1), x, Settings(max_epochs=size.epochs, compile=False))
        found = deviations(model, x[:50], size.n_draws)
        print(f"{when}: " + ", ".join(f"{name} {value}" for name, value in found.items()))
        results[when] = found
    return results


def deviations(model: LatentVariableModel, x: Tensor, n_draws: int) -> dict[str, float]:
    """Of directions in the code, one and two, and of a direction in the space of inputs."""
    exact = jacobian_norm(model, x).double().square()
    encoder: Any = model.encoder

    def of_code(n_directions: int) -> Tensor:
        with torch.no_grad():
            return Contractive(1.0, n_directions)(model.trace(Batch(x, x)), model).value

    def of_inputs(_: int) -> Tensor:
        direction = torch.where(torch.rand_like(x) < 0.5, -1.0, 1.0)
        return torch.func.jvp(lambda rows: encoder(rows).mean, (x,), (direction,))[1].detach().square().sum(-1)

    kinds = {"code, one direction": (of_code, 1), "code, two directions": (of_code, 2), "inputs": (of_inputs, 1)}
    found = {}
    for name, (draw, n_directions) in kinds.items():
        draws = torch.stack([draw(n_directions) for _ in range(n_draws)]).double()
        found[name] = round(float(((draws - exact).square().mean(0).sqrt() / exact).mean()), 3)
    return found


PARTS = {"closed_form": closed_form, "estimated": estimated, "precision": precision}
FULL = Size(rounds=15, steps=40, n_images=10_000, epochs=10, n_draws=400)
TINY = Size(rounds=1, steps=1, n_images=256, epochs=1, n_draws=2, compile=False)

if __name__ == "__main__":
    main("contractive", __doc__, PARTS, FULL, TINY)

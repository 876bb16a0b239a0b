"""The worker that fits posteriors with Pyro: AutoNormal, Adam, one draw a step, as its tutorials do.

It runs in `.venv-peers`. The log-densities are the functions that Isthmus gets, a factor over parameters that Pyro
constrains itself: less Python a step than a model written with a sample statement for each distribution, in favour of
Pyro's time. Each parameter starts where Pyro's own default would, at zero before it is constrained.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import pyro
import torch
from pyro.distributions import ImproperUniform
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.optim import Adam
from torch import Tensor
from torch.distributions import biject_to

from posteriordb import Posterior, load
from workers import Line, serve

N_DRAWS = 100_000


def start(site: dict[str, Any]) -> Tensor:
    """Zero, constrained."""
    return biject_to(site["fn"].support)(torch.zeros(site["fn"].event_shape))


def moments(posterior: Posterior, guide: AutoNormal) -> tuple[Tensor, Tensor]:
    """Mean and sd of the posterior's quantities under the guide."""
    values = {}
    with torch.no_grad():
        for name, entry in posterior.parameters.items():
            constraint = entry[0] if isinstance(entry, tuple) else entry
            loc, scale = getattr(guide.locs, name), getattr(guide.scales, name)
            values[name] = biject_to(constraint)(loc + scale * torch.randn(N_DRAWS, *loc.shape))
        quantities = posterior.quantities(values)
    return quantities.mean(0), quantities.std(0)


def fit(line: Line, name: str, folder: str, n_steps: int, seed: int) -> None:
    """Fit one posterior; answers seconds, means and sds."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    posterior = load(name, folder)
    pyro.clear_param_store()
    pyro.set_rng_seed(seed)

    def model() -> None:
        values = {}
        for site, entry in posterior.parameters.items():
            constraint, shape = (entry[0], (entry[1],)) if isinstance(entry, tuple) else (entry, ())
            values[site] = pyro.sample(site, ImproperUniform(constraint, (), shape))
        pyro.factor("log_density", posterior.log_density(values))

    began = time.perf_counter()
    guide = AutoNormal(model, init_loc_fn=start)
    svi = SVI(model, guide, Adam({"lr": 0.01}), Trace_ELBO())
    for _ in range(n_steps):
        svi.step()
    seconds = time.perf_counter() - began
    mean, sd = moments(posterior, guide)
    line.send(seconds=seconds, mean=mean.tolist(), sd=sd.tolist())


def versions(line: Line) -> None:
    """What is compared with."""
    line.send(**{name: version(name) for name in ("pyro-ppl", "torch")})


if __name__ == "__main__":
    serve({"fit": fit, "versions": versions})

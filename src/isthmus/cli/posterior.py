"""`isthmus posterior FILE.py`: fit a posterior to a log-density that a file defines, and say how far to trust it."""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from ..files import replacing
from .main import UsageError, did_you_mean
from .terminal import parse, print_result, say

__all__ = ["PosteriorOptions", "run"]


@dataclass(kw_only=True)
class PosteriorOptions:
    """Fit a posterior to a log-density, and say how far to trust it.

    The file is Python: it defines log_density, a function, and parameters, an isthmus.inference.Parameters, or dim, the
    length of the vector that the function takes. It is run, so use only files that you trust.
    """

    file: tyro.conf.Positional[Path]
    """Python file that defines the log-density."""
    name: str = "log_density"
    """The function's name in the file."""
    family: str = "auto"
    """auto climbs from mean field with linear response until k-hat is at most 0.7; or one of mean-field,
    linear-response, full-rank, low-rank, mixture, flow, laplace."""
    direction: Literal["reverse", "forward", "alpha"] = "reverse"
    """Divergence: KL(q||p), KL(p||q), or Renyi's."""
    seed: int = 0
    """Of all that is drawn at random."""
    n: int = 2000
    """Draws that are weighed, more of them where that leaves doubt, and that --out writes."""
    out: Path | None = None
    """File for posterior draws, a .npz: an array for each parameter, draws first."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and fit."""
    options = parse(PosteriorOptions, arguments, "posterior")
    if options.out is not None and options.out.suffix != ".npz":
        raise UsageError(f"--out: expected a file that ends in .npz, got {options.out}")
    if options.n < 100:
        raise UsageError(f"--n: expected at least 100 draws, got {options.n}")
    from ..inference import fit_posterior
    from ..inference.climb import FAMILIES

    if options.family not in FAMILIES:
        raise UsageError(f"--family: unknown {options.family!r}{did_you_mean(options.family, FAMILIES)}")
    log_density, parameters = _defined(options.file, options.name)
    posterior = fit_posterior(
        log_density, parameters, family=options.family, direction=options.direction, n_weighed=options.n,
        random_state=options.seed,
    )  # fmt: skip
    if options.out is not None:
        _write_draws(options.out, posterior, options.n)
        say(f"wrote {options.n} draws to {options.out}")
    print_result(posterior.to_dict(), options.json, posterior.summary())


def _defined(file: Path, name: str) -> tuple[Any, Any]:
    """The log-density and its parameters, or dim, that a file defines."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file")
    folder = str(file.resolve().parent)  # what lies beside the file can be imported by it, as `python FILE` does
    sys.path.insert(0, folder)
    try:
        names = runpy.run_path(str(file))
    except Exception as error:  # whatever the file's own code may raise
        raise ValueError(f"{file}: could not be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    public = [key for key, value in names.items() if callable(value) and not key.startswith("_")]
    if name not in names:
        raise ValueError(f"{file}: expected a function {name}, got none{did_you_mean(name, public)}")
    if "parameters" not in names and "dim" not in names:
        raise ValueError(
            f"{file}: expected parameters or dim, got neither; define parameters = Parameters(...), as of "
            "isthmus.inference, or dim = 3, the length of the vector"
        )
    return names[name], names.get("parameters", names.get("dim"))


def _write_draws(path: Path, posterior: Any, n: int) -> None:
    import numpy as np

    draws = posterior.sample(n)
    values = {"x": draws} if posterior.parameters is None else posterior.parameters.constrain(draws)
    with replacing(path) as file:
        np.savez(file, **{key: value.cpu().numpy() for key, value in values.items()})

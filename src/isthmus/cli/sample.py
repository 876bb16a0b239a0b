"""`isthmus sample RUN`: new data from a trained model, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..estimators import Autoencoder
from .data_options import own_units, run_data
from .main import UsageError
from .options import load_run
from .rows import write_rows
from .terminal import parse, print_result, say

__all__ = ["SampleOptions", "run"]


@dataclass
class SampleOptions:
    """Write new data drawn from a trained model."""

    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16
    """Rows to draw."""
    prior: Literal["none", "gaussian", "mixture"] = "none"
    """For an autoencoder, which has no distribution of codes: the one to fit to the codes of its training data."""
    seed: int = 0
    """The same seed gives the same rows."""
    out: Path = Path("samples.npy")
    """File to write: .npy, .npz or .csv."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and sample."""
    options = parse(SampleOptions, arguments, "sample")
    if options.n < 1:
        raise UsageError(f"expected --n of at least 1, got {options.n}")
    estimator = load_run(options.run)
    if options.prior != "none":
        if not isinstance(estimator, Autoencoder):
            raise UsageError(f"expected no --prior for {type(estimator).__name__}, which has its own")
        data = run_data(options.run)
        say(f"fitting a {options.prior} prior to the codes of {len(data.x_train):,} rows of {data.name}")
        estimator.fit_prior(data.x_train, options.prior)
    elif isinstance(estimator, Autoencoder) and not hasattr(estimator, "prior_"):
        raise UsageError(
            "expected --prior gaussian or mixture: an autoencoder learns no distribution to draw codes from"
        )
    rows, names = own_units(options.run, estimator.sample(options.n, random_state=options.seed))
    write_rows(options.out, [rows], len(rows), "feature", names)
    print_result({"rows": options.n, "out": str(options.out)}, options.json)

"""`isthmus evaluate RUN`: measures of a trained model on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .data_options import RunDataOptions
from .options import load_run
from .terminal import parse, print_result, say
from .train import measure

__all__ = ["EvaluateOptions", "run"]


@dataclass(kw_only=True)
class EvaluateOptions(RunDataOptions):
    """Measure a trained model on held-out data."""

    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    part: Literal["test", "validation", "train", "all"] | None = None
    """Part of the data to measure on; all of a file named with --data, else the test rows, if not given."""
    importance_samples: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 0
    """Samples for the importance-weighted log-likelihood; 0 leaves it out. Published tables use 5,000."""
    annealed: int = 0
    """Temperatures of annealed importance sampling, which scores 100 rows without the encoder, and says how far off it
    may be; 0 leaves it out, 1,000 are a good number and take minutes. For models whose log p(x) is exact, or who have
    none, a note says so."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and measure."""
    options = parse(EvaluateOptions, arguments, "evaluate")
    part = options.part or ("test" if options.data is None else "all")
    estimator = load_run(options.run)
    data = options.load_data(options.run, split=part != "all")
    say(f"{type(estimator).__name__}: {data.description_of_rows if part == 'all' else data.description}")
    say(f"{type(estimator).__name__}: measuring on {len(data.part(part)[0]):,} rows of {data.name} ({part})")
    effort = options.importance_samples, options.annealed
    evaluation = measure(estimator, data, part, *effort, fitted=options.data is None)
    print_result(evaluation.to_dict(), options.json, evaluation.table())

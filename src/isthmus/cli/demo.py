"""`isthmus demo`: the whole of it in a minute."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..estimators import PCA, VAE, Autoencoder
from ..evaluation import Evaluation
from ..files import FORMAT, write_json
from .data_options import DataOptions
from .terminal import parse, print_result, say
from .train import train_model

__all__ = ["DemoOptions", "run"]


@dataclass(kw_only=True)
class DemoOptions(DataOptions):
    """Train PCA, an autoencoder and a VAE with two-dimensional codes, measure them side by side, write a report."""

    out: Path = Path("runs/demo")
    """Folder for the report and the three models; what a demo left there before is replaced."""
    epochs: int | None = None
    """Passes over the data; chosen by their number if not given."""
    seed: int = 0
    """The same seed gives the same report."""
    json: bool = False
    """Print the measures as JSON."""


STEPS = 2_000
"""Training steps of each network if --epochs is not given: enough to see what there is to see, in seconds."""


def run(arguments: list[str]) -> None:
    """Parse, train, measure and report."""
    from ..report import write_report

    options, began = parse(DemoOptions, arguments, "demo"), time.monotonic()
    data, note = options.load()
    steps_an_epoch = -(-len(data.x_train) // 128)
    epochs = options.epochs or max(1, round(STEPS / steps_an_epoch))
    networks: dict[str, Any] = {
        "hidden": (256, 128),
        "max_epochs": epochs,
        "schedule": "cosine",
        "random_state": options.seed,
        "binarisation": "dynamic" if options.binarisation == "dynamic" else "none",
    }
    estimators = {
        "PCA": PCA(n_components=2),
        "Autoencoder": Autoencoder(n_components=2, verbose=True, **networks),
        "VAE": VAE(n_components=2, verbose=True, **networks),
    }
    evaluations = {}
    for name, estimator in estimators.items():
        evaluations[name] = train_model(estimator, data, note, options.out / name.lower())
    say("drawing the report")
    page = write_report(options.out, estimators, data, evaluations)
    plain = {name: evaluation.to_dict() for name, evaluation in evaluations.items()}
    write_json(options.out / "measures.json", {"format": FORMAT, "models": plain})
    say(f"done in {time.monotonic() - began:.0f} s")
    text = f"{side_by_side(evaluations)}\n\nOpen the report: {page}"
    print_result({"report": str(page), "models": plain}, options.json, text)


def side_by_side(evaluations: dict[str, Evaluation]) -> str:
    """A table for terminals: a line a measure, a column a model."""
    units = {measure.name: measure.unit for evaluation in evaluations.values() for measure in evaluation}
    rows = [["measure", *evaluations, "unit"]]
    for name, unit in units.items():
        cells = [evaluation[name].formatted()[0] if name in evaluation else "-" for evaluation in evaluations.values()]
        rows.append([name, *cells, unit])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *cells, unit = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *cells, unit.strip()]))
    return "\n".join(lines)

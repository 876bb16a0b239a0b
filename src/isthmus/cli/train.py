"""`isthmus train MODEL`: data in, run folder out."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import DataSet, load_data
from ..evaluation import evaluate
from ..files import read_json, write_json
from ..report import write_report
from .main import UsageError
from .options import estimator_options, find_model, models, parse, print_result

__all__ = ["run", "train_model"]


@dataclass
class TrainOptions:
    """What to train on, and where to put it."""

    data: str = "digits"
    """File (.npy, .npz, .csv) or named set (digits, mnist)."""
    label: str | None = None
    """Column of a .csv file that holds the labels; they colour pictures and are not trained on."""
    out: Path | None = None
    """Run folder; runs/MODEL if not given."""
    resume: bool = False
    """Go on from the newest checkpoint in --out, with the data and the parameters of that run."""
    overwrite: bool = False
    """Replace a run that is in --out already."""
    report: bool = True
    """Write report.html and plots/."""
    json: bool = False
    """Print the result as JSON."""


USAGE = """usage: isthmus train MODEL [options]      options of a model: isthmus train MODEL --help
       isthmus train --resume --out RUN   go on with a run that was stopped

models:
{models}
"""


def run(arguments: list[str]) -> None:
    """Parse and train."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:<14} {(kind.__doc__ or '').splitlines()[0]}" for name, kind in models().items())
        print(USAGE.format(models=lines), end="")
        if not arguments:
            raise UsageError("expected a model, got none")
        return
    if arguments[0].startswith("-"):
        options = parse(TrainOptions, arguments, "train", "Go on with a run that was stopped.")
        if not options.resume or options.out is None:
            raise UsageError("expected a model, or --resume and --out, got neither")
        print_result(_resume(options), options.json)
        return
    name, *rest = arguments
    kind = find_model(name)
    fields = estimator_options(kind)
    combined = dataclasses.make_dataclass("Options", fields, bases=(TrainOptions,), kw_only=True)
    options = parse(combined, rest, f"train {name}", (kind.__doc__ or "").split("\n\n")[0])
    if options.resume:
        options.out = options.out or Path("runs") / name
        print_result(_resume(options), options.json)
        return
    parameters = {field: getattr(options, field) for field, _, _ in fields}
    if "verbose" in parameters:
        parameters["verbose"] = True
    out = options.out or Path("runs") / name
    if (out / "config.json").exists() and not options.overwrite:
        raise UsageError(f"{out} holds a run already; use --resume to go on with it, --overwrite, or another --out")
    data = load_data(options.data, label=options.label)
    note = {"source": options.data, "label": options.label, "split": data.split}
    print_result(train_model(kind(**parameters), data, note, out, options.report), options.json)


def _resume(options: TrainOptions) -> dict[str, Any]:
    assert_out: Any = options.out
    config = read_json(assert_out / "config.json")
    if config.get("kind") != "estimator" or not config.get("data"):
        raise ValueError(f"Expected a run of `isthmus train` in {options.out}, got another folder.")
    parameters = {name: tuple(v) if isinstance(v, list) else v for name, v in config["parameters"].items()}
    note = config["data"]
    data = load_data(note["source"], label=note["label"])
    kind = find_model(config["estimator"].lower())
    return train_model(kind(**parameters), data, note, assert_out, options.report, resume=True)


def train_model(
    estimator: Any, data: DataSet, note: dict[str, Any], out: Path, report: bool = True, resume: bool = False
) -> dict[str, Any]:
    """Train, save, evaluate and report one model into a run folder."""
    write_json(out / "config.json", estimator.configuration() | {"data": note})
    name = type(estimator).__name__
    if hasattr(estimator, "max_epochs"):
        estimator.fit(data.x_train, folder=out, resume=resume, validation=data.x_test if len(data.x_test) else None)
    else:
        estimator.fit(data.x_train)
    estimator.save(out, data=note)
    print(f"{name}: evaluating on {len(data.x_test):,} test rows", file=sys.stderr)
    measures = evaluate(estimator, data.x_test, data.y_test, X_train=data.x_train, y_train=data.y_train)
    if report:
        write_report(out, {name: estimator}, data, {name: measures})
    return {"model": name, "out": str(out)}

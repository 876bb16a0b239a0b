"""`isthmus train MODEL`: data in, run folder out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from ..data import DataSet
from ..data.table_read import units_of_likelihoods
from ..estimators import BaseAutoencoder, LatentEstimator
from ..estimators.conditions import Conditions
from ..estimators.labels import checked_labels, classes_of, is_labelled, one_hot
from ..estimators.targets import checked_targets
from ..estimators.training_parameters import BaseTraining
from ..evaluation import Evaluation, evaluate
from ..evaluation.clusters import has_clusters
from ..evaluation.given import given, is_conditional
from ..files import FORMAT, read_json, remove, write_json
from ..processes import from_first
from ..training import Settings
from ..training.checkpoint import checkpoints
from ..training.folder import own_folder
from .data_options import NO_LABELS, DataOptions, checked_note, filled_part, found_again, noted_data
from .main import UsageError
from .options import estimator_options, find_model, models
from .terminal import parse, print_result, say

__all__ = ["TrainOptions", "measure", "run", "train_model"]


@dataclass(kw_only=True)
class TrainOptions(DataOptions):
    """Train a model on data and write a run folder."""

    out: Path | None = None
    """Run folder; runs/MODEL if not given."""
    resume: bool = False
    """Go on from the newest checkpoint in --out, with the data and the parameters of that run; of those, only
    --max-epochs, --device and --compile may be given anew."""
    overwrite: bool = False
    """Replace the run that is in --out."""
    no_report: bool = False
    """Leave out report.html and plots/."""
    json: bool = False
    """Print the result as JSON."""


USAGE = """usage: isthmus train MODEL [options]           options of a model: isthmus train MODEL --help
       isthmus train --resume --out RUN       go on with a run that was stopped

models:
{models}
"""


def run(arguments: list[str]) -> None:
    """Parse and train."""
    if not arguments:
        raise UsageError(f"expected a model, got none; there are {', '.join(models())}")
    if arguments[0] in ("-h", "--help"):
        found = sorted(models().items())
        width = max(len(name) for name, _ in found)
        lines = [f"  {name:<{width}}  {(kind.__doc__ or '').splitlines()[0]}" for name, kind in found]
        print(USAGE.format(models="\n".join(lines)), end="")
        return
    if arguments[0].startswith("-"):
        if "--resume" not in arguments:
            raise UsageError(f"expected a model before the options, such as 'isthmus train vae', got {arguments[0]}")
        options = parse(TrainOptions, arguments, "train")
        if not options.resume or options.out is None:
            raise UsageError("expected a model, such as 'isthmus train vae', or --resume with --out")
        _resume(options.out, options)
        return
    name, *rest = arguments
    kind = find_model(name)
    fields = estimator_options(kind)
    combined = dataclasses.make_dataclass("Options", fields, bases=(TrainOptions,), kw_only=True)
    combined.__doc__ = (kind.__doc__ or "").split("\n\n")[0]
    options = parse(combined, rest, f"train {name}")
    out = options.out or Path("runs") / name
    parameters: dict[str, Any] = {field: getattr(options, field) for field, _, _ in fields}
    if options.binarisation == "dynamic":
        if not issubclass(kind, BaseAutoencoder):
            raise UsageError(
                f"expected no --binarisation dynamic for {kind.__name__}, which draws no pixels while it is trained; "
                "use static"
            )
        parameters["binarisation"] = "dynamic"
    if options.resume:
        changed = {name: value for name, value in parameters.items() if value != getattr(kind(), name)}
        _resume(out, options, kind, changed)
        return
    # The first process looks for all of several: it may write that file before another one comes here.
    if from_first(_holds_run(out)) and not options.overwrite:
        raise UsageError(f"{out} holds a run already; use --resume to go on with it, --overwrite, or another --out")
    if issubclass(kind, BaseTraining):
        parameters["verbose"] = True
    if "random_state" in parameters:
        parameters["random_state"] = parameters["random_state"] or 0  # a run can be made again, or resumed, by its seed
    try:
        kind(**parameters)._check_parameters()  # before data are read, and anything is written
        Settings(device=parameters.get("device", "auto")).resolve_device()
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    if options.missing == "keep" and not kind.missing_values:
        able = [model for model, other in models().items() if other.missing_values]
        raise UsageError(f"expected --missing keep for models that take missing values ({', '.join(able)}), got {name}")
    data, note = options.load()
    if parameters.get("patience") is not None and not len(data.x_valid):
        raise UsageError("--patience needs validation rows to watch; use a --validation-fraction above 0")
    _train(kind(**parameters), data, note, out, options)


def _holds_run(out: Path) -> bool:
    """Whether a folder has something that a new run would replace: a model, or a checkpoint of one."""
    places = (out, *out.glob("layer-*"), *out.glob("part-*"))  # where a run in several parts was stopped
    return (out / "config.json").exists() and ((out / "model.safetensors").exists() or any(map(checkpoints, places)))


FREE = ("max_epochs", "device", "compile")
"""Parameters that a resumed run may change."""


def _resume(
    out: Path, options: TrainOptions, kind: type[LatentEstimator] | None = None, changed: dict[str, Any] | None = None
) -> None:
    if not (out / "config.json").exists():
        raise ValueError(f"Expected a run to resume in {out}, got none; start it without --resume.")
    config = read_json(out / "config.json")
    if config.get("kind") != "estimator" or not config.get("data"):
        raise ValueError(f"Expected a run of `isthmus train` in {out}, got another folder; use the --out of that run.")
    note, estimator = checked_note(config["data"], out / "config.json"), LatentEstimator.from_configuration(config, out)
    if kind is not None and type(estimator) is not kind:
        raise UsageError(f"{out} holds a run of {type(estimator).__name__}, not of {kind.__name__}")
    for name, value in (changed or {}).items():
        if name in FREE:
            estimator.set_params(**{name: value})
        elif value != getattr(estimator, name):
            option = name.replace("_", "-")
            raise UsageError(f"a resumed run keeps its --{option} {getattr(estimator, name)}; leave --{option} out")
    if options.binarisation == "dynamic" and getattr(estimator, "binarisation", "none") != "dynamic":
        raise UsageError("a resumed run keeps its data as they were read; leave --binarisation out")
    if options.data != TrainOptions.data and note["source"] not in (options.data, found_again(options.data)):
        raise UsageError(f"a resumed run keeps its data, {note['source']}; leave --data out")
    for name, value in options.keywords().items():
        if value != (note.get("keywords", {}) | note.get("split", {})).get(name):
            option = {"seed": "split-seed", "binarise": "binarisation"}.get(name, name.replace("_", "-"))
            raise UsageError(f"a resumed run keeps its data as they were read; leave --{option} out")
    _train(estimator, noted_data(note), note, out, options, resume=True)


def _train(
    estimator: LatentEstimator,
    data: DataSet,
    note: dict[str, Any],
    out: Path,
    options: TrainOptions,
    resume: bool = False,
) -> None:
    name = type(estimator).__name__
    _check_labels(estimator, data)
    evaluation = train_model(estimator, data, note, out, resume)
    if not options.no_report:
        from ..report import write_report  # matplotlib takes a second

        say(f"{name}: drawing the report")
        write_report(out, {name: estimator}, data, {name: evaluation})
    result = {"model": name, "out": str(out)} | evaluation.to_dict()
    print_result(result, options.json, f"{evaluation.table()}\n\n{name} is in {out}")


def _check_labels(estimator: LatentEstimator, data: DataSet) -> None:
    """Labels of all parts, where the model is told them: before anything is written, or trained for long."""
    if _classifies(estimator) and data.y_train is None:
        raise ValueError(
            f"Expected labels for {type(estimator).__name__} to learn, got data without them; {NO_LABELS}."
        )
    others = [(x, y) for x, y in (data.part("validation"), data.part("test")) if len(x)]
    if is_regressor(estimator):
        for x, y in ((data.x_train, data.y_train), *others):
            _check_numbers(estimator, y, len(x))
    if _classifies(estimator):
        labels = checked_labels(data.y_train, len(data.x_train))
        classes = classes_of(labels[is_labelled(labels)])
        for x, y in others:
            labels = checked_labels(y, len(x))
            one_hot(labels[is_labelled(labels, classes)], classes)
    if given(estimator, data.y_train, NO_LABELS):
        conditions = Conditions.of(data.y_train)
        for x, y in others:
            conditions.as_tensor(y, len(x))


def _check_numbers(estimator: Any, y: Any, n_rows: int) -> None:
    if y is None:
        raise ValueError(
            f"Expected numbers for {type(estimator).__name__} to predict, got data without them; name their column "
            "with --label, or use .npz with y."
        )
    if np.asarray(y).dtype.kind not in "buif":
        raise ValueError(
            f"Expected numbers for {type(estimator).__name__} to predict, got text such as {str(y[0])!r}; name another "
            "column with --label, or train a classifier."
        )
    checked_targets(y, n_rows)


def _learns_targets(estimator: Any) -> bool:
    return _classifies(estimator) or is_regressor(estimator)


def _classifies(estimator: Any) -> bool:
    return is_classifier(estimator)


def train_model(
    estimator: LatentEstimator, data: DataSet, note: dict[str, Any], out: Path, resume: bool = False
) -> Evaluation:
    """Train, save and measure one model into a run folder; returns its measures, on test rows where there are any."""
    with own_folder(out):  # before anything of another run could be replaced
        return _train_model(estimator, data, note, out, resume)


def _train_model(estimator: Any, data: DataSet, note: dict[str, Any], out: Path, resume: bool) -> Evaluation:
    if not resume:
        for stale in ("model.safetensors", "measures.json", "report.html"):  # of a run that this one replaces
            remove(out / stale)
    write_json(
        out / "config.json", estimator.configuration() | {"data": note}
    )  # before anything, so that it can resume
    name = type(estimator).__name__
    say(f"{name}: {data.description}")
    if isinstance(estimator, BaseTraining):
        # Never the test rows: what is watched is chosen by, if not by early stopping then by a person.
        watched: Any = data.x_valid if len(data.x_valid) else None
        if (_learns_targets(estimator) or is_conditional(estimator)) and watched is not None:
            watched = watched, data.y_valid
        estimator.fit(data.x_train, data.y_train, validation=watched, folder=out, resume=resume)
    elif _learns_targets(estimator):
        estimator.fit(data.x_train, data.y_train)
    else:
        estimator.fit(data.x_train)
    estimator.save(out, data=note)
    part = next(part for part in ("test", "validation", "train") if len(data.part(part)[0]))
    say(f"{name}: measuring on {len(data.part(part)[0]):,} {part} rows")
    evaluation = measure(estimator, data, part)
    write_json(out / "measures.json", {"format": FORMAT} | evaluation.to_dict())
    return evaluation


def measure(
    estimator: LatentEstimator,
    data: DataSet,
    part: str,
    n_importance_samples: int = 0,
    n_temperatures: int = 0,
    fitted: bool = True,
) -> Evaluation:
    """All measures on a part of the data, those `fitted` or others; probes learn from its training rows with labels."""
    X, y = filled_part(data, part)
    given(estimator, y, NO_LABELS)
    labelled = y is not None and data.y_train is not None
    train: dict[str, Any] = {"X_train": data.x_train, "y_train": data.y_train} if labelled else {}
    if has_clusters(estimator) and fitted and part != "all":  # BIC is for the rows of the fit
        train = {"X_train": data.x_train}
    effort = {"n_importance_samples": n_importance_samples, "n_temperatures": n_temperatures}
    found = evaluate(estimator, X, y, binarisation=data.binarisation, **effort, **train)
    scales = (data.preparation or {}).get("scales")
    if not scales or _learns_targets(estimator) or not {"log_likelihood", "bound"} & {m.name for m in found}:
        return found
    return dataclasses.replace(found, notes=(*found.notes, f"likelihoods: {units_of_likelihoods(scales)}."))

"""The report in words and numbers: title, summary, highlights, the table of measures, the settings."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .html import Cell, Highlight, Table
from .view import ModelView

__all__ = ["command_line", "highlights", "listed", "measure_table", "settings", "summary", "title"]

_HIGHER = {"bound", "log_likelihood", "logistic_accuracy", "neighbours_accuracy", "accuracy"}
_LOWER = {"squared_error", "squared_error_per_feature", "bits_per_dimension", "error", "log_loss"}

_PROBABILITY = {False: "p(x)", True: "p(x|y)"}
"""What is bounded, by whether the model is told y."""


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def title(views: Sequence[ModelView], data: Any) -> str:
    """The report's heading."""
    return f"{listed([view.name for view in views])} on {data.name}"


def summary(views: Sequence[ModelView], data: Any, measures: Mapping[str, Any]) -> tuple[str, ...]:
    """What was done and what came of it, for a reader who skips the rest."""
    names, n_features = listed([view.name for view in views]), views[0].data.n_features
    sizes = sorted({view.n_components for view in views})
    numbers = f"{sizes[0]} to {sizes[-1]} numbers" if len(sizes) > 1 else f"{sizes[0]} numbers"
    numbers = "one number" if sizes == [1] else numbers
    first = (
        f"An example of {data.name} is {n_features:,} numbers. {names} learned from {len(data.x_train):,} of them to "
        f"press an example into {numbers}, its code, and to rebuild it from the code alone."
    )
    unseen = len(data.x_test) or len(data.x_valid)
    what = f"On {unseen:,} examples not seen in training" if unseen else "On the training examples"
    found = _found(measures, views, what, n_features)
    return (first, " ".join(found)) if found else (first,)


def _found(measures: Mapping[str, Any], views: Sequence[ModelView], what: str, n_features: int) -> list[str]:
    """Sentences about the measures that are there."""
    names, told = [view.name for view in views], {view.name for view in views if view.conditional}
    sentences = []
    errors = {name: m for name in names if (m := _find(measures, name, "squared_error"))}
    if errors:
        each = listed([f"{_text(m)[0]}{_of(name, names)}" for name, m in errors.items()])
        best = min(errors, key=lambda name: errors[name].value)
        over = f"the {n_features:,} numbers of an example"
        sentences.append(f"{what} the squared error, summed over {over}, is {each}.")
        if len(errors) > 1:
            runner_up = min(m.value for name, m in errors.items() if name != best)
            share = round(100 * (1 - errors[best].value / runner_up)) if runner_up > 0 else 0
            if share > 0:
                sentences.append(f"{best} is the closest, {share}\u00a0% below the next.")
    for name in names:
        bound, rate = _find(measures, name, "bound"), _find(measures, name, "rate")
        if bound and rate:
            # Grey values under a Bernoulli likelihood: what is bounded then is no likelihood of grey images.
            of = getattr(measures.get(name), "likelihood_of", None) or ""
            grey = ", grey values counted as probabilities" if of.startswith("grey") else ""
            grey = grey or (f" of pixels after {of}" if "binarisation" in of else "")
            sentences.append(
                f"{name} also says how probable an example is: its lower bound on "
                f"log\u00a0{_PROBABILITY[name in told]} is "
                f"{_text(bound)[0]}\u00a0nats in the mean{grey}, and its code holds {_text(rate)[0]}\u00a0nats."
            )
    # A conditional model is told the labels: what its codes say of them besides is no merit.
    untold = [name for name in names if name not in told]
    accuracy = {name: m for name in untold if (m := _find(measures, name, "neighbours_accuracy"))}
    if accuracy:
        each = listed([f"{100 * m.value:.0f}\u00a0%{_of(name, names)}" for name, m in accuracy.items()])
        sentences.append(f"Trained without labels, the codes still tell classes apart: by nearest neighbours, {each}.")
    return sentences


def _of(name: str, names: Sequence[str]) -> str:
    return f" for {name}" if len(names) > 1 else ""


def highlights(views: Sequence[ModelView], measures: Mapping[str, Any]) -> tuple[Highlight, ...]:
    """Up to four numbers: how narrow the code is, and the best of each of the main measures."""
    last = views[-1]
    found = [Highlight(f"{last.data.n_features:,} → {last.n_components}", "numbers in an example and in its code")]
    names, told = [view.name for view in views], {view.name for view in views if view.conditional}
    given = len(told) == len(names)  # bounds on p(x|y) and on p(x) don't compare, nor do codes that need not tell y
    wanted = (
        ("squared_error", min, "squared error of an example", ""),
        ("bound", max, f"lower bound on log\u00a0{_PROBABILITY[given]}", "\u00a0nats"),
        ("neighbours_accuracy", max, "classes read from the code by nearest neighbours", "\u00a0%"),
    )
    for key, choose, label, unit in wanted:
        counted = [name for name in names if name not in told or key == "squared_error" or (key == "bound" and given)]
        values = {name: m for name in counted if (m := _find(measures, name, key))}
        if not values:
            continue
        best = choose(values, key=lambda name: values[name].value)
        text = f"{100 * values[best].value:.1f}" if unit == "\u00a0%" else _text(values[best])[0]
        who = f"{label}, {best}" if len(values) == 1 else f"{label}, best: {best}"
        found.append(Highlight(text + unit, who if len(names) > 1 else label))
    return tuple(found)


def measure_table(measures: Mapping[str, Any]) -> Table | None:
    """Measures side by side. Two of one name that mean different things have a row each: they don't compare."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for model, evaluation in measures.items():
        for measure in evaluation:
            rows.setdefault((measure.name, measure.unit, measure.description), {})[model] = measure
    if not rows:
        return None
    models = tuple(measures)
    lines = []
    for (name, unit, description), found in sorted(rows.items(), key=lambda row: _place(row[0][0])):
        best = _best(name, found)
        cells = tuple(_cell(found.get(model), model in best) for model in models)
        label = name.replace("_", " ").capitalize()
        shown = unit.removeprefix(label.lower()).strip()  # "Squared error, per example", not twice "squared error"
        lines.append((label, "" if label.lower().endswith(shown) else shown, description, cells))
    how = ["± is the standard error of a mean over examples."]
    if any(cell.best for *_, cells in lines for cell in cells):
        how.append("Bold: the best of a row, and what is within a standard error of it.")
    if any(len(found) < len(models) for found in rows.values()):
        how.append("A dash: the model has no such measure. A deterministic code, for one, gives no bound on log p(x).")
    return Table(models, tuple(lines), " ".join(how))


def _place(name: str) -> int:
    """Where a measure stands in the table: errors, likelihoods, accuracies; others between."""
    order = ("squared_error", "squared_error_per_feature", "log_likelihood", "bound", "distortion", "rate", "")
    return order.index(name if name in order else "") if not name.endswith("accuracy") else len(order)


def _best(name: str, found: Mapping[str, Any]) -> set[str]:
    """The models with the best value, and those that noise does not tell from it, where there is a choice."""
    values = {model: measure.value for model, measure in found.items() if np.isfinite(measure.value)}
    if len(values) < 2 or name not in _HIGHER | _LOWER:
        return set()
    best = (max if name in _HIGHER else min)(values, key=lambda model: values[model])

    def error(model: str) -> float:
        return found[model].standard_error or 0.0

    return {model for model in values if abs(values[model] - values[best]) <= np.hypot(error(model), error(best))}


def _cell(measure: Any, best: bool) -> Cell:
    return Cell("–") if measure is None else Cell(*_text(measure), best=best)


def _text(measure: Any) -> tuple[str, str]:
    """Value and standard error, with no more digits than the error leaves meaning to, and a true minus sign."""
    value, error = measure.formatted()
    return value.replace("-", "−"), error


def _find(measures: Mapping[str, Any], model: str, name: str) -> Any:
    return next((m for m in measures.get(model, ()) if m.name == name and np.isfinite(m.value)), None)


def settings(
    views: Sequence[ModelView], data: Any, measures: Mapping[str, Any]
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Groups of names and values: the data, each model's parameters, versions."""
    split = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in data.split.items())
    about: list[tuple[str, tuple[tuple[str, str], ...]]] = [
        ("data", (("source", data.description), ("shape", str(data.feature_shape)), ("split", split)))
    ]
    for view in views:
        parameters = view.estimator.get_params() if hasattr(view.estimator, "get_params") else {}
        chosen = {"likelihood, as chosen": getattr(view.estimator, "likelihood_", None)}
        entries = [*parameters.items(), *((k, v) for k, v in chosen.items() if v is not None)]
        about.append((view.name, tuple((str(k), _plain(v)) for k, v in entries)))
    notes = [(model, note) for model, found in measures.items() for note in getattr(found, "notes", ())]
    if notes:
        about.append(("notes on the measures", tuple(notes)))
    versions = [("Python", platform.python_version())]
    for package in ("isthmus", "torch", "numpy", "scikit-learn", "matplotlib"):
        try:
            versions.append((package, version(package)))
        except PackageNotFoundError:
            continue
    versions.append(("platform", f"{platform.system()} {platform.machine()}"))
    return (*about, ("versions", tuple(versions)))


def _plain(value: Any) -> str:
    """A parameter in a few words; a module by its name, not by its drawing."""
    plain = isinstance(value, str | int | float | bool | tuple | list | type(None) | np.generic)
    return str(value) if plain else type(value).__name__


def command_line() -> str:
    """The command that started this process, if it was `isthmus`."""
    import shlex
    from pathlib import Path

    program = Path(sys.argv[0]) if sys.argv else Path()
    if program.stem == "isthmus" or (program.name == "__main__.py" and program.parent.name == "isthmus"):
        return shlex.join(["isthmus", *sys.argv[1:]])
    return ""

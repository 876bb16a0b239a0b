"""From fitted estimators to a folder with pictures and a page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..data import DataSet
from ..files import write_bytes, write_text
from . import classification, clusters, regression, words
from .codes import codes, walk
from .html import Report, Section, render
from .inside import networks, units
from .reconstructions import reconstructions
from .samples import samples
from .studio import Studio
from .training import training
from .view import DataView, ModelView

__all__ = ["write_report"]


_OF_CLASSIFIERS: tuple[Any, ...] = (classification.confusion, training)
_OF_REGRESSORS: tuple[Any, ...] = (regression.predictions, regression.calibration, training)
_OF_CLUSTERS: tuple[Any, ...] = (clusters.components, clusters.draws, clusters.bounds)


def write_report(
    folder: str | os.PathLike[str],
    estimators: Mapping[str, Any],
    data: DataSet,
    measures: Mapping[str, Iterable[Any]] | None = None,
    *,
    command: str | None = None,
    seed: int = 0,
) -> Path:
    """Write `report.html` and `plots/*.png` about one or several fitted models of the same data.

    Anything with `transform`, `inverse_transform` and `reconstruct` will do, classifiers, and mixtures. Models whose
    `model_` has a prior are sampled by their `sample`, those without one in two ways that show why they need it. The
    same models, data and seed give the same files.

    Args:
        folder: the run folder; other files in it stay.
        estimators: fitted estimators by the name to show; the last one is the one that a comparison leads up to.
        data: what they were fitted on and are tested on.
        measures: for each name, what `isthmus.evaluate` found.
        command: the command line to run again; by default that of this process, where it is `isthmus`.
        seed: of samples and of the choice of examples.

    Returns:
        The path of the page.

    Raises:
        ValueError: no estimators.

    Example:
        >>> import tempfile
        >>> from isthmus.data import load_data
        >>> from isthmus.estimators import PCA
        >>> data = load_data("digits")
        >>> page = write_report(tempfile.mkdtemp(), {"PCA": PCA(n_components=2).fit(data.x_train)}, data)
        >>> page.name
        'report.html'
    """
    if not estimators:
        raise ValueError("Expected at least one fitted estimator, got none.")
    folder = Path(folder)
    shown = DataView.of(data, seed)
    views = [ModelView(name, estimator, shown) for name, estimator in estimators.items()]
    measures = dict(measures or {})
    studio = Studio(shown, views)
    classifiers = all(map(classification.classifies, estimators.values()))
    parts: tuple[Any, ...] = (reconstructions, codes, units, samples, walk, training, networks)
    told: Any = words
    if classifiers:
        parts, told = _OF_CLASSIFIERS, classification
    elif all(map(regression.predicts, estimators.values())):
        parts, told = _OF_REGRESSORS, regression
    elif all(map(clusters.has_clusters, estimators.values())):
        parts, told = _OF_CLUSTERS, clusters
    sections = [_numbers(measures), *(make(studio) for make in parts)]
    report = Report(
        title=words.title(views, data),
        subtitle=data.description,
        summary=told.summary(views, data, measures),
        highlights=told.highlights(views, measures),
        sections=tuple(section for section in sections if section is not None),
        settings=words.settings(views, data, measures),
        command=words.command_line() if command is None else command,
    )
    for name, image in studio.files.items():
        write_bytes(folder / "plots" / name, image)
    page = folder / "report.html"
    write_text(page, render(report))
    return page


def _numbers(measures: Mapping[str, Any]) -> Section | None:
    table = words.measure_table(measures)
    if table is None:
        return None
    text = ["All likelihoods are in nats (1 nat = 1.44 bits) and summed over the features of an example."]
    if any(measure.name == "log_loss" for found in measures.values() for measure in found):
        text = ["Log loss is in nats (1 nat = 1.44 bits): what it takes to tell the class to whoever has the model."]
    if any(measure.name == "rate" for found in measures.values() for measure in found):
        text.append(
            "Rate and distortion are the two parts of the bound. The rate is the price of the code: the nats it takes "
            "to tell it to someone who knows only the prior. The distortion is the price of what the code leaves open: "
            "the nats that then remain to tell the example itself. Their sum is minus the bound. A narrow code has a "
            "low rate and a high distortion; training looks for the cheapest total."
        )
    return Section("In numbers", tuple(text), (table,))

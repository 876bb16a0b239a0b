"""What a report says of classifiers, in place of codes and reconstructions: how often they are right, and where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .html import Figures, Highlight, Section
from .plots import shorten
from .studio import Studio, slug
from .style import LIGHT, Theme, new_figure, polish
from .view import ModelView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["classifies", "confusion", "confusion_matrix", "confusions", "highlights", "summary"]

MOST_CLASSES = 30
"""Beyond these a matrix can't be read."""


def classifies(estimator: Any) -> bool:
    """Whether it is a classifier that a report can say something of."""
    return hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")


def summary(views: Sequence[ModelView], data: Any, measures: Mapping[str, Any]) -> tuple[str, ...]:
    """What was done and what came of it."""
    texts = []
    for view in views:
        estimator = view.estimator
        n = len(estimator.classes_)
        how = {
            "unsupervised": "Its hidden layers were first trained one after the other, without labels.",
            "supervised": "Its hidden layers were first trained one after the other, each in a small classifier.",
        }.get(getattr(estimator, "pretraining", ""), "")
        texts.append(
            f"{view.name} learned from {len(data.x_train):,} examples of {data.name} to tell {n} classes apart. {how}"
        )
        found = _values(measures, view.name)
        if "error" in found and "log_loss" in found:
            unseen = len(data.x_test) or len(data.x_valid)
            what = f"{unseen:,} examples not seen in training" if unseen else "the training examples"
            texts.append(
                f"On {what} it is wrong in {100 * found['error'].value:.2f}\u00a0%, and its log loss is "
                f"{found['log_loss'].formatted()[0]}\u00a0nats: to guess all classes alike would cost {np.log(n):.2f}."
            )
    return tuple(text.strip() for text in texts)


def highlights(views: Sequence[ModelView], measures: Mapping[str, Any]) -> tuple[Highlight, ...]:
    """Error and log loss of the last one."""
    view = views[-1]
    found = _values(measures, view.name)
    shown = [Highlight(f"{len(view.estimator.classes_)}", "classes")]
    if "error" in found:
        shown.append(Highlight(f"{100 * found['error'].value:.2f}\u00a0%", "of examples get a wrong class"))
    if "log_loss" in found:
        shown.append(Highlight(f"{found['log_loss'].formatted()[0]}\u00a0nats", "log loss"))
    return tuple(shown)


def _values(measures: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {measure.name: measure for measure in measures.get(name, ())}


def confusion(studio: Studio) -> Section | None:
    """Which classes are taken for which."""
    data, pictures = studio.data, []
    for view in studio.views:
        try:
            counts, names = confusions(view)
        except ValueError:  # no labels, or too many classes
            continue
        wrong = counts.sum() - np.trace(counts)
        pictures.append(
            studio.chart(
                f"confusion-{slug(view.name)}",
                lambda theme, counts=counts, names=names: confusion_matrix(counts, names, theme),
                f"Confusion matrix of {view.name}: {wrong} of {counts.sum()} {data.noun} get a wrong class.",
                view.name,
            )
        )
    if not pictures:
        return None
    text = (
        "Each row is a class as it is, each column a class as predicted; numbers count examples, colours are "
        "shares of a row. What stands off the diagonal is wrong.",
    )
    return Section("Which classes are taken for which", text, (Figures(tuple(pictures)),))


def confusions(view: ModelView) -> tuple[np.ndarray, list[str]]:
    """How many of the examples shown, of each class (rows), are taken for each (columns), and the classes' names.

    Raises:
        ValueError: examples without labels that the classifier knows, or more classes than can be shown.
    """
    y, classes = view.data.y, view.estimator.classes_
    known = np.zeros(0, bool) if y is None else np.isin(y, classes)
    if y is None or not known.any() or len(classes) > MOST_CLASSES:
        raise ValueError(f"Expected examples with labels of up to {MOST_CLASSES} classes, got others.")
    predicted = view.estimator.predict(view.data.x[known])
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (np.searchsorted(classes, y[known]), np.searchsorted(classes, predicted)), 1)
    return counts, [str(label) for label in classes.tolist()]


def confusion_matrix(counts: np.ndarray, names: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Counts (true class, predicted class) as a table of colours, with the numbers in it where there is room."""
    from matplotlib.colors import LinearSegmentedColormap

    n = len(counts)
    size = min(4.6, 1.4 + 0.32 * n)
    figure = new_figure(size, size, theme)
    axes: Axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("share", [theme.tile, theme.models[0]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.pcolormesh(shares, cmap=colours, vmin=0, vmax=1, edgecolors=theme.surface, linewidth=0.6)
    polish(axes, theme, x="predicted", y="true", grid="")
    axes.spines["bottom"].set_visible(False)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    shown = [shorten(name, 12) for name in names]
    rotation = 0 if max(map(len, shown)) <= 2 else 90
    axes.set_xticks(np.arange(n) + 0.5, shown, rotation=rotation)
    axes.set_yticks(np.arange(n) + 0.5, shown)
    for i, j in np.argwhere(counts) if n <= 12 else ():
        colour = theme.surface if shares[i, j] > 0.5 else theme.ink
        axes.text(j + 0.5, i + 0.5, str(counts[i, j]), color=colour, fontsize=7, ha="center", va="center")
    return figure

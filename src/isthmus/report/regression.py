"""What a report says of regressors: predicted against true numbers, and whether their intervals hold what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.regression import predicts_densities
from .html import Figures, Highlight, Section
from .studio import Studio, slug
from .style import LIGHT, Theme, legend, new_figure, polish
from .view import ModelView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["calibration", "calibration_curve", "highlights", "prediction_chart", "predictions", "predicts", "summary"]

LEVEL = 0.9
MOST_SHOWN = 300
"""Predictions beyond these cover each other."""

BEYOND = 0.25
"""By which share of its range a single feature is drawn past the data, where a model should be less sure."""


def predicts(estimator: Any) -> bool:
    """Whether it is a regressor that a report can say something of."""
    return predicts_densities(estimator)


def summary(views: Sequence[ModelView], data: Any, measures: Mapping[str, Any]) -> tuple[str, ...]:
    """What was done and what came of it."""
    texts = []
    for view in views:
        texts.append(
            f"{view.name} learned from {len(data.x_train):,} examples of {data.name} to predict a density of a number."
        )
        found = {measure.name: measure for measure in measures.get(view.name, ())}
        if "rmse" in found and "coverage_90" in found:
            unseen = len(data.x_test) or len(data.x_valid)
            what = f"{unseen:,} examples not seen in training" if unseen else "the training examples"
            texts.append(
                f"On {what} its means are off by {found['rmse'].formatted()[0]} (root mean square), and its 90\u00a0% "
                f"intervals hold {100 * found['coverage_90'].value:.0f}\u00a0% of them."
            )
    return tuple(texts)


def highlights(views: Sequence[ModelView], measures: Mapping[str, Any]) -> tuple[Highlight, ...]:
    """Likelihood, error and coverage of the last one."""
    found = {measure.name: measure for measure in measures.get(views[-1].name, ())}
    shown = []
    if "log_likelihood" in found:
        shown.append(Highlight(f"{found['log_likelihood'].formatted()[0]}\u00a0nats", "log-likelihood of a number"))
    if "rmse" in found:
        shown.append(Highlight(found["rmse"].formatted()[0], "root mean squared error"))
    if "coverage_90" in found:
        shown.append(Highlight(f"{100 * found['coverage_90'].value:.0f}\u00a0%", "lie in 90\u00a0% intervals"))
    return tuple(shown)


def predictions(studio: Studio) -> Section | None:
    """Predicted against true numbers."""
    text = (
        "Points are test examples; lines are 90 % intervals. With one feature: the predicted mean, and the interval as "
        "a band, which should widen where there are no data.",
    )
    return _section(studio, "prediction", "What is predicted", text, prediction_chart, "Predicted and true numbers of")


def calibration(studio: Studio) -> Section | None:
    """Whether intervals hold what they should."""
    text = (
        "An interval of 90 % should hold nine of ten. Above the diagonal intervals are too wide, below it too narrow.",
    )
    return _section(studio, "calibration", "Whether its intervals hold", text, calibration_curve, "Calibration of")


def _section(studio: Studio, name: str, title: str, text: tuple[str, ...], draw: Any, words: str) -> Section | None:
    pictures = []
    for view in studio.views:
        if view.data.y is None:
            continue
        picture = studio.chart(
            f"{name}-{slug(view.name)}", lambda theme, view=view: draw(view, theme), f"{words} {view.name}.", view.name
        )
        pictures.append(picture)
    return Section(title, text, (Figures(tuple(pictures)),)) if pictures else None


def prediction_chart(view: ModelView, theme: Theme = LIGHT) -> Figure:
    """Predicted against true numbers with their intervals; with one feature, the curve with its band.

    Raises:
        ValueError: examples without targets, or with several each.
    """
    x, y = _examples(view)
    if view.data.n_features == 1:
        return _band(view, x, y, theme)
    shown = slice(MOST_SHOWN)
    means = view.estimator.predict(x[shown])
    low, high = view.estimator.predict_interval(x[shown], LEVEL)
    figure = new_figure(4.2, 4.0, theme)
    axes = polish(figure.add_subplot(), theme, x="true", y="predicted, with 90 % interval", grid="both")
    ends = [min(y.min(), means.min()), max(y.max(), means.max())]
    axes.plot(ends, ends, color=theme.soft, linewidth=0.8)
    axes.vlines(y[shown], low, high, color=theme.models[0], alpha=0.25, linewidth=1)
    axes.scatter(y[shown], means, s=9, color=theme.models[0], linewidths=0)
    return figure


def _band(view: ModelView, x: np.ndarray, y: np.ndarray, theme: Theme) -> Figure:
    values = np.concatenate([x, view.data.x_train]).reshape(-1).astype(np.float64)
    beyond = BEYOND * (values.max() - values.min())
    line = np.linspace(values.min() - beyond, values.max() + beyond, 400)
    rows = line.reshape(-1, *view.data.x.shape[1:])
    means = view.estimator.predict(rows)
    low, high = view.estimator.predict_interval(rows, LEVEL)
    figure = new_figure(5.6, 3.2, theme)
    name = view.data.feature_names[0] if view.data.feature_names else "x"
    axes = polish(figure.add_subplot(), theme, x=name, y="y", grid="both")
    axes.fill_between(line, low, high, color=theme.models[0], alpha=0.18, linewidth=0, label="90 % interval")
    axes.plot(line, means, color=theme.models[0], linewidth=1.8, label="mean")
    if view.data.y_train is not None:
        axes.scatter(view.data.x_train.reshape(-1), view.data.y_train, s=9, color=theme.ink, linewidths=0, label="data")
    legend(axes, theme)
    return figure


def calibration_curve(view: ModelView, theme: Theme = LIGHT) -> Figure:
    """Of regressors, coverage against level; of classifiers, accuracy against confidence.

    Raises:
        ValueError: examples without targets.
    """
    x, y = _examples(view)
    figure = new_figure(3.8, 3.6, theme)
    sizes: float | np.ndarray = 16.0
    if predicts(view.estimator):
        levels, coverage = view.estimator.calibration(x, y)
        axes = polish(figure.add_subplot(), theme, x="level of the interval", y="share inside", grid="both")
    else:
        levels, coverage, count, _ = view.estimator.calibration(x, y)
        sizes = 8 + 200 * count / count.sum()  # a bin of a few rows says little
        axes = polish(figure.add_subplot(), theme, x="probability of the predicted class", y="accuracy", grid="both")
    axes.plot([0, 1], [0, 1], color=theme.soft, linewidth=0.8)
    axes.plot(levels, coverage, color=theme.models[0], linewidth=1.2)
    axes.scatter(levels, coverage, s=sizes, color=theme.models[0], linewidths=0, zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    return figure


def _examples(view: ModelView) -> tuple[np.ndarray, np.ndarray]:
    if view.data.y is None or np.ndim(view.data.y) != 1:
        raise ValueError("Expected examples with a number or a label each to hold predictions against, got none.")
    return view.data.x, np.asarray(view.data.y)

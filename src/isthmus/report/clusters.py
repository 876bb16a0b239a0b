"""What a report says of mixtures and clusters: what each component looks like, where it lies, and how large it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.clusters import has_clusters
from . import tables
from .html import Figures, Highlight, Picture, Section
from .images import grid
from .studio import Studio, slug
from .style import LIGHT, Theme, class_colours, new_figure, polish
from .view import ModelView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "bounds",
    "cluster_centres",
    "cluster_points",
    "cluster_weights",
    "components",
    "draws",
    "has_clusters",
    "highlights",
    "summary",
]

MOST_SHOWN = 64
"""Components whose means are shown, the largest first."""

ON_TABLE = 400
"""Samples of a table that are drawn as points."""


# --- what a model has -----------------------------------------------------------------------------


def shares(view: ModelView) -> np.ndarray:
    """How large each cluster is, (K,): its probability, or its part of the training rows."""
    estimator = view.estimator
    if hasattr(estimator, "weights_"):
        return np.asarray(estimator.weights_)
    return np.asarray(estimator.counts_) / max(float(np.sum(estimator.counts_)), 1e-300)


def order(view: ModelView) -> np.ndarray:
    """Numbers of the clusters that are shown, the largest first."""
    return np.argsort(-shares(view), kind="stable")[:MOST_SHOWN]


def means(view: ModelView) -> np.ndarray:
    """Means of the clusters, the largest first, in the units and the shape of the data, (K, *feature_shape)."""
    estimator = view.estimator
    found = estimator.means_ if hasattr(estimator, "means_") else estimator.cluster_centers_
    return found[order(view)].reshape(-1, *estimator.feature_shape_) * estimator.scaling_.scale


def covariances(view: ModelView) -> np.ndarray | None:
    """Covariance matrices of the components, (K, F, F), in units of the data as given; None without such."""
    found, n_features = getattr(view.estimator, "covariances_", None), view.estimator.n_features_in_
    if found is None:
        return None
    kind, n_components = view.estimator.parameters_["covariance_type"], len(view.estimator.weights_)
    if kind == "spherical":
        found = found[:, None] * np.ones(n_features)
    if kind in ("spherical", "diag"):
        found = found[:, :, None] * np.eye(n_features)
    return np.broadcast_to(found, (n_components, n_features, n_features)) * view.estimator.scaling_.scale**2


# --- pictures -------------------------------------------------------------------------------------


def cluster_centres(view: ModelView, theme: Theme, n: int | None = None) -> Figure | np.ndarray:
    """Means of the clusters as images, the largest first; of a table as a map of colours, a row each, with numbers."""
    shown = means(view)[: n or MOST_SHOWN]
    if view.data.style is None:
        rows, labels = shown.reshape(len(shown), -1), [str(k) for k in order(view)[: len(shown)]]
        names = view.data.feature_names
        return tables.row_heatmap(view.data.table(shown), theme, names=names, numbers=rows, labels=labels)
    columns = min(len(shown), 8 if len(shown) > 10 else 5)
    return grid(view.data.tiles(shown, theme), columns, theme)


def cluster_points(view: ModelView, theme: Theme = LIGHT) -> Figure:
    """Rows as points in the colours of their clusters, with ellipses of two standard deviations, or with centres.

    Two columns as they are; more of them along the two principal components of the standardised data, onto which
    covariances are projected too.
    """
    from matplotlib.patches import Ellipse

    data, origin, axes_of, names = _plane(view)
    labels = np.asarray(view.estimator.predict(view.data.x))
    figure = new_figure(3.8, 3.6, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x=names[0], y=names[1], grid="")
    colours = np.array(class_colours(len(shares(view)), theme))
    size = float(np.clip(2500 / len(data), 2, 10))
    axes.scatter(data[:, 0], data[:, 1], s=size, color=colours[labels], alpha=0.6, linewidths=0)
    centres = getattr(view.estimator, "means_", getattr(view.estimator, "cluster_centers_", None))
    centres = (centres * view.estimator.scaling_.scale - origin) @ axes_of
    spread = covariances(view)
    for k in np.flatnonzero(shares(view) > 1e-3):
        axes.plot(*centres[k], marker="+", markersize=8, color=theme.ink, linestyle="none")
        if spread is not None:
            values, vectors = np.linalg.eigh(axes_of.T @ spread[k] @ axes_of)
            width, height = 4 * np.sqrt(np.maximum(values, 0))
            angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
            line = {"facecolor": "none", "edgecolor": colours[k], "linewidth": 1.4}
            axes.add_patch(Ellipse(tuple(centres[k]), width, height, angle=angle, **line))
    return figure


def _plane(view: ModelView) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, str]]:
    """Rows (n, 2) in a plane, and how they come there: an origin (F,), axes (F, 2), and the axes' names."""
    x = np.asarray(view.data.x, np.float64).reshape(len(view.data.x), -1)
    if np.isnan(x).any():
        x = np.asarray(view.estimator.impute(x))  # models that take gaps fill them; anywhere else they would be far off
    n_features = x.shape[1]
    if n_features <= 2:
        names = view.data.feature_names or ("column 1", "column 2")
        axes = np.eye(n_features, 2)
        return x @ axes, np.zeros(n_features), axes, (names[0], names[1] if n_features == 2 else "")
    train = np.asarray(view.data.x_train, np.float64).reshape(len(view.data.x_train), -1)
    mean, scale = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    _, _, turned = np.linalg.svd(np.nan_to_num((train - mean) * inverse), full_matrices=False)
    axes = inverse[:, None] * turned[:2].T
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))  # of one row alone there is one axis
    return (x - mean) @ axes, mean, axes, ("principal component 1", "principal component 2")


def cluster_weights(view: ModelView, theme: Theme = LIGHT) -> Figure:
    """How large the clusters are, as bars, the largest first."""
    from matplotlib.ticker import MaxNLocator

    found = np.sort(shares(view))[::-1]
    figure = new_figure(4.0, 2.4, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x="components, the largest first", y="share of the data")
    axes.bar(np.arange(1, len(found) + 1), found, color=theme.models[0], width=0.8)
    axes.set_xlim(0.4, len(found) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _bound_curve(history: Sequence[float], theme: Theme, colour: str) -> Figure:
    figure = new_figure(4.0, 2.4, theme)
    axes: Axes = figure.add_subplot()
    polish(axes, theme, x="step", y="bound, nats an example")
    axes.plot(np.arange(len(history)), history, color=colour, linewidth=1.6)
    axes.ticklabel_format(axis="y", useOffset=False)
    low, high = history[min(1, len(history) - 1)], history[-1]
    if len(history) > 4 and high - low > 0.01 * (high - history[0]):  # the first step would flatten all that follows
        axes.set_ylim(low - 0.1 * (high - low) - 1e-9, high + 0.1 * (high - low) + 1e-9)
    return figure


def _means_drawn(view: ModelView, theme: Theme) -> Any:
    """A figure of a table's means, pixels of images'."""
    return cluster_centres(view, theme)


# --- sections -------------------------------------------------------------------------------------


def components(studio: Studio) -> Section:
    """What each component looks like, where it lies, and how large it is."""
    pictures: list[Picture] = []
    for view in studio.views:
        name, n = slug(view.name), len(shares(view))
        alt = f"Means of the {min(n, MOST_SHOWN)} largest components of {view.name}, the largest first."
        title, draw = f"{view.name}: means", partial(_means_drawn, view)
        if studio.data.style is not None:
            pictures.append(studio.pixels(f"means-{name}", draw, alt, title))
        else:
            caption = "A row for each component, by its number, in colours of standard deviations of the data."
            pictures.append(studio.chart(f"means-{name}", draw, alt, title, caption))
        alt = f"Examples as points in the colours of the {n} components of {view.name}."
        caption = "Crosses are means." + (
            "" if covariances(view) is None else " Ellipses hold two standard deviations of a component."
        )
        title = f"{view.name}: where they lie"
        pictures.append(studio.chart(f"clusters-{name}", lambda t, v=view: cluster_points(v, t), alt, title, caption))
        alt = f"Shares of the components of {view.name}: the largest is {shares(view).max():.3f}."
        title = f"{view.name}: how large they are"
        pictures.append(studio.chart(f"weights-{name}", lambda t, v=view: cluster_weights(v, t), alt, title))
    text = "Each example belongs to one component, or, where several could have made it, to each with a probability."
    return Section("Components", (text,), (Figures(tuple(pictures)),))


def draws(studio: Studio) -> Section | None:
    """New examples of mixtures."""
    pictures = []
    for view in studio.views:
        if not hasattr(view.estimator, "sample"):
            continue
        name, style = slug(view.name), studio.data.style
        drawn = view.samples(36 if style is not None else ON_TABLE)
        if style is not None:
            alt = f"{len(drawn)} examples drawn from {view.name}, those of one component together."
            draw: Any = lambda theme, drawn=drawn: grid(studio.data.tiles(drawn, theme), 6, theme)  # noqa: E731
            pictures.append(studio.pixels(f"samples-{name}", draw, alt, view.name))
        else:
            alt = f"{len(drawn)} examples drawn from {view.name}, over the data."
            draw = lambda theme, v=view, drawn=drawn: _over_data(v, drawn, theme)  # noqa: E731
            pictures.append(studio.chart(f"samples-{name}", draw, alt, view.name))
    if not pictures:
        return None
    text = "A component is drawn by its weight, and an example from that component: those of one stand together."
    return Section("New examples", (text,), (Figures(tuple(pictures), small=studio.data.style is not None),))


def _over_data(view: ModelView, drawn: np.ndarray, theme: Theme) -> Figure:
    data, origin, axes_of, names = _plane(view)
    return tables.samples_over_data(data, (drawn.reshape(len(drawn), -1) - origin) @ axes_of, theme, axis_names=names)


def bounds(studio: Studio) -> Section | None:
    """How the bound rose."""
    pictures = []
    for view in studio.views:
        history = getattr(view.estimator, "log_likelihoods_", [])
        if len(history) > 1:
            alt = f"Bound of {view.name} after each step: {history[-1]:.4g} nats an example at the end."
            colour = lambda theme, name=view.name: studio.colour(name, theme)  # noqa: E731
            draw = lambda theme, h=history, c=colour: _bound_curve(h, theme, c(theme))  # noqa: E731
            pictures.append(studio.chart(f"bound-{slug(view.name)}", draw, alt, view.name))
    if not pictures:
        return None
    text = (
        "Each step finds what is likely of each example, and then the components that are best for that: it can't fall."
    )
    return Section("Training", (text,), (Figures(tuple(pictures)),))


# --- words ----------------------------------------------------------------------------------------


def summary(views: Sequence[ModelView], data: Any, measures: Mapping[str, Any]) -> tuple[str, ...]:
    """What was done and what came of it."""
    texts = []
    for view in views:
        n = len(shares(view))
        texts.append(
            f"{view.name} learned from {len(data.x_train):,} examples of {data.name}, which it describes by {n} "
            "components."
        )
        found = {measure.name: measure for measure in measures.get(view.name, ())}
        unseen = len(data.x_test) or len(data.x_valid)
        what = f"On {unseen:,} examples not seen in training" if unseen else "On the training examples"
        if "log_likelihood" in found:
            value = found["log_likelihood"].formatted()[0]
            texts.append(f"{what} the log-likelihood is {value}\u00a0nats an example.")
        if "squared_error" in found:
            value = found["squared_error"].formatted()[0]
            texts.append(f"{what} the squared distance to the nearest centre is {value}.")
    return tuple(texts)


def highlights(views: Sequence[ModelView], measures: Mapping[str, Any]) -> tuple[Highlight, ...]:
    """Components, and what was measured, of the last one."""
    found = {measure.name: measure for measure in measures.get(views[-1].name, ())}
    used = int((shares(views[-1]) > 1e-3).sum())
    shown = [Highlight(f"{used}", "components with more than a thousandth of the data")]
    for name, label, unit in (
        ("log_likelihood", "log-likelihood of an example", "\u00a0nats"),
        ("squared_error", "squared distance to the nearest centre", ""),
        ("adjusted_rand_index", "agreement with the classes: 1 is all", ""),
    ):
        if name in found:
            shown.append(Highlight(found[name].formatted()[0] + unit, label))
    return tuple(shown)

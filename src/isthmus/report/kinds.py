"""Pictures by name: what each shows, which models it suits, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import plots, tables
from .classification import confusion_matrix, confusions
from .clusters import cluster_centres, cluster_points, cluster_weights
from .codes import decoded_plane, latent_plane, traversals
from .compression import compression_figure
from .filters import decoder_filters, encoder_filters
from .images import compact, encode, grid, is_image, signed_tiles
from .layers import describe
from .network import network_diagram
from .penalty import penalty_curve
from .regression import calibration_curve, prediction_chart
from .samples import drawn_samples
from .style import DARK, LIGHT, Theme, png
from .units import activity_bars, as_images, code_tiles, unit_activity
from .view import DataView, ModelView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "Kind", "Wish", "plot", "suitable"]

IN_A_ROW = 8


@dataclass(frozen=True)
class Wish:
    """What may be said of a picture besides its kind.

    Attributes:
        n: examples, codes, filters or samples to show; None for what suits.
        side: whose filters.
        prior: where codes of samples come from; None for the model's own, or a mixture where it has none.
        rho: activity that a sparsity penalty asks for; None for the model's, or 0.25.
    """

    n: int | None = None
    side: Literal["encoder", "decoder"] = "encoder"
    prior: Literal["normal", "gaussian", "mixture"] | None = None
    rho: float | None = None


@dataclass(frozen=True)
class Kind:
    """A picture that can be asked for by name.

    Attributes:
        what: it shows, in a line.
        draw: makes it, a figure or pixels; ValueError where the model or the data do not suit.
        of_images: examples must be images.
        needs: methods or attributes that the estimator must have.
    """

    what: str
    draw: Callable[[ModelView, Theme, Wish], Figure | np.ndarray]
    of_images: bool = False
    needs: tuple[str, ...] = ()

    def check(self, view: ModelView) -> None:
        """Make sure that a model and its data suit.

        Raises:
            ValueError: they don't; says why.
        """
        name = type(view.estimator).__name__
        if missing := [need for need in self.needs if not hasattr(view.estimator, need)]:
            raise ValueError(f"Expected a model with {missing[0]}, got {name}, which has none.")
        if self.of_images and view.data.style is None:
            raise ValueError(f"Expected images, got rows of shape {view.data.x.shape[1:]}, of which there is none.")


def plot(
    kind: str,
    estimator: Any,
    data: Any,
    *,
    part: str | None = None,
    theme: Literal["light", "dark"] = "light",
    seed: int = 0,
    **wish: Any,
) -> bytes:
    """Draw a picture of a fitted model.

    Args:
        kind: its name, one of `isthmus.report.KINDS`.
        estimator: a fitted one.
        data: a `DataSet`, such as `isthmus.data.load_data` gives.
        part: of the data to show, "train", "validation", "test" or "all"; the test part, where there is one.
        theme: colours.
        seed: of what is drawn at random.
        **wish: fields of `Wish`.

    Returns:
        A PNG.

    Raises:
        ValueError: a kind that there is not, or that the model or the data do not suit.

    Example:
        >>> from isthmus.data import load_data
        >>> from isthmus.estimators import PCA
        >>> data = load_data("digits")
        >>> plot("filters", PCA(n_components=4).fit(data.x_train), data)[1:4]
        b'PNG'
    """
    if kind not in KINDS:
        raise ValueError(f"Expected a kind of picture, one of {', '.join(KINDS)}, got {kind!r}.")
    view = ModelView(type(estimator).__name__, estimator, DataView.of(data, seed, part))
    KINDS[kind].check(view)
    drawn = KINDS[kind].draw(view, DARK if theme == "dark" else LIGHT, Wish(**wish))
    return encode(drawn) if isinstance(drawn, np.ndarray) else compact(png(drawn))


def suitable(view: ModelView) -> dict[str, str]:
    """For each kind, why it does not suit a model and its data: "" where it does."""
    reasons = {}
    for name, kind in KINDS.items():
        try:
            kind.check(view)
            if name in ("filters", "network"):  # cheap, and only they know
                kind.draw(view, LIGHT, Wish(n=1))
            reasons[name] = ""
        except ValueError as error:
            reasons[name] = str(error)
    return reasons


def _shown(view: ModelView, n: int) -> np.ndarray:
    """Rows of the first examples to show: one of each class before others."""
    first = view.data.chosen[:n]
    others = np.setdiff1d(np.arange(len(view.data.x)), first)
    return np.concatenate((first, others))[:n]


def _reconstructions(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    data = view.data
    if data.style is None:
        shares = tables.explained_variance(data.table(data.x), data.table(view.reconstructions))
        return tables.feature_fit({view.name: shares}, data.feature_names, theme)
    rows = _shown(view, wish.n or IN_A_ROW)
    pictures = {"Input": data.x[rows]}
    if hasattr(view.estimator, "corrupt"):
        pictures["Noisy"] = view.noisy[rows]
        pictures["Denoised"] = view.denoised[rows]
    else:
        pictures["Rebuilt"] = view.reconstructions[rows]
    return plots.image_rows({name: data.tiles(x, theme) for name, x in pictures.items()}, theme, IN_A_ROW)


def _codes(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    rows = _shown(view, wish.n or IN_A_ROW)
    data, codes = view.data, view.codes[rows]
    if data.style is None:
        return plots.image_rows({"Code": code_tiles(codes, theme)}, theme, IN_A_ROW)
    inputs = data.tiles(data.x[rows], theme, 144)
    return plots.image_rows({"Input": inputs, "Code": code_tiles(codes, theme, 144)}, theme, IN_A_ROW)


def _filters(view: ModelView, theme: Theme, wish: Wish) -> np.ndarray:
    weights = (encoder_filters if wish.side == "encoder" else decoder_filters)(view.estimator)
    if not is_image(weights.shape[1:]):
        raise ValueError(f"Expected images, got rows of shape {weights.shape[1:]}; their filters are none either.")
    weights = weights[: wish.n or 144]
    columns = as_images(np.zeros((1, len(weights)))).shape[2]
    return grid(signed_tiles(weights, theme, 56 if len(weights) > 36 else 96), columns, theme, gap=4)


def _sparsity(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return activity_bars(unit_activity(view), theme)


def _penalty(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return penalty_curve(wish.rho or getattr(view.estimator, "rho", None) or 0.25, theme)


def _latent(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return latent_plane(view, theme, n=wish.n)


def _grid(view: ModelView, theme: Theme, wish: Wish) -> np.ndarray:
    if view.n_components == 2:
        drawn, side = decoded_plane(view, wish.n)
        return grid(view.data.tiles(drawn, theme, 56), side, theme, gap=2)
    drawn, dimensions = traversals(view)
    return grid(view.data.tiles(drawn, theme, 72), len(drawn) // len(dimensions), theme, gap=4)


def _samples(view: ModelView, theme: Theme, wish: Wish) -> Figure | np.ndarray:
    return drawn_samples(view, theme, wish.n, wish.prior)


def _network(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return network_diagram(describe(view.estimator), theme)


def _compression(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return compression_figure(view.estimator, view.data, theme)


def _confusion(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return confusion_matrix(*confusions(view), theme)


def _means(view: ModelView, theme: Theme, wish: Wish) -> Figure | np.ndarray:
    return cluster_centres(view, theme, wish.n)


def _clusters(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return cluster_points(view, theme)


def _weights(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return cluster_weights(view, theme)


def _predictions(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return prediction_chart(view, theme)


def _calibration(view: ModelView, theme: Theme, wish: Wish) -> Figure:
    return calibration_curve(view, theme)


_ENCODES = ("transform",)
_DECODES = ("transform", "inverse_transform")
KINDS: dict[str, Kind] = {
    "reconstructions": Kind(
        "examples above what is rebuilt from their codes; of a denoising model with the noisy ones between",
        _reconstructions, needs=("reconstruct",),
    ),
    "codes": Kind("codes as images beside their inputs: 144 units as 12 x 12", _codes, needs=_ENCODES),
    "filters": Kind("weights of the first layer (--side decoder: of a linear decoder) as images", _filters),
    "sparsity": Kind("how active each unit of the code is, and how many never are", _sparsity, needs=_ENCODES),
    "sparsity-penalty": Kind("the penalty on a unit's mean activity as a curve; needs no run", _penalty),
    "latent": Kind("codes as points, coloured by label", _latent, needs=_ENCODES),
    "grid": Kind("what is decoded from place to place of the code", _grid, of_images=True, needs=_DECODES),
    "samples": Kind("new examples; of a conditional model one row a class", _samples, needs=("transform", "sample")),
    "network": Kind("the model as a diagram, with its loss, and how its code is sampled", _network),
    "compression": Kind("squared error against bits per pixel, beside PCA and JPEG", _compression, needs=_DECODES),
    "predictions": Kind(
        "predicted against true numbers with their intervals; with one feature, the curve with its band",
        _predictions, needs=("predict_interval",),
    ),
    "calibration": Kind("whether intervals or probabilities hold what they say", _calibration, needs=("calibration",)),
    "confusion": Kind("which classes a classifier takes for which", _confusion, needs=("predict_proba", "classes_")),
    "means": Kind("means of a mixture's components, the largest first", _means, needs=("fit_predict",)),
    "clusters": Kind("examples as points in the colours of their clusters, with ellipses", _clusters,
                     needs=("fit_predict",)),
    "weights": Kind("how large the components of a mixture are", _weights, needs=("fit_predict",)),
}  # fmt: skip
"""Every picture by name."""

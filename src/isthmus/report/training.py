"""The section on training: losses from epoch to epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import plots
from .html import Figures, Picture, Section
from .studio import Studio, slug
from .style import Theme
from .view import ModelView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["training"]


def training(studio: Studio) -> Section | None:
    """Loss of each epoch, and for a bound its two parts."""
    pictures = []
    for view in studio.views:
        pictures += _layers(studio, view)
        history = getattr(view.estimator, "history_", None)
        if not history or "loss" not in history[0]:
            continue
        final = f"{history[-1]['loss']:.4g} nats at the end of {len(history)} epochs"
        alt = f"Training loss of {view.name}: {final}."
        pictures.append(_curves(studio, view, history, f"training-{slug(view.name)}", alt, view.name))
        if _is_boltzmann(view):
            distortion = [
                {"loss": record["distortion"]} | {k: v for k, v in record.items() if k not in ("loss", "validation")}
                for record in history
            ]
            alt = f"Distortion of {view.name} in training: {history[-1]['distortion']:.4g} nats at the end."
            title = f"{view.name}: distortion, what its reconstruction leaves open"
            pictures.append(_curves(studio, view, distortion, f"distortion-{slug(view.name)}", alt, title))
        if {"distortion", "rate"} <= history[-1].keys():
            pictures.append(
                studio.chart(
                    f"rate-distortion-{slug(view.name)}",
                    lambda theme, history=history: plots.loss_parts(history, theme),
                    f"Distortion and rate of {view.name} in training, stacked: "
                    f"{history[-1]['distortion']:.4g} and {history[-1]['rate']:.3g} nats at the end.",
                    f"{view.name}: distortion and rate",
                )
            )
    if not pictures:
        return None
    text: tuple[str, ...] = (
        "Loss of each epoch. Validation below training is no error: the training loss is the mean over an epoch in "
        "which the model still improves. Validation that turns upwards while training falls is overfitting. Losses of "
        "different kinds of model are different quantities and do not compare.",
    )
    if any(_is_boltzmann(view) for view in studio.views):
        text += (
            "A Boltzmann machine's loss is a difference of free energies, of which the gradient alone counts: near 0, "
            "or rising, it says nothing of how good the model is. Its distortion should fall.",
        )
    if any(getattr(view.estimator, "layers_", None) for view in studio.views):
        text += ("Layers were trained from the data upwards: the loss of one above the first is of codes.",)
    return Section("Training", text, (Figures(tuple(pictures)),))


def _is_boltzmann(view: ModelView) -> bool:
    objective = getattr(view.estimator, "_objective", None)
    return objective is not None and type(objective()).__name__ == "ContrastiveDivergence"


def _layers(studio: Studio, view: ModelView) -> list[Picture]:
    """Loss of each epoch of the layers that were trained one after the other."""
    pictures = []
    for number, layer in enumerate(getattr(view.estimator, "layers_", None) or (), 1):
        name = f"{view.name}, layer {number}: {layer['widths'][0]}-{layer['widths'][1]}"
        alt = f"Loss in training {name}: {layer['history'][-1]['loss']:.4g} nats at the end."
        file = f"training-{slug(view.name)}-layer-{number}"
        pictures.append(_curves(studio, view, layer["history"], file, alt, name))
    return pictures


def _curves(studio: Studio, view: ModelView, history: list[dict[str, Any]], file: str, alt: str, title: str) -> Picture:
    """Loss of each epoch, and that of validation where there is one."""

    def draw(theme: Theme) -> Figure:
        return plots.training_curves(history, view.name, theme, colour=studio.colour(view.name, theme))

    return studio.chart(file, draw, alt, title)

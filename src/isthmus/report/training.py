"""The section on training: losses from epoch to epoch."""

from __future__ import annotations

from . import plots
from .html import Figures, Section
from .studio import Studio, slug

__all__ = ["training"]


def training(studio: Studio) -> Section | None:
    """Loss of each epoch, and for a bound its two parts."""
    pictures = []
    for view in studio.views:
        history = getattr(view.estimator, "history_", None)
        if not history or "loss" not in history[0]:
            continue
        final = f"{history[-1]['loss']:.4g} nats at the end of {len(history)} epochs"
        pictures.append(
            studio.chart(
                f"training-{slug(view.name)}",
                lambda theme, view=view, history=history: plots.training_curves(
                    history, view.name, theme, colour=studio.colour(view.name, theme)
                ),
                f"Training loss of {view.name}: {final}.",
                view.name,
            )
        )
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
    text = (
        "Loss of each epoch. Validation below training is no error: the training loss is the mean over an epoch in "
        "which the model still improves. Validation that turns upwards while training falls is overfitting. Losses of "
        "different kinds of model are different quantities and do not compare.",
    )
    return Section("Training", text, (Figures(tuple(pictures)),))

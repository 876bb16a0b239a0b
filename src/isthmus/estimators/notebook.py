"""What a notebook shows of a fitted model: a table of facts, and the loss over the epochs."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

__all__ = ["fact_table", "loss_curve", "training_facts"]

WIDTH, HEIGHT = 240, 60


def fact_table(facts: Mapping[str, str]) -> str:
    """Names and values as an HTML table, as text: nothing in them is markup."""
    rows = (
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table>{''.join(rows)}</table>"


def training_facts(history: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Epochs, and the loss of the last one; nothing where none was trained."""
    if not history:
        return {}
    loss = history[-1]["loss"]  # None where it was not finite
    told = "not finite" if loss is None else f"{loss:.3f} nats"
    return {"epochs": str(len(history)), "training loss": told}


def loss_curve(history: Sequence[Mapping[str, Any]]) -> str:
    """The training loss of each epoch (solid) and the validation loss (dashed), as an inline SVG; '' for one epoch."""
    curves = {
        name: [(i, float(record[name])) for i, record in enumerate(history) if _is_number(record.get(name))]
        for name in ("loss", "validation")
    }
    points = [point for curve in curves.values() for point in curve]
    if len(curves["loss"]) < 2:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    lines = "".join(
        f"<polyline points='{_points(curve, len(history) - 1, low, high)}' fill='none' stroke='currentColor'{dash}/>"
        for curve, dash in zip(curves.values(), ("", " stroke-dasharray='4 3' opacity='0.6'"), strict=True)
        if len(curve) > 1
    )
    last = "; ".join(f"{name} {curve[-1][1]:.2f} nats" for name, curve in curves.items() if curve)
    title = html.escape(f"{len(history)} epochs, at the end: {last}")
    return (
        f"<svg role='img' aria-label='{title}' width='{WIDTH}' height='{HEIGHT}' viewBox='-2 -2 {WIDTH + 4} "
        f"{HEIGHT + 4}'><title>{title}</title>{lines}</svg>"
    )


def _points(curve: Sequence[tuple[int, float]], last: int, low: float, high: float) -> str:
    return " ".join(f"{WIDTH * x / last:.1f},{HEIGHT * (high - y) / ((high - low) or 1):.1f}" for x, y in curve)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)

"""The figures of `results/` as the table in README.md: `python benchmarks/summary.py` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- figures: written by summary.py -->", "<!-- end of figures -->"


def results(name: str) -> dict[str, Any]:
    """What the parts of a script found."""
    parts = json.loads((FOLDER / "results" / f"{name}.json").read_text())
    return {part: record["results"] for part, record in parts.items()}


def spread(ratio: Mapping[str, float]) -> str:
    """Median, smallest and largest."""
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def judged(ratio: Mapping[str, float], aim: float | None) -> str:
    """A ratio beside its aim, where there is one."""
    if aim is None:
        return spread(ratio)
    return f"{spread(ratio)}; aim {aim:g}, {'met' if ratio['median'] >= aim else 'missed'}"


def table() -> str:
    """Each measure in float32 and in bfloat16."""
    rows: list[tuple[str, Mapping[str, Any], Mapping[str, float]]] = []
    for part, network in (("mlp", "VAE 784-512-20"), ("convolutional", "convolutional VAE")):
        found = results("training")[part]
        aims = found.get("aims", {})
        for peer in ("pythae", "tutorial"):
            rows.append((f"training, {network}: times as fast as {peer}", found[f"times_as_fast_as_{peer}"],
                         aims.get(peer, {})))  # fmt: skip
        if "share_of_limit" in found:
            rows.append((f"training, {network}: share of the limit", found["share_of_limit"], aims["limit"]))
    likelihood = results("likelihood")["against_pythae"]
    rows.append(("log p(x), 5,000 samples: times as fast as pythae", likelihood["times_as_fast_as_pythae"],
                 {"fp32": 3.0, "bf16": 6.0}))  # fmt: skip
    rows.append(("log p(x): share of the limit", likelihood["share_of_limit"], {"fp32": 0.7, "bf16": 0.7}))
    lines = ["| measure | float32 | bfloat16 |", "|---|---|---|"]
    for what, found, aims in rows:
        lines.append("| " + " | ".join([what, *(judged(found[p], aims.get(p)) for p in ("fp32", "bf16"))]) + " |")
    return "\n".join([*lines, "", *words()])


def words() -> list[str]:
    """What has no precision of its own."""
    lines = []
    for part, network in (("mlp", "VAE 784-512-20"), ("convolutional", "convolutional VAE")):
        found = results("training")[part]
        bounds = ", ".join(f"{name} {value}" for name, value in found["bound"].items())
        trained = f"{network}, {found['epochs']} epochs of {found['images']:,} images"
        lines.append(f"- Bounds on the test images, nats, after training ({trained}): {bounds}.")
    speeds = results("training")["mlp"]["images_per_second"]
    lines.append("- Images a second, VAE 784-512-20: " + ", ".join(f"{k} {v:,.0f}" for k, v in speeds.items()) + ".")
    for found in results("small_tables").values():
        seconds = ", ".join(f"{name} {value:.2f}" for name, value in found["seconds"].items())
        lines.append(f"- 1,000 x 20, {found['epochs']} epochs, batch {found['batch']}, seconds: {seconds}.")
    scoring = results("scoring")["rows_per_second"]["times_as_fast_as_pythae"]
    lines += [f"- `{name}`: {spread(ratio)} times as fast as pythae." for name, ratio in scoring.items()]
    streaming = results("streaming")["speed"]["784-512-20, batch 128"]["speed_against_memory"]
    lines += [f"- Training {where}, against rows in memory: {spread(ratio)}." for where, ratio in streaming.items()]
    test_set = results("likelihood")["test_set"]
    values = ", ".join(f"{p} {test_set[p]['log_likelihood']}" for p in ("fp32", "bf16"))
    lines.append(f"- log p(x) of {test_set['images']:,} test images, {test_set['samples']:,} samples, nats: {values}.")
    return lines + family()


def family() -> list[str]:
    """The models of the lectures against the lectures' own style, and what their penalties and choices cost."""
    lines, found = [], results("family")
    for name, part in found.items():
        if name == "selection":
            continue
        errors = ", ".join(f"{who} {value}" for who, value in part["squared_error"].items())
        lines.append(
            f"- {name}: {spread(part['times_as_fast'])} times as fast as the lectures' loop; "
            f"squared error of test images after {part['epochs']} epochs: {errors}."
        )
    for units, part in found["selection"].items():
        if units != "aim":
            share, aim = part["share_of_step"], found["selection"]["aim"]
            verdict = "met" if share["median"] < aim else "missed"
            lines.append(f"- k-sparse, {units}, share of a step: {spread(share)}; aim below {aim:g}, {verdict}.")
    for part in ("closed_form", "estimated"):
        for way in ("eager", "compiled"):
            measured = results("contractive")[part]
            ratios = measured[way]["times_a_plain_step"]
            costs = ", ".join(f"{name} {spread(ratio)}" for name, ratio in ratios.items())
            widths = "-".join(map(str, measured["widths"]))
            lines.append(f"- Times a plain step, {widths}, {way}: {costs}; aim below {measured['aim']:g}.")
    layers = results("pretraining")["layers"]
    for peer, ratio in layers["times_as_fast"].items():
        lines.append(f"- Pre-training of three layers: {spread(ratio)} times as fast as the {peer} loop.")
    errors = ", ".join(f"{who} {values}" for who, values in layers["squared_error_of_layers"].items())
    lines.append(f"- Squared error of each layer's inputs, test images: {errors}.")
    return lines


def page(text: str) -> str:
    """A page with the figures as they are now."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    readme = FOLDER / "README.md"
    readme.write_text(page(readme.read_text()))

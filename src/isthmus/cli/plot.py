"""`isthmus plot RUN KIND`: one picture of a trained model, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..files import write_bytes
from .data_options import RunDataOptions, filled_part
from .main import UsageError, did_you_mean
from .options import load_run
from .terminal import parse, print_result, say

__all__ = ["PlotOptions", "run"]


@dataclass(kw_only=True)
class PlotOptions(RunDataOptions):
    """Draw a picture of a trained model."""

    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    kind: tyro.conf.Positional[str]
    """What to draw; isthmus plot --list names the kinds, and isthmus plot RUN --list those that suit a run."""
    part: Literal["test", "validation", "train", "all"] | None = None
    """Part of the data to show; all of a file named with --data, else the test rows, if not given."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """Examples, codes, filters or samples to show; as many as suit the picture, if not given."""
    side: Literal["encoder", "decoder"] = "encoder"
    """Whose filters; those of a decoder without hidden layers only."""
    prior: Literal["normal", "gaussian", "mixture"] | None = None
    """Where codes of samples come from: N(0, I), or a distribution fitted to the codes of the training data; the
    model's own, or a mixture where it has none, if not given."""
    rho: float | None = None
    """Activity that a sparsity penalty asks for; the model's, or 0.25, if not given."""
    seed: int = 0
    """Of all that is drawn at random."""
    theme: Literal["light", "dark"] = "light"
    """Colours."""
    out: Path | None = None
    """File to write, a .png; KIND.png if not given."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(kw_only=True)
class CurveOptions:
    """Draw the penalty on a unit's mean activity as a curve."""

    rho: float = 0.25
    """Activity that is asked for."""
    theme: Literal["light", "dark"] = "light"
    """Colours."""
    out: Path = Path("sparsity-penalty.png")
    """File to write, a .png."""
    json: bool = False
    """Print the result as JSON."""


USAGE = """usage: isthmus plot RUN KIND [options]       options: isthmus plot --help
       isthmus plot RUN --list               the kinds that suit a run, and why others don't
       isthmus plot sparsity-penalty [--rho RHO] [--theme light|dark] [--out FILE]

kinds:
{kinds}
"""


def run(arguments: list[str]) -> None:
    """Parse and draw."""
    from ..report.kinds import KINDS

    if not arguments or arguments in (["--list"], ["-h"], ["--help"]):
        print(USAGE.format(kinds="\n".join(f"  {name:<17} {kind.what}" for name, kind in KINDS.items())), end="")
        if not arguments:
            raise UsageError("expected a run and a kind of picture")
        if "--list" not in arguments:
            parse(PlotOptions, ["--help"], "plot")
        return
    if arguments[0] == "sparsity-penalty" and not Path(arguments[0]).is_dir():
        _curve(parse(CurveOptions, arguments[1:], "plot sparsity-penalty"))
    elif "--list" in arguments:
        if len(runs := [argument for argument in arguments if argument != "--list"]) != 1:
            raise UsageError(f"expected a run beside --list, got {' '.join(runs)!r}")
        _list(Path(runs[0]))
    else:
        _draw(parse(PlotOptions, arguments, "plot"))


def _draw(options: PlotOptions) -> None:
    from ..report.kinds import KINDS, plot

    if options.kind not in KINDS:
        raise UsageError(f"unknown kind of picture {options.kind!r}{did_you_mean(options.kind, KINDS)}")
    if options.n is not None and options.n < 1:
        raise UsageError(f"expected --n of at least 1, got {options.n}")
    if options.rho is not None and not 0 < options.rho < 1:
        raise UsageError(f"expected --rho between 0 and 1, got {options.rho:g}")
    out = _png(options.out or Path(f"{options.kind}.png"))
    estimator = load_run(options.run)
    part = options.part or (None if options.data is None else "all")
    data = options.load_data(options.run, split=part != "all")
    if part is not None:
        filled_part(data, part)
    say(f"{type(estimator).__name__}: {data.description}")
    wish = {"n": options.n, "side": options.side, "prior": options.prior, "rho": options.rho}
    try:
        drawn = plot(options.kind, estimator, data, part=part, theme=options.theme, seed=options.seed, **wish)
    except ValueError as error:
        raise ValueError(
            f"{options.kind} does not suit this run. {error} isthmus plot {options.run} --list names what does."
        ) from error
    write_bytes(out, drawn)
    print_result({"kind": options.kind, "out": str(out)}, options.json)


def _curve(options: CurveOptions) -> None:
    from ..report.images import compact
    from ..report.penalty import penalty_curve
    from ..report.style import DARK, LIGHT, png

    if not 0 < options.rho < 1:
        raise UsageError(f"expected --rho between 0 and 1, got {options.rho:g}")
    out = _png(options.out)
    write_bytes(out, compact(png(penalty_curve(options.rho, DARK if options.theme == "dark" else LIGHT))))
    print_result({"kind": "sparsity-penalty", "out": str(out)}, options.json)


def _list(folder: Path) -> None:
    """Each kind for a run: what it shows, or why it does not suit."""
    from ..report.kinds import KINDS, suitable
    from ..report.view import DataView, ModelView
    from .data_options import run_data

    estimator = load_run(folder)
    reasons = suitable(ModelView(type(estimator).__name__, estimator, DataView.of(run_data(folder))))
    for name, kind in KINDS.items():
        print(f"{name:<17} {kind.what if not reasons[name] else 'no: ' + reasons[name]}")


def _png(path: Path) -> Path:
    if path.suffix.lower() != ".png":
        raise UsageError(f"expected --out to end in .png, got {str(path)!r}")
    return path

"""`isthmus sample RUN`: new data from a trained model, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from sklearn.base import is_classifier, is_regressor

from ..estimators import Autoencoder
from ..evaluation.given import given, is_conditional
from ..files import read_json
from .data_options import NO_LABELS, own_units, run_data
from .main import UsageError, did_you_mean
from .options import load_run
from .rows import write_rows
from .terminal import parse, print_result, say

__all__ = ["SampleOptions", "run"]


@dataclass
class SampleOptions:
    """Write new data drawn from a trained model."""

    run: tyro.conf.Positional[Path]
    """Run folder that `isthmus train` wrote."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16
    """Rows to draw."""
    prior: Literal["none", "gaussian", "mixture"] = "none"
    """Where codes come from: "none" is the model's own distribution; the others are fitted to the codes of the training
    data. An autoencoder has none of its own, unless it is a deep belief net, and of a VAE's codes a mixture is a closer
    description than N(0, I)."""
    mixture_components: int = 10
    """Gaussians in the mixture."""
    keep: bool = False
    """Save the model again with the fitted distribution, from which it is then sampled without --prior."""
    condition: str | None = None
    """For a conditional model, the label of all rows; without it each class has as many, in order. Of a model that is
    told vectors, numbers with commas."""
    seed: int = 0
    """The same seed gives the same rows."""
    out: Path = Path("samples.npy")
    """File to write: .npy, .npz or .csv."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: list[str]) -> None:
    """Parse and sample."""
    options = parse(SampleOptions, arguments, "sample")
    if options.n < 1:
        raise UsageError(f"expected --n of at least 1, got {options.n}")
    if options.prior == "none" and options.keep:
        raise UsageError("expected --keep with --prior gaussian or mixture, which it keeps")
    estimator: Any = load_run(options.run)
    draws_targets = is_regressor(estimator) or is_classifier(estimator)  # given rows, and not rows
    if draws_targets or not hasattr(estimator, "sample"):
        raise ValueError(
            f"Expected a model to draw rows from in {options.run}, got {type(estimator).__name__}, which has no "
            "distribution of rows; use isthmus encode, evaluate or predict."
        )
    has_own = not isinstance(estimator, Autoencoder) or hasattr(estimator, "prior_")
    has_own = has_own or getattr(estimator, "is_belief_net_", False)
    if options.prior != "none":
        _fit_prior(estimator, options)
    elif not has_own:
        raise UsageError(
            "expected --prior gaussian or mixture: an autoencoder learns no distribution to draw codes from"
        )
    told = _conditions(estimator, options)
    drawn = estimator.sample(options.n, random_state=options.seed, **told)
    # Mixtures give the component of each row beside them.
    rows, names = own_units(options.run, drawn[0] if isinstance(drawn, tuple) else drawn)
    write_rows(options.out, [rows], len(rows), "feature", names)
    print_result({"rows": options.n, "out": str(options.out)}, options.json)


def _conditions(estimator: Any, options: SampleOptions) -> dict[str, Any]:
    """What a conditional model is told of the rows to draw."""
    text, name = options.condition, type(estimator).__name__
    if not is_conditional(estimator):
        if text is not None:
            raise UsageError(f"expected no --condition for {name}, which is told nothing of a row")
        return {}
    classes = estimator.classes_
    if classes is None:
        try:
            return {"conditions": [float(number) for number in (text or "").split(",")]}
        except ValueError as error:
            raise UsageError(f"expected --condition as numbers with commas for this {name}, got {text}") from error
    if text is None:
        return {"conditions": classes[np.sort(np.arange(options.n) % len(classes))]}
    labels = {str(label): label for label in classes.tolist()}
    if text not in labels:
        raise UsageError(f"unknown --condition {text!r}{did_you_mean(text, list(labels))}")
    return {"conditions": labels[text]}


def _fit_prior(estimator: Any, options: SampleOptions) -> None:
    """Fit a distribution to the codes of the training data, and keep it if that was asked for."""
    name = type(estimator).__name__
    if not hasattr(estimator, "fit_prior"):
        raise UsageError(f"expected no --prior for {name}, whose own is exact")
    data = run_data(options.run)
    if options.mixture_components < 1 or options.mixture_components > len(data.x_train):
        raise UsageError(
            f"expected --mixture-components from 1 to the {len(data.x_train):,} rows, got {options.mixture_components}"
        )
    say(f"fitting a {options.prior} prior to the codes of {len(data.x_train):,} rows of {data.name}")
    told = given(estimator, data.y_train, NO_LABELS)
    estimator.fit_prior(data.x_train, options.prior, options.mixture_components, **told)
    if options.keep:
        estimator.save(options.run, data=read_json(options.run / "config.json").get("data"))
        say(f"{name}: kept in {options.run}")

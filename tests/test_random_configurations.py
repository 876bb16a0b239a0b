"""Configurations and data drawn at random: each trains to finite numbers, or is refused in words; none hangs."""

from __future__ import annotations

import dataclasses
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import isthmus
from isthmus.estimators import LatentEstimator
from isthmus.estimators.linear_gaussian import BaseLinear

KINDS = [
    kind
    for kind in LatentEstimator.kinds.values()
    if kind.__module__.startswith("isthmus.") and issubclass(kind, LatentEstimator)  # classifiers want labels
]
SECONDS = 60
"""For one configuration, of which most take a fraction of one: what takes longer hangs."""


def one_of(draw: np.random.RandomState, values: Any) -> Any:
    values = list(values)
    return values[draw.randint(len(values))]


# --- data ----------------------------------------------------------------------------------------------


def shape(draw: np.random.RandomState) -> tuple[int, ...]:
    n = one_of(draw, (1, 2, 3, 5, 17, 40, 130))
    return (n, *one_of(draw, [(1,), (2,), (3,), (7,), (16,), (30,), (4, 4), (1, 5, 3), (3, 4, 4)]))


VALUES = {
    "normal": lambda draw, size: draw.randn(*size),
    "in [0, 1]": lambda draw, size: draw.rand(*size),
    "binary": lambda draw, size: draw.randint(0, 2, size).astype(float),
    "truth values": lambda draw, size: draw.rand(*size) < 0.3,
    "pixels": lambda draw, size: draw.randint(0, 256, size).astype(np.uint8),
    "white pixels": lambda draw, size: np.full(size, 255, np.uint8),
    "k / 255": lambda draw, size: draw.randint(0, 256, size) / 255,
    "whole numbers": lambda draw, size: draw.randint(-50, 50, size),
    "small whole numbers": lambda draw, size: draw.randint(-100, 100, size).astype(np.int8),
    "large whole numbers": lambda draw, size: draw.randint(-(2**62), 2**62, size),
    "float32": lambda draw, size: draw.randn(*size).astype(np.float32),
    "float16": lambda draw, size: draw.randn(*size).astype(np.float16),
    "zeros": lambda draw, size: np.zeros(size),
    "a constant": lambda draw, size: np.full(size, 3.7),
    "constant columns": lambda draw, size: np.where(draw.rand(1, *size[1:]) < 0.5, 1.5, draw.randn(*size)),
    "one row again and again": lambda draw, size: np.repeat(draw.randn(1, *size[1:]), size[0], axis=0),
    "tiny": lambda draw, size: draw.randn(*size) * one_of(draw, (1e-6, 1e-20, 1e-40, 1e-150, 1e-300)),
    "huge": lambda draw, size: draw.randn(*size) * one_of(draw, (1e6, 1e20, 1e37, 1e100, 1e150)),
    "too huge": lambda draw, size: draw.randn(*size) * 1e300,
    "tiny float32": lambda draw, size: (draw.randn(*size) * 1e-38).astype(np.float32),
    "huge float32": lambda draw, size: (draw.randn(*size) * 1e37).astype(np.float32),
    "far from zero": lambda draw, size: draw.randn(*size) + one_of(draw, (1e4, -1e8, 1e15)),
    "columns of unlike units": lambda draw, size: draw.randn(*size) * 10.0 ** draw.randint(-9, 9, (1, *size[1:])),
    "heavy tails": lambda draw, size: draw.standard_cauchy(size),
    "one outlier": lambda draw, size: np.concatenate([np.full((1, *size[1:]), 1e9), draw.randn(*size)])[: size[0]],
    "one odd column": lambda draw, size: draw.randn(*size) * (np.arange(size[-1]) == 0),
}
CONTAINERS = {
    "an array": lambda X: X,
    "column by column": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "a tensor": torch.as_tensor,
    "a frame": lambda X: pd.DataFrame(X) if X.ndim == 2 else X,
    "lists": lambda X: X.tolist() if X.dtype != np.uint8 else X,
}
WEIGHTS = {
    "none": lambda draw, n: None,
    "random": lambda draw, n: draw.rand(n),
    "mostly zero": lambda draw, n: (np.arange(n) == draw.randint(n)).astype(float),
    "whole numbers": lambda draw, n: draw.randint(0, 3, n),
    "huge": lambda draw, n: draw.rand(n) * 1e200,
    "tiny": lambda draw, n: draw.rand(n) * 1e-200,
    "unlike": lambda draw, n: 10.0 ** draw.randint(-12, 12, n),
}


# --- parameters ----------------------------------------------------------------------------------------


def network(draw: np.random.RandomState, n_inputs: int) -> nn.Module:
    width = int(one_of(draw, (1, 4, 9)))
    middle = one_of(draw, (nn.Identity, lambda: nn.BatchNorm1d(width), lambda: nn.Dropout(0.5), nn.SiLU))()
    return nn.Sequential(nn.Linear(n_inputs, width), middle, nn.Tanh())


PARAMETERS = {
    "hidden": lambda draw: one_of(draw, ((), (1,), (8,), (8, 4), [5], (3, 3, 3))),
    "activation": lambda draw: one_of(draw, ("relu", "silu", "tanh", "sigmoid", "gelu")),
    "likelihood": lambda draw: one_of(draw, ("auto", "auto", "auto", *isthmus_likelihoods())),
    "max_epochs": lambda draw: int(draw.randint(1, 4)),
    "batch_size": lambda draw: one_of(draw, (1, 2, 7, 64, 10**9)),
    "learning_rate": lambda draw: float(10 ** draw.uniform(-5, -1)),
    "schedule": lambda draw: one_of(draw, ("constant", "cosine", "stepwise")),
    "warm_up": lambda draw: one_of(draw, (0, 1, 5, 10**6)),
    "clip_norm": lambda draw: one_of(draw, (None, 1e-3, 1.0, 1e6)),
    "weight_average": lambda draw: one_of(draw, (None, 0.5, 0.999)),
    "patience": lambda draw: one_of(draw, (None, None, 1, 3)),
    "validation_fraction": lambda draw: one_of(draw, (0.1, 0.5, 0.99)),
    "precision": lambda draw: one_of(draw, ("auto", "fp32", "bf16")),
    "random_state": lambda draw: one_of(draw, (0, 1, 2**31, None, np.random.RandomState(3))),
    "n_samples": lambda draw: one_of(draw, (1, 3)),
    "free_bits": lambda draw: one_of(draw, (0.0, 0.5, 100.0)),
    "kl_warm_up": lambda draw: one_of(draw, (0, 1, 1000)),
}


def isthmus_likelihoods() -> list[str]:
    from typing import get_args

    from isthmus.estimators.likelihoods import Likelihood

    return [name for name in get_args(Likelihood) if name != "auto"]


def labels(n: int) -> np.ndarray:
    """What a conditional model is told of n rows."""
    return np.array([f"class {i % 3}" for i in range(n)])


@dataclasses.dataclass
class Configuration:
    """What was drawn; printed where it fails."""

    seed: int
    kind: type
    parameters: dict[str, Any]
    values: str
    shape: tuple[int, ...]
    container: str
    weights: str
    validation: bool

    @classmethod
    def drawn(cls, seed: int) -> Configuration:
        draw = np.random.RandomState(seed)
        kind, size = one_of(draw, KINDS), shape(draw)
        n_features, n_components = int(np.prod(size[1:])), int(one_of(draw, (1, 2, 3, 8)))
        own = {field.name for field in dataclasses.fields(kind)}
        parameters = {name: make(draw) for name, make in PARAMETERS.items() if draw.rand() < 0.5 and name in own}
        told = min(size[0], 3) if kind.conditional else 0
        for side, width in (("encoder", n_features), ("decoder", n_components + told)):
            if side in own and draw.rand() < 0.2:
                parameters[side] = network(draw, width)
        if issubclass(kind, BaseLinear) and draw.rand() < 0.9:  # which have no more than rows and features
            n_components = min(n_components, size[0], n_features)
        parameters["n_components"] = n_components
        if "max_epochs" in own:
            parameters.setdefault("max_epochs", 2)
        if "hidden" in own:
            parameters.setdefault("hidden", (8,))
        return cls(
            seed, kind, parameters, one_of(draw, VALUES), size, one_of(draw, CONTAINERS),
            one_of(draw, WEIGHTS) if "batch_size" in own and draw.rand() < 0.4 else "none",
            "batch_size" in own and draw.rand() < 0.3,
        )  # fmt: skip

    def fit(self) -> tuple[Any, np.ndarray]:
        draw = np.random.RandomState(self.seed + 1)
        X = VALUES[self.values](draw, self.shape)
        more: dict[str, Any] = {}
        if (weight := WEIGHTS[self.weights](draw, len(X))) is not None:
            more["sample_weight"] = weight
        if self.validation:
            more["validation"] = X[: 1 + len(X) // 2]
        if self.kind.conditional:
            more["y"] = labels(len(X))
            if self.validation:
                more["validation"] = more["validation"], labels(len(more["validation"]))
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = self.kind(**self.parameters)
        return model.fit(CONTAINERS[self.container](X), **more), X


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """A TimeoutError in what takes longer, where the system can interrupt it."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


OURS = ("Expected", "Found array", "Input", "X has", "Sample weights", "Weights", "sample_weight")
"""How a refusal begins: ours, and scikit-learn's."""


RAW = ("to satisfy the constraint", "torch.Size", "tensor(")
"""In torch's own errors, which speak of what is inside."""


def refused(error: ValueError | TypeError) -> str:
    """The words of a refusal; another error where they were not written for a person."""
    words = str(error)
    if not words.startswith(OURS) or any(part in words for part in RAW):
        raise AssertionError(f"no refusal in words: {type(error).__name__}: {words}") from error
    return words


def finite(array: np.ndarray, *shape: int) -> None:
    assert array.shape == shape
    assert np.isfinite(array).all()


def outcome(seed: int, folder: Any) -> str:
    """Train one configuration and use the model; returns "trained", or how it was refused."""
    configuration = Configuration.drawn(seed)
    try:
        with in_time(SECONDS):
            try:
                model, X = configuration.fit()
            except (ValueError, TypeError) as error:
                return refused(error)
            try:
                check(model, X, folder)
            except ValueError as error:  # it knows the one row that has a weight, and others may be far from it
                if configuration.weights != "mostly zero" or "of the size of those at fit" not in str(error):
                    raise
                return refused(error)
    except Exception as error:
        raise AssertionError(f"{configuration} failed: {type(error).__name__}: {error}") from error
    return "trained"


def check(model: Any, X: np.ndarray, folder: Any) -> None:
    """Everything that a fitted model gives is finite and of the right shape, also after a file."""
    n, n_components = len(X), model.n_components
    told, one = ({"conditions": labels(n)}, {"conditions": "class 0"}) if model.conditional else ({}, {})
    for record in getattr(model, "history_", []):
        assert None not in record.values(), record
    codes = model.transform(X, **told)
    finite(codes, n, n_components)
    finite(model.reconstruct(X, **told), *X.shape)
    finite(model.inverse_transform(codes, **told), *X.shape)
    if getattr(getattr(model, "model_", model), "prior", model) is not None:
        finite(model.sample(3, random_state=0, **one), 3, *X.shape[1:])
    try:
        finite(model.score_samples(X, **told), n)
    except ValueError as error:
        refused(error)
    own = {side: model.get_params()[side] for side in ("encoder", "decoder") if side in model.get_params()}
    again = isthmus.load(model.save(folder), **{side: module for side, module in own.items() if module is not None})
    np.testing.assert_array_equal(again.transform(X, **told), codes)


@pytest.mark.filterwarnings("ignore:Expected EM to gain less")  # within so few steps, of data so odd
@pytest.mark.parametrize("first", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(60, 1000, 60))])
def test_random_configurations_train_or_are_refused_in_words(first, tmp_path):
    outcomes = [outcome(seed, tmp_path / "model") for seed in range(first, min(first + 60, 1000))]
    # Most train, and data or parameters that are refused are among them, so that this test sees both.
    assert len(outcomes) / 2 < outcomes.count("trained") < len(outcomes)


def test_the_same_seed_draws_the_same_configuration():
    for seed in range(20):
        one, other = Configuration.drawn(seed), Configuration.drawn(seed)
        assert re.sub(" at 0x[0-9A-F]+", "", repr(one)) == re.sub(" at 0x[0-9A-F]+", "", repr(other))


@pytest.mark.parametrize(("n", "size"), [(1, 64), (9, 8), (5, 1)])
def test_batch_normalisation_of_one_row_is_found_before_training(n, size):
    X, net = np.random.RandomState(0).randn(n, 3), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model = isthmus.Autoencoder(2, encoder=net, batch_size=size, max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=f"a last batch of one of {n} rows in batches of {size}; use another"):
        model.fit(X)
    model.set_params(batch_size=n + 1 if n > 1 else 64).fit(X if n > 1 else np.concatenate([X, X]))


@pytest.mark.parametrize("parameters", [{"n_components": 10**12}, {"hidden": (10**9,)}, {"hidden": (10**30, 3)}])
def test_a_model_too_large_for_memory_is_found_before_it_is_made(parameters):
    model = isthmus.VAE(**{"random_state": 0} | parameters)
    with pytest.raises(ValueError, match="Expected .*model.*; use fewer n_components, or narrower hidden layers"):
        model.fit(np.zeros((5, 100)))

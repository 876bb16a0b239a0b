"""The table of what each mixture can do says yes where the code does it, and nothing where it refuses."""

from __future__ import annotations

import inspect
import re
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from isthmus import BayesianGaussianMixture, BernoulliMixture, GaussianMixture, KMeans
from isthmus.data import Shards
from pages import ROOT, text_of

TABLE = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in text_of(ROOT / "docs" / "mixtures.md").splitlines()
    if line.startswith("|") and not line.startswith("|---")
]
KINDS = {kind.__name__: kind for kind in (KMeans, GaussianMixture, BernoulliMixture, BayesianGaussianMixture)}
ROWS = np.random.RandomState(0).randn(120, 2) * 0.1 + np.arange(120)[:, None] % 2 * 0.7  # two groups
ROWS = ROWS.clip(0, 1)


def fitted(kind, X=ROWS, sample_weight=None, **settings):
    """Some small model of a kind, with what it can be told."""
    model = kind(2, max_iter=30, random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few steps
        return model.fit(X, sample_weight=sample_weight)


def takes(function, *arguments) -> bool:
    """Whether something works with these arguments; another error than that of a refusal is one."""
    try:
        function(*arguments)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


def weights(kind):
    odd = np.r_[ROWS, np.ones((5, 2))]
    ignored = fitted(kind, odd, np.r_[np.ones(120), np.zeros(5)])
    return takes(fitted, kind, odd, np.ones(125)) and ignored.score(ROWS) >= fitted(kind, odd).score(ROWS) - 1e-6


def with_gaps():
    gaps = ROWS.copy()
    gaps[::7, 1] = np.nan
    return gaps


@contextmanager
def large():
    """Shards that can't be had as a whole."""

    def refused(*_, **__):
        raise ValueError("Expected to be read block by block.")

    shards = Shards(np.tile(ROWS, (50, 1)), buffer_bytes=4096)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Shards, "__array__", refused)
        yield shards


def learns_large(kind):
    with large() as shards:
        return takes(fitted, kind, shards)


def scores_large(kind):
    model = fitted(kind)
    with large() as shards:
        return takes(model.predict, shards) and takes(model.transform, shards) and takes(model.score, shards)


def never_falls(kind):
    bounds = getattr(fitted(kind), "log_likelihoods_", [])
    return len(bounds) > 1 and bool((np.diff(bounds) > -1e-9).all())


def finds_their_number(kind):
    model = kind(6, random_state=0).fit(ROWS)
    return hasattr(model, "weights_") and int((model.weights_ > 0.01).sum()) == 2


def told(name, value):
    return lambda kind: name in inspect.signature(kind).parameters and takes(lambda: fitted(kind, **{name: value}))


def does(name, *arguments):
    return lambda kind: hasattr(kind, name) and takes(getattr(fitted(kind), name), *arguments)


CHECKS = {
    "sample_weight": weights,
    "NaN in `fit`": lambda kind: takes(fitted, kind, with_gaps()),
    "impute": does("impute", with_gaps()),
    "batch_size": told("batch_size", 40),
    "`fit` of data larger": learns_large,
    "everything else of such data": scores_large,
    "partial_fit": lambda kind: hasattr(kind, "partial_fit") and takes(kind(2).partial_fit, ROWS),
    "device": told("device", "cpu"),
    "n_init": told("n_init", 2),
    "warm_start": told("warm_start", True),
    "score_samples": does("score_samples", ROWS),
    "aic": lambda kind: does("bic", ROWS)(kind) and does("aic", ROWS)(kind),
    "finds their number": finds_their_number,
    "log_likelihoods_": never_falls,
    "sample`": does("sample", 3),
    "conditional": does("conditional", ROWS[:3, :1], [0]),
    "covariance_type": told("covariance_type", "diag"),
}


@pytest.mark.parametrize("row", TABLE[1:], ids=[row[0] for row in TABLE[1:]])
def test_a_row_of_the_table_is_true(row):
    what, *said = row
    (check,) = (check for words, check in CHECKS.items() if words in what)
    names = [re.search(r"`(\w+)`", head)[1] for head in TABLE[0][1:]]
    assert names == list(KINDS)
    assert {name: cell == "yes" for name, cell in zip(names, said, strict=True)} == {
        name: check(kind) for name, kind in KINDS.items()
    }
    assert set(said) <= {"yes", "–"}

"""Files whose checksum is right and whose content is not: wrong types, huge sizes, names that would be attributes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import isthmus
from estimator_cases import MAKE, real_table
from isthmus.estimators import LatentEstimator
from isthmus.files import read_tensors, write_tensors


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A run of each estimator."""
    models = {name: make().fit(real_table()) for name, make in MAKE.items()}
    models["Autoencoder"].fit_prior(real_table())
    return {name: model.save(tmp_path_factory.mktemp(name)) for name, model in models.items()}


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]
BOMB = 10**15
RECORDS: dict[str, tuple[Change, str]] = {
    "estimator": (lambda r, t: r.update(estimator="Robot"), "Expected an estimator of Isthmus in .*, got 'Robot'"),
    "estimator's type": (lambda r, t: r.update(estimator=["VAE"]), "Expected an estimator of Isthmus"),
    "estimator by path": (lambda r, t: r.update(estimator="os.system"), "Expected an estimator of Isthmus"),
    "kind": (lambda r, t: r.update(kind=None), "Expected an estimator of Isthmus"),
    "parameter": (lambda r, t: r["parameters"].update(shell="ls"), r"got also \['shell'\]"),
    "no parameters": (lambda r, t: r.pop("parameters"), "Expected parameters of another type .*got nothing"),
    "parameters' type": (lambda r, t: r.update(parameters=[1]), "Expected parameters of another type .*got list"),
    "n_components' type": (
        lambda r, t: r["parameters"].update(n_components="2"),
        "Expected n_components as an integer",
    ),
    "n_components' sign": (lambda r, t: r["parameters"].update(n_components=-2), "Expected n_components >= 1, got -2"),
    "n_components' size": (lambda r, t: r["parameters"].update(n_components=BOMB), "Expected a whole"),
    "n_components as fields": (lambda r, t: r["parameters"].update(n_components={"a": 1}), "Expected n_components as"),
    "no fitted": (lambda r, t: r.pop("fitted"), "Expected (a whole .*)?fitted of another type"),
    "fitted's type": (lambda r, t: r.update(fitted="yes"), "fitted of another type"),
    "no width": (lambda r, t: r["fitted"].pop("n_features_in_"), "n_features_in_ of another type.*got nothing"),
    "width's type": (lambda r, t: r["fitted"].update(n_features_in_=6.5), "n_features_in_ of another type"),
    "width": (lambda r, t: r["fitted"].update(n_features_in_=7, feature_shape_=[7]), "Expected a whole"),
    "width's size": (lambda r, t: r["fitted"].update(n_features_in_=BOMB, feature_shape_=[BOMB]), "Expected a whole"),
    "shape": (lambda r, t: r["fitted"].update(feature_shape_=[2, 4]), r"6 features of shape \(2, 4\)"),
    "shape's sign": (lambda r, t: r["fitted"].update(feature_shape_=[-2, -3]), r"6 features of shape \(-2, -3\)"),
    "shape's type": (lambda r, t: r["fitted"].update(feature_shape_=6), "feature_shape_ of another type"),
    "scale": (lambda r, t: r["fitted"].update(scale=0.0), "scale 0.0"),
    "scale's type": (lambda r, t: r["fitted"].update(scale="big"), "scale of another type"),
    "pixels' type": (lambda r, t: r["fitted"].update(pixels_=3), "pixels_ of another type"),
    "names": (lambda r, t: r["fitted"].update(feature_names_in_=["a"]), "1 names of 6 features"),
    "names' type": (lambda r, t: r["fitted"].update(feature_names_in_=[1] * 6), "feature_names_in_ of another type"),
    "another tensor": (lambda r, t: t.update(transform=torch.ones(2)), "also transform"),
    "a tensor gone": (lambda r, t: t.pop(sorted(t)[-2]), "Expected a whole"),
    "a tensor's shape": (lambda r, t: t.update({n: v.reshape(-1)[:1] for n, v in t.items()}), "Expected a whole"),
    "a tensor's type": (lambda r, t: t.update({n: v.int() for n, v in t.items()}), "Expected a whole"),
}
NETWORKS: dict[str, tuple[Change, str]] = {
    "hidden": (lambda r, t: r["parameters"].update(hidden=[4]), "other weights than its parameters ask for"),
    "hidden's size": (lambda r, t: r["parameters"].update(hidden=[BOMB]), "Expected a whole"),
    "hidden's overflow": (lambda r, t: r["parameters"].update(hidden=[2**62, 2**62]), "Expected a whole"),
    "hidden's length": (lambda r, t: r["parameters"].update(hidden=[1] * 10**5), "fewer weights than layers"),
    "hidden's type": (lambda r, t: r["parameters"].update(hidden="16"), "Expected hidden as a tuple"),
    "activation": (lambda r, t: r["parameters"].update(activation="exec"), "Expected activation as one of"),
    "schedule's fields": (
        lambda r, t: r["parameters"].update(schedule={"shape": "cosine", "x": 1}),
        "unexpected keyword",
    ),
    "schedule": (lambda r, t: r["parameters"].update(schedule={"shape": 3}), "Expected shape"),
    "schedule's type": (lambda r, t: r["parameters"].update(schedule={"warm_up": "a"}), "Expected|not supported"),
    "likelihood": (lambda r, t: r["fitted"].update(likelihood_="poisson"), "Expected a likelihood among"),
    "likelihood's type": (lambda r, t: r["fitted"].update(likelihood_=["gaussian"]), "likelihood_ of another type"),
    "history's type": (lambda r, t: r["fitted"].update(history_=[1, 2]), "history_ of another type"),
    "history's values": (lambda r, t: r["fitted"].update(history_=[{"loss": "<b>"}]), "history_ of another type"),
    "history's names": (lambda r, t: r["fitted"].update(history_=[{"epoch": 1}]), "a history without losses"),
    "no history": (lambda r, t: r["fitted"].pop("history_"), "history_ of another type"),
    "own module": (
        lambda r, t: r["parameters"].update(encoder="own module"),
        r"use isthmus.load\(folder, encoder=...\)",
    ),
    "encoder": (
        lambda r, t: r["parameters"].update(encoder="torch.nn.Linear"),
        "Expected encoder as a torch.nn.Module",
    ),
}
PRIORS: dict[str, tuple[Change, str]] = {
    "part of a prior": (lambda r, t: t.pop("prior.means"), "prior.means"),
    "a prior's width": (lambda r, t: t.update({"prior.means": torch.ones(1, 3)}), "a prior of other dimensions"),
    "no covariance": (lambda r, t: t["prior.covariances"].neg_(), "not positive definite"),
}
HOSTILE = [(run, case) for run in MAKE for case in RECORDS] + [
    (run, case) for run in ("VAE", "Autoencoder") for case in NETWORKS
]
HOSTILE += [("Autoencoder", case) for case in PRIORS]


@pytest.mark.parametrize(("name", "case"), HOSTILE)
def test_hostile_values_are_refused_in_words(name, case, folders, tmp_path):
    tensors, record = read_tensors(folders[name] / "model.safetensors")
    change, message = (RECORDS | NETWORKS | PRIORS)[case]
    change(record, tensors)
    write_tensors(tmp_path / "model.safetensors", tensors, record)
    before = dict(vars(LatentEstimator)), set(sys.modules), os.getcwd()
    with pytest.raises(ValueError, match=message):
        isthmus.load(tmp_path)
    assert (dict(vars(LatentEstimator)), set(sys.modules), os.getcwd()) == before  # nothing was imported or set

"""Files of fitted models: back bit for bit, plain, and refused in words where they are not what they should be."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import isthmus
from estimator_cases import KINDS, MAKE, QUICK, every_estimator, every_network, pixel_images, real_table
from isthmus import PCA, VAE
from isthmus.files import FORMAT, UnreadableFile, read_json, read_tensors, write_tensors
from isthmus.nets import ConvDecoder, ConvEncoder
from isthmus.training import Schedule

TABLE, IMAGES = real_table(), pixel_images()
FRAME = pd.DataFrame(TABLE, columns=[f"size of {i}, \u00b5m" for i in range(6)])
DATA = {
    "table": TABLE,
    "float32": TABLE.astype(np.float32),
    "frame": FRAME,
    "images": IMAGES,
    "images with channels": IMAGES.reshape(-1, 2, 4, 8),
    "grey": IMAGES / 255,
}


def assert_same(ours: Any, theirs: Any, X: Any) -> None:
    """Everything that a user can ask of two fitted models is equal, bit for bit."""
    codes = ours.transform(X)
    np.testing.assert_array_equal(theirs.transform(X), codes)
    for method in ("score_samples", "reconstruct", "squared_error"):
        a, b = getattr(ours, method)(X), getattr(theirs, method)(X)
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    np.testing.assert_array_equal(theirs.inverse_transform(codes), ours.inverse_transform(codes))
    for name in ("n_features_in_", "feature_shape_", "pixels_", "log_scale_", "likelihood_", "history_", "n_iter_"):
        assert getattr(theirs, name, None) == getattr(ours, name, None)
    assert list(getattr(theirs, "feature_names_in_", [])) == list(getattr(ours, "feature_names_in_", []))
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()


# --- round trips ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in MAKE for kind in DATA if name in KINDS or kind in ("table", "grey")],
)
def test_round_trip(name, kind, tmp_path):
    make, X = MAKE[name], DATA[kind]
    model = make().fit(X)
    assert model.save(tmp_path / "run") == tmp_path / "run"
    for place in (tmp_path / "run", str(tmp_path / "run"), tmp_path / "run" / "model.safetensors"):
        loaded = isthmus.load(place)
        assert type(loaded) is type(model)
        assert loaded.get_params() == model.get_params()
        assert_same(model, loaded, X)
    again = isthmus.load(loaded.save(tmp_path / "again"))
    assert_same(model, again, X)
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()
    np.testing.assert_array_equal(loaded.fit(X).transform(X), make().fit(X).transform(X))  # it can be trained anew


@every_network
@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_round_trip_with_weights_validation_and_a_prior(make, kind, tmp_path):
    model = make(likelihood="gaussian", patience=2, weight_average=0.9)
    model.fit(TABLE, sample_weight=np.arange(len(TABLE))).fit_prior(TABLE, kind, n_mixture=3)
    loaded = isthmus.load(model.save(tmp_path))
    assert_same(model, loaded, TABLE)
    np.testing.assert_array_equal(loaded.sample(7, random_state=1), model.sample(7, random_state=1))


def test_round_trip_with_own_modules(tmp_path):
    def modules() -> dict[str, nn.Module]:
        encoder = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
        return {"encoder": encoder, "decoder": ConvDecoder(2, (1, 8, 8), (4,))}

    model = VAE(2, **modules(), **QUICK).fit(IMAGES)
    model.save(tmp_path)
    assert_same(model, isthmus.load(tmp_path, **modules()), IMAGES)
    for passed, got in (({}, "none"), ({"encoder": modules()["encoder"]}, "encoder")):
        with pytest.raises(
            ValueError, match=rf"Expected the model's own modules, got {got}; use isthmus.load\(folder, "
        ):
            isthmus.load(tmp_path, **passed)
    with pytest.raises(UnreadableFile, match="Expected a whole VAE in .*other weights than its parameters ask for"):
        isthmus.load(tmp_path, encoder=ConvEncoder((1, 8, 8), (4,)), decoder=modules()["decoder"])
    PCA(2).fit(TABLE).save(tmp_path)
    with pytest.raises(ValueError, match=r"Expected the model's own modules, got encoder; use isthmus.load\(folder\)"):
        isthmus.load(tmp_path, encoder=nn.Linear(1, 1))


@every_network
def test_parameters_of_every_kind_are_written_plainly(make, tmp_path):
    numbers = {"hidden": [np.int64(8), 4], "learning_rate": np.float32(0.01), "verbose": np.bool_(False)}
    schedule = Schedule("stepwise", warm_up=2, milestones=(0.3,), final=0.5)
    model = make(np.int64(2), **numbers, schedule=schedule, random_state=np.random.RandomState(0)).fit(TABLE)
    loaded = isthmus.load(model.save(tmp_path))
    assert_same(model, loaded, TABLE)
    assert loaded.schedule == schedule
    assert loaded.hidden == (8, 4)
    assert loaded.random_state is None  # a generator has moved on: its state at the fit is gone
    assert loaded.learning_rate == pytest.approx(0.01)
    written = read_json(tmp_path / "config.json")["parameters"]
    assert written["schedule"] == {"shape": "stepwise", "warm_up": 2, "milestones": [0.3], "final": 0.5}
    # What was set after the fit is no part of what was fitted.
    loaded.set_params(n_components=5, hidden=(3,))
    assert_same(model, isthmus.load(loaded.save(tmp_path)), TABLE)


def test_a_parameter_that_no_file_can_hold_is_refused_before_anything_is_written(tmp_path):
    model = VAE(2, **QUICK).fit(TABLE)
    model.parameters_["activation"] = torch.tanh
    with pytest.raises(ValueError, match="Expected parameters that a file can hold, got activation=<built-in method"):
        model.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_history_without_finite_validation_loss_is_written(tmp_path):
    model = VAE(2, **QUICK).fit(TABLE)
    model.history_[0]["validation"] = float("nan")
    assert isthmus.load(model.save(tmp_path)).history_[0]["validation"] is None


@every_estimator
def test_files_are_safetensors_and_json_and_nothing_else(make, tmp_path):
    make().fit(FRAME).save(tmp_path, data={"source": "table"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "config.json").read_text())["data"] == {"source": "table"}
    content = (tmp_path / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    values = sum(np.prod(t["shape"], dtype=int) * int(t["dtype"][1:]) // 8 for n, t in header.items() if n[0] != "_")
    assert len(content) == 8 + length + values  # every byte is the header's or a tensor's
    for mark in (b"\x80\x02", b"\x80\x04\x95", b"\x80\x05\x95", b"PK\x03\x04", b"c__builtin__", b"cnumpy"):
        assert not any(path.read_bytes().startswith(mark) for path in tmp_path.iterdir())


# --- what is refused --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A run of each estimator."""
    models = {name: make().fit(TABLE) for name, make in MAKE.items()}
    models["Autoencoder"].fit_prior(TABLE)
    return {name: model.save(tmp_path_factory.mktemp(name)) for name, model in models.items()}


@pytest.fixture(params=MAKE)
def run(request, folders) -> Path:
    return folders[request.param]


def test_torn_and_altered_files(run, tmp_path):
    content, path = (run / "model.safetensors").read_bytes(), tmp_path / "model.safetensors"
    (header,) = struct.unpack("<Q", content[:8])
    for length in (0, 1, 7, 8, 100, 8 + header, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UnreadableFile, match="Expected"):
            isthmus.load(tmp_path)
    for place in [*range(8, 8 + header, 7), *range(8 + header, len(content), 97)]:
        altered = bytearray(content)
        altered[place] ^= 4
        path.write_bytes(altered)
        with pytest.raises(UnreadableFile, match="Expected"):
            isthmus.load(tmp_path)
    path.write_bytes(content + b"more")
    with pytest.raises(UnreadableFile, match="Expected a safetensors file"):
        isthmus.load(tmp_path)


def test_missing_and_foreign_files(run, tmp_path):
    with pytest.raises(UnreadableFile, match="Expected a readable file at .*nowhere.*No such file"):
        isthmus.load(tmp_path / "nowhere")
    with pytest.raises(UnreadableFile, match="Expected a readable file at .*No such file"):
        isthmus.load(tmp_path)  # a folder without a model
    for name, content in (
        ("text", b"# a model"),
        ("pickle", b"\x80\x04\x95\x00."),
        ("json", b"{}"),
        ("zip", b"PK\x03\x04"),
    ):
        (tmp_path / f"{name}.bin").write_bytes(content)
        with pytest.raises(UnreadableFile, match="Expected a safetensors file"):
            isthmus.load(tmp_path / f"{name}.bin")
    import safetensors.torch

    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UnreadableFile, match="Expected a file written by Isthmus, got another safetensors file"):
        isthmus.load(tmp_path / "other.safetensors")
    with pytest.raises(UnreadableFile, match="Expected a safetensors file"):
        isthmus.load(run / "config.json")


def test_a_checkpoint_is_no_model(tmp_path):
    VAE(2, **QUICK).fit(TABLE, folder=tmp_path)
    (newest, *_) = sorted((tmp_path / "checkpoints").glob("*.safetensors"))[::-1]
    with pytest.raises(UnreadableFile, match="Expected an estimator of Isthmus in .*, got 'checkpoint'"):
        isthmus.load(newest)


def test_a_newer_format(run, tmp_path, monkeypatch):
    tensors, record = read_tensors(run / "model.safetensors")
    with monkeypatch.context() as newer:
        newer.setattr("isthmus.files.FORMAT", FORMAT + 1)
        write_tensors(tmp_path / "model.safetensors", tensors, record)
    with pytest.raises(UnreadableFile, match=f"Expected format {FORMAT} or older, got {FORMAT + 1}.*use a newer"):
        isthmus.load(tmp_path)

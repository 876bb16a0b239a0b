"""Denoising autoencoders as a user has them: noise by name, in units one can think in, and less of it afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import isthmus
from estimator_cases import QUICK, pixel_images, real_table
from isthmus import Autoencoder, DenoisingAutoencoder
from isthmus.cli.main import main
from isthmus.corruption import Blocks, Corruption, GaussianNoise, Masking, Rescaled, SaltAndPepper, UniformNoise
from isthmus.files import UnreadableFile

KINDS = ["masking", "fixed_masking", "gaussian", "salt_and_pepper", "uniform", "blocks"]
DIGITS = load_digits().images / 16
PIXELS = pixel_images()
TABLE = real_table()


def fitted(X=PIXELS, *arguments, **more) -> DenoisingAutoencoder:
    return DenoisingAutoencoder(*arguments, **{"n_components": 4} | QUICK | more).fit(X)


# --- what it learns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "fixed_gaussian"])
@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_it_is_an_autoencoder_to_the_bit(kind, likelihood):
    for X in (PIXELS, PIXELS / 255):
        plain = Autoencoder(4, **QUICK, likelihood=likelihood).fit(X)
        denoising = fitted(X, corruption=kind, strength=0.0, likelihood=likelihood)
        weights, theirs = denoising.model_.state_dict(), plain.model_.state_dict()
        assert weights.keys() == theirs.keys()
        assert all(torch.equal(weights[name], theirs[name]) for name in theirs)
        noisy = fitted(X, corruption=kind, likelihood=likelihood).model_.state_dict()
        assert not any(torch.equal(noisy[name], theirs[name]) for name in theirs)


@cache
def trained(model: type[Autoencoder], likelihood: str, **more) -> Autoencoder:
    """A model of digits, each but once."""
    settings = {"hidden": (128,), "learning_rate": 2e-3, "random_state": 0, "likelihood": likelihood, "max_epochs": 20}
    return model(32, **settings, **more).fit(DIGITS[:1400])


@pytest.mark.parametrize(
    ("kind", "strength", "likelihood"),
    [
        ("masking", 0.4, "fixed_gaussian"),
        ("gaussian", 0.4, "fixed_gaussian"),
        ("salt_and_pepper", 0.3, "fixed_gaussian"),
        ("uniform", 0.8, "bernoulli"),
        ("blocks", 0.2, "fixed_gaussian"),
    ],
)
def test_it_removes_noise_better_than_an_autoencoder(kind, strength, likelihood):
    """New digits, new noise: squared error to the clean image; 0.47 to 0.67 of the other."""
    test = DIGITS[1400:]
    denoising = trained(DenoisingAutoencoder, likelihood, corruption=kind, strength=strength)
    noisy = denoising.corrupt(test, random_state=1)
    models = (denoising, trained(Autoencoder, likelihood))
    errors = [float(np.square(model.reconstruct(noisy) - test).sum((1, 2)).mean()) for model in models]
    assert errors[0] < 0.8 * errors[1]
    assert errors[0] < 0.5 * np.square(noisy - test).sum((1, 2)).mean()


def test_emphasis_fills_in_what_was_lost_better():
    settings = {"hidden": (64,), "learning_rate": 2e-3, "random_state": 0, "max_epochs": 30, "strength": 0.5}
    errors = []
    for emphasis in ((1.0, 1.0), (1.0, 0.0)):
        model = DenoisingAutoencoder(16, likelihood="fixed_gaussian", emphasis=emphasis, **settings).fit(DIGITS[:1400])
        noisy = model.corrupt(DIGITS[1400:], random_state=1)
        error, lost = np.square(model.reconstruct(noisy) - DIGITS[1400:]), noisy != DIGITS[1400:]
        errors.append((error[lost].mean(), error[~lost].mean()))
    assert errors[1][0] < errors[0][0]
    assert errors[1][1] > errors[0][1]


# --- units -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "discretised_logistic", "fixed_gaussian",
                                        "gaussian"])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_corrupted_rows_are_data_that_the_model_takes(kind, likelihood):
    for X in (PIXELS, PIXELS / 255):
        model = fitted(X, corruption=kind, likelihood=likelihood, max_epochs=1)
        noisy = model.corrupt(X, random_state=0)
        assert (noisy.shape, noisy.dtype) == (X.shape, X.dtype)
        assert not np.array_equal(noisy, X)
        assert model.reconstruct(noisy).shape == X.shape


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "fixed_gaussian"])
def test_masked_pixels_are_black_whatever_the_likelihood(likelihood):
    X = np.maximum(PIXELS, 1)
    for data in (X, X / 255):
        model = fitted(data, corruption="fixed_masking", strength=0.25, likelihood=likelihood)
        noisy = model.corrupt(data, random_state=0)
        lost = np.isclose(noisy, 0, atol=1e-7)
        assert (lost.reshape(100, -1).sum(1) == 16).all()
        np.testing.assert_array_equal(noisy[~lost], data[~lost])
        # What the encoder sees, unrounded, in [0, 1]: black, or the pixel as it was to the bit.
        x = model.to_tensor(data)
        seen = model.corruption_(x)
        assert (seen != x).sum(1).eq(16).all()
        pixels = model.scaling_.inverse(seen.double()) / (255 if data is X else 1)
        torch.testing.assert_close(pixels[seen != x], torch.zeros(1600).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "fixed_gaussian"])
def test_strengths_are_those_of_pixels_in_0_1(likelihood):
    grey = np.random.RandomState(0).randint(0, 256, (400, 6, 6)).astype(np.uint8)
    for X in (grey, grey / 255):
        model = fitted(X, corruption="gaussian", strength=0.2, likelihood=likelihood, max_epochs=1)
        x, scale = model.to_tensor(X), model.scaling_.scale / (255 if X is grey else 1)
        noise = (model.corruption_(x) - x) * scale
        assert noise.std().item() == pytest.approx(0.2, rel=5 / (2 * x.numel()) ** 0.5)
        model = fitted(X, corruption="uniform", likelihood=likelihood, max_epochs=1)
        torch.manual_seed(0)
        seen = model.scaling_.inverse(model.corruption_(model.to_tensor(X)).double()) / (255 if X is grey else 1)
        torch.manual_seed(0)
        noise = torch.rand(400, 36)
        expected = (torch.from_numpy(grey.reshape(400, 36) / 255) + noise / 2).clamp(0, 1)
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-6)


def test_masked_numbers_of_a_table_become_their_feature_s_mean():
    X = TABLE * [1, 10, 1, 1, 1, 1] + 5
    model = fitted(X, corruption="fixed_masking", strength=0.5)
    noisy = model.corrupt(X, random_state=0)
    lost = noisy != X
    assert (lost.sum(1) == 3).all()
    np.testing.assert_allclose(noisy[lost], np.broadcast_to(X.mean(0), X.shape)[lost], rtol=1e-6)


def test_noise_on_a_table_is_in_units_of_its_root_mean_square():
    X = np.random.RandomState(0).randn(3000, 6) * 7 + 100
    noise = fitted(X, corruption="gaussian", strength=0.3, max_epochs=1).corrupt(X, random_state=0) - X
    assert noise.std() == pytest.approx(0.3 * X.std(), rel=0.03)
    spread = fitted(X, corruption="gaussian", strength=(0.1, 0.5), max_epochs=1)
    scales = (spread.corrupt(np.repeat(X, 50, axis=1)[:, :6], random_state=0) - X).std(1) / X.std()
    assert scales.std() > 0.1


def test_corrupt_repeats_with_its_seed():
    model = fitted(corruption="gaussian", random_state=np.random.RandomState(0))
    state = torch.get_rng_state()
    one, again, other = (model.corrupt(PIXELS, random_state=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.array_equal(model.corrupt(PIXELS), model.corrupt(PIXELS))  # a generator goes on
    seeded = fitted(corruption="gaussian")
    np.testing.assert_array_equal(seeded.corrupt(PIXELS), seeded.corrupt(PIXELS))


def test_corrupt_is_that_of_training_whatever_was_set_since():
    model = fitted(strength=0.5)
    before = model.corrupt(PIXELS)
    model.set_params(corruption="gaussian", strength=0.1)
    model._objective()
    np.testing.assert_array_equal(model.corrupt(PIXELS), before)


def test_black_and_white_pixels_are_corrupted_as_they_are_drawn():
    model = fitted(PIXELS / 255, binarisation="dynamic", corruption="salt_and_pepper")
    assert set(model.corrupt(PIXELS / 255, random_state=0).flatten()) == {0.0, 1.0}


# --- refusals ----------------------------------------------------------------------------------------


def test_corruptions_that_the_data_do_not_have_are_refused():
    for kind in ("salt_and_pepper", "uniform"):
        with pytest.raises(ValueError, match=r"Expected data in \[0, 1\]"):
            fitted(TABLE, corruption=kind)
    fitted(TABLE, corruption=SaltAndPepper(0.1, low=-2.0, high=2.0))
    fitted(TABLE, corruption=UniformNoise(0.1, low=-9.0, high=9.0))
    with pytest.raises(ValueError, match="Expected images for the corruption 'blocks'"):
        fitted(TABLE, corruption="blocks")
    fitted(TABLE, corruption=Blocks((1, 2, 3)))
    with pytest.raises(ValueError, match="Expected rows of 1 x 7 x 7 pixels"):
        fitted(PIXELS, corruption=Blocks((1, 7, 7)))


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"corruption": "salt"}, ValueError, "Expected corruption as one of 'masking'"),
        ({"corruption": lambda x: x}, TypeError, "or Corruption"),
        ({"strength": 1.5}, ValueError, r"in \[0, 1\)"),
        ({"strength": (0.5, 0.1)}, ValueError, r"in \[0, 1\)"),
        ({"strength": "much"}, TypeError, "Expected strength as a finite number or a tuple"),
        ({"corruption": Masking(), "strength": 0.1}, ValueError, "Expected strength=None beside Masking"),
        ({"corruption": Blocks((1.5, 2, 3))}, TypeError, "Expected shape as a tuple"),
        ({"emphasis": (1.0, -1.0)}, ValueError, "Expected two finite weights"),
        ({"emphasis": (1.0, 0.5), "corruption": "gaussian"}, ValueError, "leaves none clean"),
        ({"corruption": Rescaled(Masking(), torch.zeros(64), 2.0)}, ValueError, "parameters that a file can hold"),
    ],
)
def test_parameters_out_of_range_are_refused_before_training(parameters, error, words):
    with pytest.raises(error, match=words):
        fitted(**parameters)


# --- files and the command line ----------------------------------------------------------------------


@dataclass(frozen=True)
class Stripes(Corruption):
    """Every second feature is lost, or every third, ..."""

    every: int = 2

    def draw(self, x):
        lost = (torch.arange(x.shape[-1]) % self.every == 0).expand_as(x)
        return torch.where(lost, 0.0, x), lost


CORRUPTIONS = ["salt_and_pepper", Masking((0.1, 0.4)), GaussianNoise(0.2), SaltAndPepper(0.1, low=0.2, high=0.8),
               Blocks((1, 8, 8), 0.3, value=0.5), Stripes(3)]  # fmt: skip


@pytest.mark.parametrize("likelihood", ["bernoulli", "fixed_gaussian"])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corruptions_survive_files(corruption, likelihood, tmp_path):
    model = fitted(PIXELS / 255, corruption=corruption, likelihood=likelihood)
    loaded = isthmus.load(model.save(tmp_path))
    assert loaded.corruption == corruption
    assert loaded.get_params() == model.get_params()
    assert loaded.unit_interval_
    np.testing.assert_array_equal(loaded.corrupt(PIXELS / 255), model.corrupt(PIXELS / 255))
    np.testing.assert_array_equal(loaded.transform(PIXELS / 255), model.transform(PIXELS / 255))


def test_a_corruption_that_is_not_known_where_it_is_read_is_named(tmp_path):
    folder = fitted(corruption=Stripes()).save(tmp_path)
    assert json.loads((folder / "config.json").read_text())["parameters"]["corruption"] == {
        "class": "Stripes",
        "every": 2,
    }
    Stripes.__name__ = "Elsewhere"
    try:
        with pytest.raises(UnreadableFile, match="'Stripes' is no Corruption known here; import what defines it"):
            isthmus.load(folder)
    finally:
        Stripes.__name__ = "Stripes"


def test_a_corruption_whose_fields_are_not_all_of_it_is_refused():
    class Hidden(Masking):
        pass

    with pytest.raises(ValueError, match="Expected a dataclass whose fields are all of it, got Hidden"):
        fitted(corruption=Hidden())


def test_on_the_command_line(tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--corruption", "blocks", "--strength", "0.1", "0.4", "--emphasis", "1", "0.5", "--max-epochs", "1"]
    arguments = ["train", "denoising-autoencoder", "--out", str(out), "--no-report", "--hidden", "16", *options]
    assert main(arguments) == 0
    model = isthmus.load(out)
    assert (model.corruption, model.strength, model.emphasis) == ("blocks", (0.1, 0.4), (1.0, 0.5))
    assert model.corruption_ == Blocks((1, 8, 8), (0.1, 0.4))
    capsys.readouterr()
    assert main(["train", "denoising-autoencoder", "--strength", "1.5", "--out", str(tmp_path / "other")]) == 2
    assert "Expected a fraction in [0, 1)" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()

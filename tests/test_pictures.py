"""The report's pictures: tiles of images of any kind, and charts, checked by what they show."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from isthmus.data import load_data
from isthmus.report.images import ImageStyle, compact, encode, grid, signed_tiles, tiles
from isthmus.report.plots import error_histogram, latent_scatter, loss_parts, training_curves
from isthmus.report.style import DARK, LIGHT, model_colours, png
from isthmus.report.tables import explained_variance, row_heatmap
from isthmus.report.view import DataView

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "shape", [(8, 8), (28, 20), (1, 5, 5), (3, 7, 9), (4, 6, 6), (2, 6, 6), (200, 150), (3, 500, 40)]
)
def test_tiles_of_any_size_and_number_of_channels(shape):
    x = RNG.integers(0, 256, (3, *shape)).astype(np.uint8)
    got = tiles(x, ImageStyle.of(x))
    assert got.shape[0] == 3
    assert got.shape[3] == 3
    assert got.dtype == np.uint8
    assert 48 < max(got.shape[1:3]) < 144


def test_tiles_repeat_pixels_and_keep_their_values():
    x = np.array([[[0, 255], [100, 50]]], np.uint8)
    got = tiles(x, ImageStyle(0, 255, ink=False))
    repeated = np.kron(x, np.ones((1, 48, 48), np.uint8))[..., None]
    assert abs(got - repeated.astype(float)).max() <= 255 / 63 / 2 + 0.5  # half a shade of grey


def test_strokes_are_ink_on_paper_and_photographs_are_not():
    digits = load_data("digits")
    assert ImageStyle.of(digits.x_train) == (0.0, 1.0, True)
    assert not ImageStyle.of(RNG.integers(0, 256, (10, 8, 8)).astype(np.uint8)).ink
    light, dark = (tiles(digits.x_train[:5], ImageStyle.of(digits.x_train), theme) for theme in (LIGHT, DARK))
    assert light.mean() > 128 > dark.mean()


def test_values_out_of_range_are_clipped_and_nan_is_dark():
    x = np.array([[[-5.0, 7.0], [np.nan, 0.5]]])
    got = tiles(x, ImageStyle(0, 1, ink=False))[0, ::48, ::48, 0]
    assert got.tolist() == [[0, 255], [0, 130]]  # half, in shades of grey


def test_signed_tiles_have_paper_at_zero():
    got = signed_tiles(np.array([[[1.0, -1.0], [0.0, 0.0]]]))[0, ::48, ::48]
    colours = ["#" + bytes(pixel).hex() for pixel in got.reshape(-1, 3)]
    assert colours == [LIGHT.models[0], LIGHT.models[1], LIGHT.tile, LIGHT.tile]


@pytest.mark.parametrize("n_colours", [2, 200, 5000])
def test_png_holds_every_pixel(n_colours):
    colours = RNG.integers(0, 256, (n_colours, 3)).astype(np.uint8)
    pixels = colours[RNG.integers(0, n_colours, (70, 90))]
    with Image.open(io.BytesIO(encode(pixels))) as image:
        assert (np.asarray(image.convert("RGB")) == pixels).all()


def test_a_compact_chart_looks_the_same():
    chart = png(latent_scatter(RNG.standard_normal((500, 2)), np.arange(500) % 10))
    small = compact(chart)
    assert len(small) < 0.5 * len(chart)
    first, second = (np.asarray(Image.open(io.BytesIO(c)).convert("RGB"), float) for c in (chart, small))
    assert abs(first - second).mean() < 1


def test_grid_places_tiles_row_by_row():
    x = np.stack([np.full((4, 4, 3), i, np.uint8) for i in range(5)])
    got = grid(x, 3, gap=1)
    assert got.shape == (9, 14, 3)
    assert [got[0, 0, 0], got[0, 5, 0], got[0, 10, 0], got[5, 0, 0], got[5, 5, 0]] == [0, 1, 2, 3, 4]
    assert (got[5:, 10:] == 255).all()


def test_charts_leave_no_trace_in_pyplot_and_no_window():
    code = (
        "import sys, numpy as np; from isthmus.report import plots, style; assert 'matplotlib' not in sys.modules;"
        "style.png(plots.latent_scatter(np.eye(2))); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "labels",
    [
        None,
        np.arange(50) % 10,
        np.arange(50),
        np.linspace(0, 1, 50),
        np.array(["a $ long name of a class"] * 25 + ["b"] * 25),
        np.array([f"name {i}" for i in range(50)]),
    ],
)
def test_scatter_of_any_labels(labels):
    figure = latent_scatter(RNG.standard_normal((50, 2)), labels, DARK, prior=True)
    image = Image.open(io.BytesIO(png(figure)))
    assert image.size == (700, 720)


def test_short_and_negative_histories_are_drawn():
    one = [{"epoch": 0, "loss": -3.0, "distortion": -4.0, "rate": 1.0}]
    assert png(training_curves(one, "VAE")).startswith(b"\x89PNG")
    assert png(loss_parts(one)).startswith(b"\x89PNG")


def test_training_epochs_count_from_one_and_peaks_do_not_hide_the_rest():
    history = [{"epoch": i, "loss": 1000.0 if i == 0 else 10.0 - 0.1 * i} for i in range(50)]
    (axes,) = training_curves(history, "A").axes
    assert axes.lines[0].get_xdata()[0] == 1
    assert axes.get_ylim()[1] < 100


def test_histogram_counts_every_example():
    errors = {"A": np.append(RNG.random(999), 1e6), "B": np.zeros(10)}
    (axes,) = error_histogram(errors).axes
    assert axes.get_xlim()[1] < 1e6
    from matplotlib.container import BarContainer

    bars = [c for c in axes.containers if isinstance(c, BarContainer)]
    assert sorted(sum(patch.get_height() for patch in bar) for bar in bars) == [10, 1000]


def test_explained_variance_is_that_of_its_definition():
    x = RNG.standard_normal((500, 3)) * [1, 2, 0]
    perfect, mean = x.copy(), np.broadcast_to(x.mean(axis=0), x.shape)
    np.testing.assert_allclose(explained_variance(x, perfect), [1, 1, np.nan])
    np.testing.assert_allclose(explained_variance(x, mean), [0, 0, np.nan], atol=1e-12)


@pytest.mark.parametrize("n_features", [3, 40, 800])
def test_cells_of_a_heatmap_are_seen_however_many_there_are(n_features):
    with Image.open(io.BytesIO(png(row_heatmap(np.full((12, n_features), 2.5))))) as image:
        accent = [int(LIGHT.models[0][i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.asarray(image.convert("RGB")) == accent).all(axis=-1).mean() > 0.5


def test_the_last_model_has_the_accent():
    assert model_colours(["VAE"])["VAE"] == LIGHT.models[0]
    colours = model_colours(["PCA", "Autoencoder", "VAE"])
    assert colours["VAE"] == LIGHT.models[0]
    assert len(set(colours.values())) == 3


def test_shown_examples_are_one_of_each_class():
    data = load_data("digits")
    view = DataView.of(data)
    assert view.y[view.chosen].tolist() == list(range(10))

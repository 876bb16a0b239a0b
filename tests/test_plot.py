"""Pictures by name: each kind for every estimator that it suits, words for the others, and what the pictures show."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import multivariate_normal
from torch import nn

from estimator_cases import MAKE, pixel_images, real_table
from isthmus import VAE, Autoencoder, ConditionalVAE, KSparseAutoencoder, SparseAutoencoder
from isthmus.data import split_data
from isthmus.data.dataset import make_data_set
from isthmus.estimators.code_prior import CodePrior
from isthmus.report import write_report
from isthmus.report.filters import decoder_filters, encoder_filters, kernel_size
from isthmus.report.images import grid, signed_tiles
from isthmus.report.inside import units
from isthmus.report.kinds import KINDS, Wish, plot, suitable
from isthmus.report.penalty import divergence, finite_divergence, penalty_curve
from isthmus.report.plots import image_rows
from isthmus.report.reconstructions import reconstructions
from isthmus.report.studio import Studio
from isthmus.report.style import DARK, LIGHT
from isthmus.report.units import activity_bars, as_images, unit_activity
from isthmus.report.view import DataView, ModelView

QUICK = {"max_epochs": 1, "random_state": 0}
MODELS = MAKE | {"ConditionalVAE": lambda n=2: ConditionalVAE(n, hidden=(16,), **QUICK)}
OF_OTHERS = ["predictions", "calibration", "confusion", "means", "clusters", "weights"]  # models without a code


@pytest.fixture(scope="module")
def images():
    """A hundred digits with their labels, in parts."""
    from sklearn.datasets import load_digits

    return split_data(make_data_set("digits", (pixel_images(), load_digits().target[:100])))


@pytest.fixture(scope="module")
def views(images):
    """Every estimator, fitted to them with a code of 9 numbers."""
    shown = DataView.of(images)
    fitted = {name: make(9).fit(images.x_train, images.y_train) for name, make in MODELS.items()}
    return {name: ModelView(name, estimator, shown) for name, estimator in fitted.items()}


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def small_pixels(drawn) -> np.ndarray:
    """What a kind draws, with all texts in it, but so small that it takes no time."""
    if isinstance(drawn, np.ndarray):
        return drawn
    drawn.set_layout_engine("none")
    drawn.set_dpi(20)
    drawn.canvas.draw()
    return np.asarray(drawn.canvas.buffer_rgba())


@pytest.mark.parametrize("model", MODELS)
def test_every_kind_is_drawn_for_every_model_of_images(model, views):
    assert [kind for kind, reason in suitable(views[model]).items() if reason] == OF_OTHERS
    for name, kind in KINDS.items():
        if name not in ("compression", *OF_OTHERS):  # which test_coding_cli and others draw
            assert len(np.unique(small_pixels(kind.draw(views[model], DARK, Wish())))) > 3, name


def test_a_picture_is_a_png_with_its_theme_and_its_seed(views, images):
    estimator = views["VAE"].estimator
    pictures = [plot("samples", estimator, images, n=1, theme=t, seed=s) for t in ("light", "dark") for s in (0, 1)]
    assert len(set(pictures)) == 4
    assert {size(picture) for picture in pictures} == {(96, 96)}
    assert min(size(plot("network", estimator, images))) > 300  # a figure


@pytest.mark.parametrize("model", MODELS)
def test_models_of_tables_have_the_kinds_that_need_no_images(model):
    labels = np.arange(120) % 3
    data = split_data(make_data_set("table", (real_table(), labels)))
    view = ModelView(model, MODELS[model](2).fit(data.x_train, data.y_train), DataView.of(data))
    reasons = suitable(view)
    assert {kind for kind, reason in reasons.items() if reason} == {"filters", "grid", *OF_OTHERS}
    assert "Expected images" in reasons["grid"]
    for kind in ("reconstructions", "codes", "samples"):
        assert len(np.unique(small_pixels(KINDS[kind].draw(view, LIGHT, Wish())))) > 3, kind


def test_unknown_kinds_and_parts_are_refused_in_words(views, images):
    estimator = views["VAE"].estimator
    with pytest.raises(ValueError, match="Expected a kind of picture, one of reconstructions, codes"):
        plot("filter", estimator, images)
    with pytest.raises(ValueError, match="Expected a part"):
        plot("codes", estimator, images, part="best")
    with pytest.raises(ValueError, match="Expected a linear decoder, got one with hidden layers in VAE"):
        plot("filters", estimator, images, side="decoder")


def test_a_conditional_model_without_labels_is_refused_in_words(views, images):
    bare = images._replace(y_train=None, y_test=None, y_valid=None)
    with pytest.raises(ValueError, match="Expected labels, as ConditionalVAE is told"):
        plot("reconstructions", views["ConditionalVAE"].estimator, bare)


# --- filters ---------------------------------------------------------------------------------


def test_filters_are_the_first_layer_s_weights(images):
    model = Autoencoder(7, hidden=(5,), **QUICK).fit(images.x_train)
    weights = model.model_.encoder.net[0][0].weight.detach().numpy()
    np.testing.assert_array_equal(encoder_filters(model), weights.reshape(5, 8, 8))
    pixels = KINDS["filters"].draw(ModelView("a", model, DataView.of(images)), LIGHT, Wish(n=4))
    expected = grid(signed_tiles(weights[:4].reshape(4, 8, 8)), 2, gap=4)
    np.testing.assert_array_equal(pixels, expected)


def test_filters_of_a_model_without_hidden_layers_are_its_code_s(images):
    model = Autoencoder(7, hidden=(), tied=True, **QUICK).fit(images.x_train)
    weights = model.model_.encoder.head.project.weight.detach().numpy()
    np.testing.assert_array_equal(encoder_filters(model), weights.reshape(7, 8, 8))
    # Tied weights: what a unit looks for is what it draws.
    np.testing.assert_allclose(decoder_filters(model), weights.reshape(7, 8, 8), atol=1e-6)


def test_filters_of_a_convolution_are_its_kernels(images):
    model = VAE(2, architecture="conv", hidden=(4,), **QUICK).fit(images.x_train)
    kernels = model.model_.encoder.net.stages[0][0].weight.detach().numpy()
    np.testing.assert_array_equal(encoder_filters(model), kernels)
    assert kernel_size(model) == (3, 3)


def test_filters_of_a_conditional_model_are_those_of_pixels(views, images):
    found = encoder_filters(views["ConditionalVAE"].estimator)
    assert found.shape == (16, 8, 8)


def test_own_networks_that_do_not_see_pixels_first_have_no_filters(images):
    class Ranks(nn.Module):
        def forward(self, x):
            return x.argsort(dim=-1).argsort(dim=-1).float()[:, :6]

    model = Autoencoder(3, encoder=Ranks(), **QUICK).fit(images.x_train)
    with pytest.raises(ValueError, match="its weights are no images"):
        encoder_filters(model)


# --- codes and activity ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "shape"),
    [(1, (1, 1)), (2, (1, 2)), (7, (3, 3)), (9, (3, 3)), (20, (4, 5)), (64, (8, 8)), (144, (12, 12))],
)
def test_codes_are_near_square_images(units, shape):
    codes = np.arange(1.0, units + 1)[None]
    image = as_images(codes)
    assert image.shape == (1, *shape)
    np.testing.assert_array_equal(image[np.isfinite(image)], codes[0])


def test_zero_of_a_code_is_paper_and_the_largest_value_is_ink():
    from isthmus.report.units import code_tiles

    codes = np.zeros((2, 144))
    codes[0, 5], codes[1, 7] = 2.0, -1.0
    tiles = code_tiles(codes)
    step = tiles.shape[1] // 12
    colours = [["#" + bytes(pixel).hex() for pixel in tile[::step, ::step].reshape(-1, 3)] for tile in tiles]
    assert colours[0] == [LIGHT.models[0] if i == 5 else LIGHT.tile for i in range(144)]
    assert {colour for i, colour in enumerate(colours[1]) if i != 7} == {LIGHT.tile}
    assert colours[1][7] not in (LIGHT.tile, LIGHT.models[1])  # half as large as the largest of all


def test_bars_are_the_share_of_examples_that_keep_a_unit(images):
    model = KSparseAutoencoder(20, k=4, **QUICK).fit(images.x_train)
    view = ModelView("k", model, DataView.of(images))
    found = unit_activity(view)
    kept = (model.transform(view.data.x) != 0).mean(axis=0)
    np.testing.assert_allclose(found.values, kept)
    assert found.target == pytest.approx(4 / 20)
    assert found.n_dead == (kept == 0).sum()
    (axes,) = activity_bars(found).axes
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], np.sort(kept)[::-1])


def test_bars_of_codes_read_with_more_units_have_as_many_as_their_target(images):
    model = KSparseAutoencoder(20, k=3, alpha=1.5, **QUICK).fit(images.x_train)  # 4.5 units
    found = unit_activity(ModelView("k", model, DataView.of(images)))
    assert found.values.sum() == pytest.approx(20 * found.target)


def test_bars_are_what_a_sparsity_penalty_acts_on(images):
    model = SparseAutoencoder(12, rho=0.2, **QUICK).fit(images.x_train)
    found = unit_activity(ModelView("s", model, DataView.of(images)))
    np.testing.assert_allclose(found.values, model.transform(images.x_test).mean(axis=0), rtol=1e-5)
    assert found.target == 0.2


def test_the_penalty_s_curve_is_the_divergence_and_finite_beyond():
    activity = np.linspace(0.01, 0.99, 50)
    q, p = (torch.distributions.Bernoulli(torch.tensor(v)) for v in (activity, np.full(50, 0.25)))
    expected = torch.distributions.kl_divergence(p, q).numpy()
    np.testing.assert_allclose(divergence(0.25, activity), expected, rtol=1e-9)
    np.testing.assert_allclose(finite_divergence(0.25, activity), expected, rtol=1e-9)
    assert np.isinf(divergence(0.25, np.zeros(1)))
    assert np.isfinite(finite_divergence(0.25, np.array([-1.0, 0.0, 1.0, 3.0]))).all()
    axes = penalty_curve(0.25).axes[0]
    curve = axes.lines[0].get_xydata()
    np.testing.assert_allclose(curve[:, 1], divergence(0.25, curve[:, 0]))
    with pytest.raises(ValueError, match=r"rho in \(0, 1\)"):
        penalty_curve(1.5)


# --- rows and samples ------------------------------------------------------------------------


def test_rows_of_eight_begin_anew():
    tiles = np.zeros((16, 10, 10, 3), np.uint8)
    names = [text.get_text() for text in image_rows({"Input": tiles, "Noisy": tiles}, n_columns=8).texts]
    assert names == ["Input", "Noisy"] * 2


def test_a_denoising_model_shows_what_it_was_given(views):
    figure = KINDS["reconstructions"].draw(views["DenoisingAutoencoder"], LIGHT, Wish(n=8))
    assert [text.get_text() for text in figure.texts] == ["Input", "Noisy", "Denoised"]
    noisy = views["DenoisingAutoencoder"].noisy
    assert (noisy != views["DenoisingAutoencoder"].data.x).any()


def test_samples_of_a_conditional_model_are_one_row_a_class(views):
    view = views["ConditionalVAE"]
    pixels = KINDS["samples"].draw(view, LIGHT, Wish(n=3))
    tile = view.data.tiles(view.data.x[:1], LIGHT).shape[1]
    assert pixels.shape == (10 * (tile + 6) - 6, 3 * (tile + 6) - 6, 3)
    seven = view.estimator.sample(3, conditions=7, random_state=0)
    np.testing.assert_array_equal(pixels[7 * (tile + 6) :][:tile], grid(view.data.tiles(seven, LIGHT), 3))


def test_samples_come_from_the_distribution_that_was_asked_for(images):
    estimator = Autoencoder(2, hidden=(16,), **QUICK).fit(images.x_train)
    priors = ("normal", "gaussian", "mixture")
    drawn = {prior: plot("samples", estimator, images, n=5, prior=prior) for prior in priors}
    assert len(set(drawn.values())) == 3
    assert plot("samples", estimator, images, n=5) == drawn["mixture"]  # of a model that has no other
    assert plot("samples", estimator.fit_prior(images.x_train), images, n=5) == drawn["gaussian"]


def test_a_mixture_of_few_codes_is_refused_in_words(views, images):
    with pytest.raises(ValueError, match="Expected 144 training examples or more for a mixture over codes of 9"):
        plot("samples", views["Autoencoder"].estimator, images, prior="mixture")


# --- what a fitted prior buys ----------------------------------------------------------------


def test_log_density_of_codes_is_that_of_the_mixture():
    generator = np.random.RandomState(0)
    codes = generator.randn(200, 3) * [1, 5, 0.1] + [0, 2, 0]
    fitted = CodePrior.fit(codes, "mixture", 3)
    normals = [multivariate_normal(m, c) for m, c in zip(fitted.means, fitted.covariances, strict=True)]
    expected = np.log(sum(w * normal.pdf(codes) for w, normal in zip(fitted.weights, normals, strict=True)))
    np.testing.assert_allclose(fitted.log_density(codes), expected, rtol=1e-9)


def test_nearest_distance_is_the_smallest_squared_error(images):
    view = DataView.of(images)
    x, train = (np.asarray(part, float).reshape(len(part), -1) / 255 for part in (view.x, view.x_train))
    squared = np.square(x[:, None] - train[None]).sum(axis=-1)
    assert view.nearest_distance(view.x) == pytest.approx(squared.min(axis=1).mean())
    assert view.nearest_distance(view.x_train) == pytest.approx(0, abs=1e-9)
    others = np.square(train[:, None] - train[None]).sum(axis=-1) + 1e9 * np.eye(len(train))
    assert view.nearest_distance(view.x_train, itself=True) == pytest.approx(others.min(axis=1).mean())


def test_the_report_says_what_a_fitted_distribution_buys(images, tmp_path):
    model = Autoencoder(2, hidden=(16,), **QUICK).fit(images.x_train)
    text = write_report(tmp_path, {"Autoencoder": model}, images).read_text(encoding="utf-8")
    view = ModelView("Autoencoder", model, DataView.of(images))
    for prior in ("normal", "gaussian", "mixture"):
        density = f"{view.prior(prior).log_density(view.codes).mean():,.1f}".replace("-", "−")
        assert f"Log-density of codes {density} nats" in text
    files = {path.name for path in (tmp_path / "plots").iterdir()}
    wanted = {"samples-autoencoder-mixture.png", "network-autoencoder.png", "filters-autoencoder.png"}
    assert wanted <= files


def test_the_sections_of_a_denoising_model_have_its_pictures(views):
    """Those of a conditional one are looked at by test_conditional_estimator, of a classifier by its own tests."""
    name = "DenoisingAutoencoder"
    studio = Studio(views[name].data, [views[name]])
    for section in (reconstructions, units):
        section(studio)
    wanted = {f"{picture}-{name.lower()}.png" for picture in ("denoised", "sparsity", "code-images", "filters")}
    assert wanted <= set(studio.files)

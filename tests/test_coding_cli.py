"""`isthmus encode --bits` and `decode`, what files cost and keep, and the chart of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from estimator_cases import real_table
from isthmus import PCA, Autoencoder, ProbabilisticPCA, load, load_data
from isthmus.cli.main import main
from isthmus.coding import (
    jpeg_rate_distortion,
    open_codes,
    pca_rate_distortion,
    rate_distortion_of_codes,
)
from isthmus.data import split_data
from isthmus.data.dataset import make_data_set
from isthmus.estimators import blocks

QUICK = ["--no-report", "--max-epochs", "1", "--hidden", "8", "--n-components", "3"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ae"
    assert run("train", "autoencoder", "--data", "digits", "--out", out, *QUICK) == 0
    return out


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_codes_go_to_a_small_file_and_come_back_as_rows(trained, here, capsys):
    assert run("encode", trained, "--bits", 6, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    size = (here / "codes.isth").stat().st_size
    assert said == {
        "rows": 1797, "bytes": size, "bits_per_feature": round(8 * size / 1797 / 64, 4), "out": "codes.isth"
    }  # fmt: skip
    assert size < 1797 * 3 * 6 / 8 + 500
    assert run("decode", trained, "codes.isth", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 1797, "out": "decoded.npy"}
    codes = open_codes(here / "codes.isth").read()
    np.testing.assert_array_equal(np.load("decoded.npy"), load(trained).inverse_transform(codes))


@pytest.mark.parametrize("name", ["codes.npy", "codes.npz", "codes.csv"])
def test_plain_codes_are_decoded_as_reconstruct_does(trained, here, name):
    assert run("encode", trained, "--out", name) == 0
    assert run("decode", trained, name, "--out", "rows.npy") == 0
    assert run("reconstruct", trained, "--out", "rebuilt.npy") == 0
    np.testing.assert_allclose(np.load("rows.npy"), np.load("rebuilt.npy"), rtol=1e-5, atol=1e-6)


def test_encode_without_bits_writes_codes_npy(trained, here):
    assert run("encode", trained, "--part", "test") == 0
    assert np.load("codes.npy").dtype == np.float32
    assert [path.name for path in here.iterdir()] == ["codes.npy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bits", 8, "--out", "codes.npy"), "--out to end in .isth"),
        (("--out", "codes.isth"), "--bits 8"),
        (("--bits", 17), "--bits from 1 to 16"),
        (("--bits", 0), "--bits from 1 to 16"),
    ],
)
def test_a_command_line_that_makes_no_sense(trained, here, capsys, arguments, words):
    assert run("encode", trained, *arguments) == 2
    assert words in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_files_that_cannot_be_decoded(trained, here, capsys):
    assert run("encode", trained, "--bits", 4) == 0
    whole = Path("codes.isth").read_bytes()
    Path("torn.isth").write_bytes(whole[:-100])
    Path("text.isth").write_text("code0,code1,code2\n1,2,3\n")
    np.save("wide.npy", np.zeros((4, 7)))
    assert run("train", "pca", "--data", "digits", "--out", "pca", "--no-report", "--n-components", 3) == 0
    capsys.readouterr()
    for codes, words in (
        ("torn.isth", "truncated or altered"),
        ("text.isth", "got something else"),
        ("none.isth", "isthmus encode writes one"),
        ("wide.npy", "Expected codes of shape (n, 3)"),
    ):
        assert run("decode", trained, codes) == 1
        assert words in capsys.readouterr().err
    assert run("decode", "pca", "codes.isth") == 1
    assert "another model" in capsys.readouterr().err
    assert run("decode", trained, "codes.isth", "--out", "codes.isth") == 2
    assert Path("codes.isth").read_bytes() == whole
    assert not Path("decoded.npy").exists()


def test_without_the_coder(trained, here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert run("encode", trained, "--bits", 4) == 1
    assert "isthmus[coding]" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_rows_of_a_table_come_back_in_its_own_columns(here):
    generator = np.random.default_rng(0)
    base = generator.normal(size=(300, 2))
    table = np.column_stack((1000 + 50 * base[:, 0], base.sum(axis=1), base[:, 1] - base[:, 0]))
    np.savetxt("table.csv", table, delimiter=",", header="height,weight,age", comments="")
    assert run("train", "pca", "--data", "table.csv", "--standardise", "--out", "run", "--no-report") == 0
    assert run("encode", "run", "--bits", 12, "--ranges", "shared") == 0
    assert run("decode", "run", "codes.isth", "--out", "rows.csv") == 0
    assert Path("rows.csv").read_text().splitlines()[0] == "height,weight,age"
    rows = np.loadtxt("rows.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(rows, table, atol=0.05 * table.std(axis=0).max())
    np.testing.assert_allclose((rows - table).std(axis=0) / table.std(axis=0), 0, atol=2e-3)


def test_files_larger_than_a_buffer_are_read_block_by_block(here, monkeypatch):
    np.save("large.npy", np.random.default_rng(0).integers(0, 256, (1500, 8, 8), np.uint8))
    assert run("train", "pca", "--data", "large.npy", "--out", "run", "--no-report", "--buffer-bytes", 20000) == 0
    assert run("encode", "run", "--bits", 8, "--out", "whole.isth") == 0
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 64 * 256)  # 256 rows
    assert run("encode", "run", "--bits", 8, "--out", "parts.isth") == 0
    assert Path("parts.isth").read_bytes() == Path("whole.isth").read_bytes()
    assert run("decode", "run", "parts.isth", "--out", "rows.npz") == 0
    expected = load("run").inverse_transform(open_codes("parts.isth").read())
    np.testing.assert_allclose(np.load("rows.npz")["x"], expected, rtol=1e-12)


def test_a_conditional_model_is_told_the_labels_again(here, capsys):
    assert run("train", "conditional-vae", "--data", "digits", "--out", "run", *QUICK) == 0
    assert run("encode", "run", "--bits", 12) == 0
    assert run("decode", "run", "codes.isth") == 0
    assert run("reconstruct", "run", "--out", "rebuilt.npy") == 0
    np.testing.assert_allclose(np.load("decoded.npy"), np.load("rebuilt.npy"), atol=2e-3)
    assert run("decode", "run", "codes.isth", "--part", "test") == 1
    assert "Expected data of the 1,797 rows" in capsys.readouterr().err


# --- what files cost and keep -----------------------------------------------------------------


def test_pca_s_curve_is_what_its_files_say(digits):
    train, test = digits[:1200], digits[1200:]
    curve = pca_rate_distortion(train, test, n_components=(2, 5, 20, 500), bits=(2, 4, 7))
    assert (np.diff(curve.bits_per_pixel) > 0).all()
    assert (np.diff(curve.squared_error) < 0).all()
    assert set(curve.n_components) == {2, 5, 20}
    tried = {
        (n, ranges): rate_distortion_of_codes(PCA(n).fit(train), test, (2, 4, 7), ranges=ranges)
        for n in (2, 5, 20)
        for ranges in ("each", "shared")
    }
    points = np.array([
        (size, error, n, bits) for (n, _), one in tried.items() for bits, size, error in zip(*one, strict=True)
    ])  # fmt: skip
    worse = [
        ((points[:, :2] <= point[:2]).all(axis=1) & (points[:, :2] < point[:2]).any(axis=1)).any() for point in points
    ]
    best = points[~np.array(worse)]
    found = np.column_stack((curve.bits_per_pixel, curve.squared_error, curve.n_components, curve.bits))
    np.testing.assert_allclose(found, best[np.argsort(best[:, 0])], rtol=2e-3)


def test_more_bits_come_to_the_model_s_own_error(digits):
    autoencoder = Autoencoder(4, hidden=(16,), max_epochs=2, random_state=0)
    for model in (PCA(4).fit(digits), autoencoder.fit(digits)):
        curve = rate_distortion_of_codes(model, digits, bits=(1, 2, 4, 14))
        assert (np.diff(curve.bits_per_pixel) > 0).all()
        np.testing.assert_allclose(curve.squared_error[-1], model.squared_error(digits).mean(), rtol=1e-3)
        if isinstance(model, PCA):
            assert (np.diff(curve.squared_error) < 0).all()


def test_jpeg_counts_whole_files_and_their_pixels_alone(mnist):
    images = mnist["x_test"][:20]
    curve = jpeg_rate_distortion(images, qualities=(5, 50, 95))
    assert (np.diff(curve.bits_per_pixel) > 0).all()
    assert (np.diff(curve.squared_error) < 0).all()
    header_bytes = (curve.bits_per_pixel - curve.bits_per_pixel_without_header) * 784 / 8
    assert ((header_bytes > 150) & (header_bytes < 650)).all()
    same = jpeg_rate_distortion(images / 255, qualities=(5, 50, 95))
    np.testing.assert_allclose(same.squared_error, curve.squared_error)


def test_jpeg_of_one_colour_is_all_header():
    colour = np.full((2, 3, 16, 16), 128, np.uint8)
    curve = jpeg_rate_distortion(colour, qualities=(50,))
    assert curve.squared_error[0] == 0
    # 4 blocks in each of 3 planes, two codes of at least a bit in each, in whole bytes.
    assert 24 <= curve.bits_per_pixel_without_header[0] * 256 <= 32
    assert curve.bits_per_pixel[0] * 256 > 8 * 200
    for images in (colour[0, 0], colour[:, :2], colour.astype(float)):
        with pytest.raises(ValueError, match="Expected images"):
            jpeg_rate_distortion(images)


def test_the_chart_names_model_pca_and_jpeg(monkeypatch):
    pytest.importorskip("matplotlib")
    from isthmus.report import compression
    from isthmus.report.style import DARK
    from isthmus.report.view import DataView

    monkeypatch.setattr(compression, "_BITS", (1, 5, 8))
    monkeypatch.setattr(compression, "_JPEG_IMAGES", 20)
    data = DataView.of(load_data("digits"))
    model = PCA(4).fit(data.x_train)
    figure = compression.compression_figure(model, data, DARK)
    (axes,) = figure.axes
    labels = [line.get_label() for line in axes.lines]
    assert labels[0] == "PCA, 4 numbers at 1 to 8 bits"
    assert labels[1].startswith("PCA, the best of 2 to")
    assert labels[2:] == ["JPEG without its headers", "JPEG files, one an image"]
    curve = rate_distortion_of_codes(model, data.x, (1, 5, 8))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), curve.squared_error)
    assert len({line.get_color() for line in axes.lines}) == 3
    assert axes.get_xlabel() == "bits per pixel"


def test_names_fit_beside_those_of_jpeg(monkeypatch):
    pytest.importorskip("matplotlib")
    from isthmus.report import compression
    from isthmus.report.view import DataView

    monkeypatch.setattr(compression, "_BITS", (1, 8))
    monkeypatch.setattr(compression, "_JPEG_IMAGES", 5)
    data = DataView.of(load_data("digits"))
    figure = compression.compression_figure(ProbabilisticPCA(2).fit(data.x_train), data)
    figure.canvas.draw()
    assert figure.axes[0].get_legend().get_window_extent().x1 <= figure.bbox.x1


def test_the_chart_of_a_table_counts_features_and_its_names_fit(monkeypatch):
    pytest.importorskip("matplotlib")
    from isthmus.report import compression
    from isthmus.report.view import DataView

    monkeypatch.setattr(compression, "_BITS", (1, 8))
    data = DataView.of(split_data(make_data_set("table", (real_table(), None))))
    model = ProbabilisticPCA(2).fit(data.x_train)
    figure = compression.compression_figure(model, data)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_xlabel() == "bits per feature"
    assert axes.get_legend().get_window_extent().x1 <= figure.bbox.x1

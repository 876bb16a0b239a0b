"""`isthmus plot` and what `isthmus sample` fits to codes, as a person types them."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import isthmus
from isthmus.cli.main import main
from isthmus.report import KINDS


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An autoencoder, a VAE and PCA on scikit-learn's digits, without reports."""
    folder = tmp_path_factory.mktemp("runs")
    options = ["--no-report", "--n-components", "9"]
    for name in ("autoencoder", "vae", "pca"):
        more = [] if name == "pca" else ["--max-epochs", "1", "--hidden", "16"]
        assert main(["train", name, "--out", str(folder / name), *options, *more]) == 0
    return folder


def plotted(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["plot", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_picture_is_written_and_named(runs, tmp_path, capsys):
    out = tmp_path / "deep" / "filters.png"
    code, printed, _ = plotted(capsys, runs / "vae", "filters", "-n", 4, "--out", out, "--json")
    assert (code, json.loads(printed)) == (0, {"kind": "filters", "out": str(out)})
    with Image.open(out) as image:
        assert image.size == (2 * 96 + 4, 2 * 96 + 4)


def test_kinds_are_listed_with_what_they_show(runs, capsys):
    code, printed, _ = plotted(capsys, "--list")
    assert code == 0
    assert all(kind in printed for kind in ("reconstructions", "sparsity-penalty", "network"))
    code, printed, _ = plotted(capsys, runs / "pca", "--list")
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()] == list(KINDS)
    assert plotted(capsys, "--list", runs / "pca")[1] == printed


def test_the_penalty_needs_no_run(tmp_path, capsys):
    out = tmp_path / "penalty.png"
    assert plotted(capsys, "sparsity-penalty", "--rho", 0.1, "--theme", "dark", "--out", out)[0] == 0
    with Image.open(out) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (0x16, 0x1C, 0x22)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["vae", "filter"], 2, "did you mean 'filters'?"),
        (["vae", "filters", "--side", "decoder"], 1, "Expected a linear decoder"),
        (["vae", "codes", "--out", "codes.jpg"], 2, "expected --out to end in .png"),
        (["vae", "codes", "-n", "0"], 2, "expected --n of at least 1"),
        (["none", "codes"], 1, "got no such folder"),
        (["vae", "codes", "--list"], 2, "expected a run beside --list"),
        (["sparsity-penalty", "--rho", "2"], 2, "expected --rho between 0 and 1"),
    ],
)
def test_what_can_not_be_drawn_is_refused_in_words(arguments, code, message, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = arguments[0] if arguments[0] == "sparsity-penalty" else runs / arguments[0]
    found, _, error = plotted(capsys, first, *arguments[1:])
    assert (found, message in error) == (code, True)
    assert list(tmp_path.iterdir()) == []


def test_codes_of_any_trained_model_have_a_prior_fitted(runs, tmp_path, capsys):
    drawn = {}
    for prior in ("none", "gaussian", "mixture"):
        out = tmp_path / f"{prior}.npy"
        assert (
            main(["sample", str(runs / "vae"), "--prior", prior, "--mixture-components", "3", "--out", str(out)]) == 0
        )
        drawn[prior] = np.load(out)
    assert len({rows.tobytes() for rows in drawn.values()}) == 3
    capsys.readouterr()
    assert main(["sample", str(runs / "pca"), "--prior", "gaussian"]) == 2
    assert "PCA, whose own is exact" in capsys.readouterr().err


def test_a_fitted_prior_is_kept_where_that_was_asked_for(runs, tmp_path, capsys):
    run, out = runs / "autoencoder", tmp_path / "samples.npy"
    before = json.loads((run / "config.json").read_text())
    assert main(["sample", str(run), "--out", str(out)]) == 2  # it has none of its own
    assert main(["sample", str(run), "--keep", "--out", str(out)]) == 2
    assert main(["sample", str(run), "--prior", "mixture", "--mixture-components", "0", "--out", str(out)]) == 2
    assert not out.exists()
    assert (
        main(["sample", str(run), "--prior", "mixture", "--mixture-components", "4", "--keep", "--out", str(out)]) == 0
    )
    kept = np.load(out)
    assert isthmus.load(run).prior_.means.shape == (4, 9)
    assert json.loads((run / "config.json").read_text()) == before
    assert main(["sample", str(run), "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), kept)


def test_every_figure_that_a_page_shows_is_known_and_small():
    path = Path(__file__).parents[1] / "docs" / "figures.py"
    spec = spec_from_file_location("figures", path)
    figures = module_from_spec(spec)
    spec.loader.exec_module(figures)
    pages = {page.stem for page in (path.parent / "models").glob("*.md")} - {"README"}
    assert pages <= set(figures.wanted())  # which refuses those that the script does not draw
    assert all(figure.stat().st_size <= figures.MOST_BYTES for figure in figures.FOLDER.glob("*.png"))

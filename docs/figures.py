"""The figures of the pages in docs: trains small models and draws each through `isthmus plot`. Run by `make figures`.

    python docs/figures.py [NAME ...]

The examples in docs/inference draw their own: a page is run, its `figure` is kept, and what its blocks print is written
after them, so that no number there is typed.

Models of MNIST need its files, in the folder that ISTHMUS_DATA names or in the cache; all of them take some minutes on
two cores. Others are of scikit-learn's digits. The same versions give the same figures.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import isthmus
from isthmus.cli.data_options import data_note
from isthmus.cli.main import main
from isthmus.data import DataSet, load_data
from isthmus.files import write_bytes, write_text
from isthmus.report.images import compact
from isthmus.report.style import png

PAGES = Path(__file__).parent
sys.path.append(str(PAGES.parent / "tests"))  # where it stands how a page is run

from pages import EXAMPLES, run_example, with_printed  # noqa: E402

__all__ = ["FIGURES", "Figure", "make", "wanted"]

FOLDER = PAGES / "models" / "figures"
MOST_BYTES = 60_000
SEED: dict[str, Any] = {"random_state": 0}


class Figure(NamedTuple):
    """A model, what it is trained on, and arguments of `isthmus plot` after the run."""

    model: Callable[[], Any]
    data: str
    plot: tuple[str, ...]


def k_sparse(k: int) -> Callable[[], Any]:
    """The lecture's 144 units, of which k are kept."""
    return lambda: isthmus.KSparseAutoencoder(144, k=k, max_epochs=5, **SEED)


def vae() -> Any:
    """A VAE with a code to be looked at."""
    return isthmus.VAE(2, hidden=(256, 128), max_epochs=10, **SEED)


FIGURES = {
    "autoencoder": Figure(
        lambda: isthmus.Autoencoder(16, hidden=(256,), max_epochs=5, **SEED), "mnist", ("reconstructions",)
    ),
    "bayesian-gaussian-mixture": Figure(
        lambda: isthmus.BayesianGaussianMixture(20, covariance_type="diag", **SEED), "digits", ("weights",)
    ),
    "bernoulli-mixture": Figure(lambda: isthmus.BernoulliMixture(10, binarize=0.5, **SEED), "digits", ("means",)),
    "compression": Figure(
        lambda: isthmus.Autoencoder(32, hidden=(512, 256), likelihood="fixed_gaussian", max_epochs=20, **SEED),
        "mnist", ("compression",),
    ),
    "conditional-vae": Figure(
        lambda: isthmus.ConditionalVAE(4, hidden=(256,), max_epochs=8, learning_rate=3e-3, **SEED), "mnist",
        ("samples",),
    ),
    "bayesian-neural-network": Figure(
        lambda: isthmus.BayesianNeuralNetwork((50,), activation="tanh", **SEED), "gap.csv", ("predictions",)
    ),
    "bayesian-neural-network-classifier": Figure(
        lambda: isthmus.BayesianNeuralNetworkClassifier((30,), posterior="ensemble", n_steps=300, **SEED), "digits",
        ("calibration",),
    ),
    "contractive-autoencoder": Figure(
        lambda: isthmus.ContractiveAutoencoder(144, max_epochs=5, **SEED), "mnist", ("filters", "-n", "64")
    ),
    "denoising-autoencoder": Figure(
        lambda: isthmus.DenoisingAutoencoder(64, corruption="gaussian", strength=0.3, max_epochs=5, **SEED),
        "mnist", ("reconstructions", "-n", "16"),
    ),
    "density-network": Figure(
        lambda: isthmus.DensityNetwork(learning_rate=5e-3, max_epochs=300, **SEED), "fan.csv", ("predictions",)
    ),
    "density-network-classifier": Figure(
        lambda: isthmus.DensityNetworkClassifier(max_epochs=60, **SEED), "digits", ("calibration",)
    ),
    "factor-analysis": Figure(lambda: isthmus.FactorAnalysis(10), "digits", ("filters",)),
    "gaussian-mixture": Figure(
        lambda: isthmus.GaussianMixture(10, covariance_type="diag", **SEED), "digits", ("means",)
    ),
    "iwae": Figure(
        lambda: isthmus.IWAE(20, hidden=(256,), max_epochs=5, learning_rate=3e-3, **SEED), "mnist", ("samples",)
    ),
    "k-sparse-autoencoder": Figure(k_sparse(44), "mnist", ("codes",)),
    "k-sparse-10": Figure(k_sparse(10), "mnist", ("codes",)),
    "k-sparse-filters": Figure(k_sparse(10), "mnist", ("filters", "--side", "decoder", "-n", "64")),
    "k-sparse-use": Figure(k_sparse(10), "mnist", ("sparsity",)),
    "kmeans": Figure(lambda: isthmus.KMeans(10, **SEED), "digits", ("means",)),
    "pca": Figure(lambda: isthmus.PCA(10), "digits", ("filters",)),
    "pretrained-classifier": Figure(
        lambda: isthmus.PretrainedClassifier((500, 500), layer_epochs=2, max_epochs=5, **SEED), "mnist", ("confusion",)
    ),
    "probabilistic-pca": Figure(lambda: isthmus.ProbabilisticPCA(10), "digits", ("samples",)),
    "rbm": Figure(lambda: isthmus.RBM(144, max_epochs=5, **SEED), "mnist", ("filters", "-n", "64")),
    "sparse-autoencoder": Figure(lambda: isthmus.SparseAutoencoder(144, max_epochs=10, **SEED), "mnist", ("codes",)),
    "sparsity": Figure(lambda: isthmus.SparseAutoencoder(144, max_epochs=10, **SEED), "mnist", ("sparsity",)),
    "stacked-autoencoder": Figure(
        lambda: isthmus.StackedAutoencoder(30, hidden=(500, 250), layer_epochs=2, max_epochs=3, **SEED), "mnist",
        ("reconstructions",),
    ),
    "vae": Figure(vae, "mnist", ("grid", "-n", "121")),
    "vae-codes": Figure(vae, "mnist", ("latent", "-n", "2000")),
    "vae-network": Figure(vae, "mnist", ("network",)),
}  # fmt: skip
"""By the name of the file; a page's own is called as the page."""


def wanted() -> list[str]:
    """Names of the figures that pages show, in the order of the table."""
    pages = [page.read_text(encoding="utf-8") for page in (*PAGES.glob("*.md"), *PAGES.glob("models/*.md"))]
    shown = {name for page in pages for name in re.findall(r"figures/([\w-]+)\.png", page)}
    unknown = shown - {*FIGURES, "sparsity-penalty"}
    if unknown:
        raise SystemExit(f"Pages show figures that docs/figures.py does not know: {', '.join(sorted(unknown))}.")
    return [*(name for name in (*FIGURES, "sparsity-penalty") if name in shown), *EXAMPLES]


@cache
def loaded(source: str, **options: Any) -> DataSet:
    """A data set, read once."""
    return load_data(source, **options)


def draw_example(page: Path) -> Path:
    """Run an example; write what its blocks print into the page, and its picture beside it."""
    print(f"running {page.name}", flush=True)
    names, printed = run_example(page)
    write_text(page, with_printed(page.read_text(encoding="utf-8"), printed))
    path = page.parent / "figures" / f"{page.stem}.png"
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, compact(png(names["figure"]), 96))
    return path


def make(names: list[str], folder: Path = FOLDER) -> None:
    """Draw figures; models that several of them show are trained once."""
    paths: dict[str, Path] = {}
    runs: dict[Any, Path] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            if name in EXAMPLES:
                paths[name] = draw_example(EXAMPLES[name])
                continue
            out = paths[name] = folder / f"{name}.png"
            if name == "sparsity-penalty":
                arguments = ["sparsity-penalty", "--rho", "0.25"]
            else:
                figure = FIGURES[name]
                estimator = figure.model()
                key = (repr(estimator), figure.data)
                if key not in runs:
                    runs[key] = Path(scratch) / name
                    print(f"training {estimator} on {figure.data}", flush=True)
                    # A table of our own, beside the figures, has its targets in the column y.
                    own = {"label": "y"} if figure.data.endswith(".csv") else {}
                    source = str(FOLDER / figure.data) if own else figure.data
                    data = loaded(source, **own)
                    estimator.fit(data.x_train, data.y_train).save(runs[key], data=data_note(source, own, data))
                arguments = [str(runs[key]), *figure.plot]
            if main(["plot", *arguments, "--out", str(out)]):
                raise SystemExit(f"{name} could not be drawn.")
    large = [name for name, path in paths.items() if path.stat().st_size > MOST_BYTES]
    if large:
        raise SystemExit(f"Figures of more than {MOST_BYTES:,} bytes, show less in them: {', '.join(large)}.")


if __name__ == "__main__":
    make(sys.argv[1:] or wanted())

"""What holds for k-means and for every mixture: scikit-learn's checks, files, batches, containers, seeds, commands."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import check_estimator

from isthmus import BayesianGaussianMixture, BernoulliMixture, KMeans, evaluate, load
from isthmus.cli.main import main
from isthmus.data import Shards, load_data
from isthmus.files import UnreadableFile

TABLE = np.random.RandomState(0).randn(300, 4)
TABLE[150:] += 3
MAKE = {
    "KMeans": lambda k=3, **more: KMeans(k, **{"random_state": 0} | more),
    "mini-batch KMeans": lambda k=3, **more: KMeans(k, **{"random_state": 0, "batch_size": 50} | more),
    "BernoulliMixture": lambda k=3, **more: BernoulliMixture(k, **{"random_state": 0, "binarize": 0.0} | more),
    "BayesianGaussianMixture": lambda k=3, **more: BayesianGaussianMixture(
        k, **{"random_state": 0, "tol": 1e-2} | more
    ),
    "Bayesian, tied": lambda k=3, **more: BayesianGaussianMixture(
        k, **{"random_state": 0, "covariance_type": "tied", "tol": 1e-2} | more
    ),
}
every_one = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)

REPEATED = {"check_sample_weight_equivalence_on_dense_data": "repeated rows are drawn otherwise for the start"}


@pytest.mark.parametrize("name", ["KMeans", "BernoulliMixture", "BayesianGaussianMixture"])
def test_scikit_learn_s_own_checks(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks warn of what they skip
        results = check_estimator(MAKE[name](2), on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert failed <= set(REPEATED)
    assert len([result for result in results if result["status"] == "passed"]) > 40


@every_one
def test_to_a_file_and_back(make, tmp_path):
    frame = pd.DataFrame(TABLE, columns=list("abcd"))
    model = make().fit(frame)
    again = load(model.save(tmp_path))
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    np.testing.assert_array_equal(again.transform(frame), model.transform(frame))
    assert again.score(frame) == model.score(frame)
    assert again.fingerprint() == model.fingerprint()
    assert list(again.feature_names_in_) == list("abcd")
    if hasattr(model, "sample"):
        np.testing.assert_array_equal(again.sample(20, random_state=1)[0], model.sample(20, random_state=1)[0])
        assert again.log_likelihoods_ == model.log_likelihoods_
        assert again.bic(frame) == model.bic(frame)


@every_one
def test_a_file_that_is_none_is_refused(make, tmp_path):
    model = make().fit(TABLE)
    name = "means_" if hasattr(model, "means_") else "cluster_centers_"
    setattr(model, name, np.full_like(getattr(model, name), np.nan))
    with pytest.raises(UnreadableFile, match="Expected a whole"):
        load(model.save(tmp_path))


@every_one
def test_a_row_is_what_it_is_in_any_batch_container_and_order(make):
    model = make().fit(TABLE)
    codes = model.transform(TABLE)
    assert codes.shape == (300, 3)
    np.testing.assert_array_equal(model.transform(TABLE[7:8]), codes[7:8])
    np.testing.assert_array_equal(model.transform(TABLE[::-1]), codes[::-1])
    np.testing.assert_array_equal(model.predict(TABLE[100:140]), model.predict(TABLE)[100:140])
    np.testing.assert_array_equal(model.transform(torch.from_numpy(TABLE)), codes)
    np.testing.assert_array_equal(model.transform(Shards(TABLE)), codes)
    np.testing.assert_array_equal(clone(model).fit(Shards(TABLE)).transform(TABLE), codes)
    names = [f"{type(model).__name__.lower()}{i}" for i in range(3)]
    assert list(model.get_feature_names_out()) == names
    np.testing.assert_array_equal(clone(model).fit_predict(TABLE), model.predict(TABLE))


@every_one
def test_single_precision_is_near(make):
    double, single = make().fit(TABLE), make().fit(TABLE.astype(np.float32))
    assert single.score(TABLE) == pytest.approx(double.score(TABLE), rel=1e-3)


@every_one
def test_images_as_pixels(make):
    images = np.round(load_digits().images[:100] * 255 / 16).astype(np.uint8)
    model = make(binarize=0.5).fit(images) if "Bernoulli" in str(make()) else make().fit(images)
    assert model.predict(images).shape == (100,)
    np.testing.assert_array_equal(model.predict(images / 255), model.predict(images))
    if hasattr(model, "sample"):
        assert model.sample(5, random_state=0)[0].shape == (5, 8, 8)


@every_one
def test_rows_of_no_weight_don_t_count_and_the_seed_decides(make):
    weight = np.ones(300)
    weight[:20] = 0
    odd = TABLE.copy()
    odd[:20] = 50.0
    model = make(n_init=4).fit(odd, sample_weight=weight)
    name = "means_" if hasattr(model, "means_") else "cluster_centers_"
    assert np.abs(getattr(model, name)).max() < 10
    np.testing.assert_array_equal(make().fit(TABLE).transform(TABLE), make().fit(TABLE).transform(TABLE))


@every_one
def test_bad_rows(make):
    with pytest.raises(ValueError, match="at least as many rows as clusters or components, got n_samples = 2"):
        make(3).fit(TABLE[:2])
    with pytest.raises(ValueError, match=r"n_samples = 2 \(of weight above 0\)"):
        make(3).fit(TABLE, sample_weight=[1.0, 2.0] + [0.0] * 298)
    with pytest.raises(ValueError, match="weights >= 0"):
        make(3).fit(TABLE, sample_weight=-np.ones(300))
    with pytest.raises(ValueError, match="infinity"):
        make().fit(np.where(TABLE > 2, np.inf, TABLE))
    model = make().fit(TABLE)
    with pytest.raises(ValueError, match="X has 3 features"):
        model.predict(TABLE[:, :3])
    before = model.transform(TABLE)
    with pytest.raises(ValueError, match="as many rows"):
        model.fit(TABLE[:2])
    np.testing.assert_array_equal(model.transform(TABLE), before)  # as it was
    if not model.missing_values:
        with pytest.raises(ValueError, match="contains NaN"):
            make().fit(np.where(TABLE > 2, np.nan, TABLE))


@every_one
def test_a_model_stays_what_it_is_when_parameters_are_set_and_names_of_columns_are_kept(make):
    frame = pd.DataFrame(TABLE, columns=list("abcd"))
    model = make().fit(frame)
    model.set_params(**{"n_clusters" if hasattr(model, "n_clusters") else "n_components": 5})
    assert model.set_output(transform="pandas").transform(frame).shape == (300, 3)
    if hasattr(model, "reconstruct"):
        np.testing.assert_array_equal(model.reconstruct(frame), model.cluster_centers_[model.predict(frame)])


def test_measures():
    labels = np.arange(300) // 150
    found = evaluate(KMeans(2, random_state=0).fit(TABLE), TABLE, labels)
    assert found["inertia"].value == pytest.approx(300 * found["squared_error"].value)
    assert found["adjusted_rand_index"].value > 0.9
    mixture = BayesianGaussianMixture(2, random_state=0).fit(TABLE)
    found = evaluate(mixture, TABLE)
    assert found["log_likelihood"].value == pytest.approx(mixture.score(TABLE))
    assert found["log_likelihood"].standard_error == pytest.approx(mixture.score_samples(TABLE).std(ddof=1) / 300**0.5)
    assert found["bic"].value == pytest.approx(mixture.bic(TABLE))
    assert "of the 300 rows measured" in found["bic"].description
    found = evaluate(mixture, TABLE[:10], X_train=TABLE)  # criteria are for the rows of the fit
    assert found["bic"].value == pytest.approx(mixture.bic(TABLE))
    assert found["aic"].value == pytest.approx(mixture.aic(TABLE))
    assert "of the 300 training rows" in found["bic"].description
    assert "adjusted_rand_index: none" in evaluate(mixture, TABLE, TABLE[:, 0]).notes[0]


def test_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savetxt("two.csv", TABLE[:, :2], delimiter=",", header="a,b", comments="")
    # Both names do for both, as --n-clusters of k-means is --n-components of mixtures.
    for name, options in (("kmeans", ["--n-components", "2"]), ("bayesian-gaussian-mixture", ["--n-clusters", "3"])):
        report = [] if name == "kmeans" else ["--no-report"]
        assert main(["train", name, "--data", "two.csv", "--out", name, *options, *report]) == 0
        assert main(["predict", name, "--out", f"{name}.csv"]) == 0
        assert pd.read_csv(f"{name}.csv").shape == (300, 1)
        assert main(["encode", name, "--out", f"{name}.npy"]) == 0
        assert np.load(f"{name}.npy").shape == (300, int(options[1]))
        capsys.readouterr()
        assert main(["evaluate", name, "--json"]) == 0
        measures = json.loads(capsys.readouterr().out)["measures"]
        assert ("inertia" if name == "kmeans" else "bic") in measures
        if name != "kmeans":
            n_train = len(load_data("two.csv").x_train)
            assert f"of the {n_train} training rows" in measures["bic"]["description"]
            assert main(["evaluate", name, "--json", "--data", "two.csv"]) == 0
            measures = json.loads(capsys.readouterr().out)["measures"]
            assert "of the 300 rows measured" in measures["bic"]["description"]
        assert main(["plot", name, "weights", "--out", "w.png"]) == 0
    assert "Components" in (tmp_path / "kmeans" / "report.html").read_text()
    assert (tmp_path / "kmeans" / "plots" / "clusters-kmeans.png").exists()
    assert main(["sample", "bayesian-gaussian-mixture", "-n", "5", "--out", "s.csv"]) == 0
    assert pd.read_csv("s.csv").shape == (5, 2)
    capsys.readouterr()
    for command, message in (
        (["sample", "kmeans"], "Expected a model to draw rows from in kmeans, got KMeans"),
        (["predict", "kmeans", "--probabilities"], "expected no --probabilities for KMeans"),
        (["reconstruct", "bayesian-gaussian-mixture"], "Expected a model that makes rows of codes"),
        (["train", "bernoulli-mixture", "--data", "two.csv"], "Expected data in [0, 1]"),
        (["train", "kmeans", "--n-clusters", "0", "--data", "two.csv"], "Expected at least 1 cluster"),
    ):
        assert main(command) != 0
        assert message in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(("n_components", "n_features", "written"), [(3, 4, True), (17, 4, False), (3, 9, False)])
def test_means_of_a_table_are_drawn_with_their_numbers_where_there_is_room(n_components, n_features, written):
    from isthmus.report.clusters import cluster_centres
    from isthmus.report.style import LIGHT
    from isthmus.report.view import DataView, ModelView

    data = load_data(np.random.RandomState(0).randn(100, n_features) * 100 + [1e4, *[0] * (n_features - 1)])
    model = KMeans(n_components, random_state=0).fit(data.x_train)
    (axes,) = cluster_centres(ModelView("k-means", model, DataView.of(data)), LIGHT).axes
    order = np.argsort(-model.counts_, kind="stable")
    drawn = {(text.get_position()[0] - 0.5, n_components - 0.5 - text.get_position()[1]): text for text in axes.texts}
    assert len(drawn) == (n_components * n_features if written else 0)
    for (column, row), text in drawn.items():
        center = model.cluster_centers_[order[int(row)], int(column)]
        assert float(text.get_text()) == pytest.approx(center, rel=6e-3)
        assert "e" not in text.get_text()
    assert [label.get_text() for label in axes.get_yticklabels()][::-1] == [str(k) for k in order]


@pytest.mark.slow
@pytest.mark.parametrize("images", [True, False])
def test_a_report_of_mixtures(images, tmp_path):
    from isthmus.data import load_data
    from isthmus.report import write_report

    if images:
        data = load_data("digits")
    else:
        np.savetxt(tmp_path / "four.csv", TABLE, delimiter=",", header="a,b,c,d", comments="")
        data = load_data(str(tmp_path / "four.csv"))
    estimators = {
        "k-means": KMeans(4, random_state=0).fit(data.x_train),
        "Bayesian": BayesianGaussianMixture(4, covariance_type="diag", random_state=0).fit(data.x_train),
    }
    measures = {name: evaluate(estimator, data.x_test) for name, estimator in estimators.items()}
    page = write_report(tmp_path, estimators, data, measures).read_text()
    for heading in ("Components", "New examples", "Training", "log-likelihood of an example"):
        assert heading in page
    drawn = {path.stem for path in (tmp_path / "plots").iterdir()}
    kinds = ("means", "clusters", "weights")
    assert drawn == {f"{kind}-{name}" for kind in kinds for name in ("k-means", "bayesian")} | {
        "samples-bayesian",
        "bound-bayesian",
    }

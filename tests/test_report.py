"""The report: pictures of every kind of data, a page that stands alone, and no text that gets out of its place."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from isthmus.data import load_data, split_data
from isthmus.data.dataset import make_data_set
from isthmus.evaluation.measures import Evaluation, Measure
from isthmus.report import Report, render, write_report
from isthmus.report.html import Cell, Figures, Picture, Section, Strips, Table
from isthmus.report.view import DataView, ModelView
from isthmus.report.words import listed, measure_table

RNG = np.random.default_rng(0)


class Linear:
    """The least that a report asks of an estimator, with the marks of each kind of model."""

    def __init__(self, n_components: int, kind: str = "linear"):
        self.n_components = n_components
        if kind != "linear":
            self.model_ = type("Model", (), {"prior": "N(0, I)" if kind == "probabilistic" else None})()
            parts = {"distortion": 3.0, "rate": 1.0} if kind == "probabilistic" else {}
            self.history_ = [{"epoch": i, "loss": 5.0 - i, "validation": 5.5 - i} | parts for i in range(4)]

    def fit(self, x):
        from sklearn.decomposition import PCA

        self.shape, self.pixels = x.shape[1:], x.dtype == np.uint8
        self.pca = PCA(self.n_components).fit(x.reshape(len(x), -1))
        return self

    def get_params(self):
        return {"n_components": self.n_components, "note": "<b>&"}

    def transform(self, x):
        return self.pca.transform(x.reshape(len(x), -1))

    def inverse_transform(self, z):
        return self.pca.inverse_transform(z).reshape(len(z), *self.shape)

    def reconstruct(self, x):
        return self.inverse_transform(self.transform(x))

    def sample(self, n, random_state=None):
        return self.inverse_transform(np.random.default_rng(random_state).standard_normal((n, self.n_components)))


class Page(HTMLParser):
    """Elements and attributes of a page, with a check that every element is closed where it should be."""

    void = {"meta", "img", "source", "path", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def measured(error: float) -> Evaluation:
    names = (("squared_error", "squared error per example"), ("bound", "nats"), ("rate", "nats"))
    return Evaluation(tuple(Measure(name, error, 0.1, unit, "what <it> is") for name, unit in names), ("a note",))


def image_set(shape, dtype=np.uint8, labels=True):
    x = RNG.integers(0, 256, (40, *shape)).astype(dtype)
    y = np.arange(40) % 7 if labels else None
    return split_data(make_data_set("noise", (x, y), description="Noise"))


def table_set(n_features, labels=None):
    x = RNG.standard_normal((60, n_features)) @ RNG.standard_normal((n_features, n_features))
    names = tuple(f"feature <{i}> $x" for i in range(n_features))
    return split_data(make_data_set("table", (x, labels), feature_names=names))


def fitted(data, n_components, kinds=("linear", "deterministic", "probabilistic")):
    return {kind.capitalize(): Linear(n_components, kind).fit(data.x_train) for kind in kinds}


# --- a whole report -------------------------------------------------------------------------

ALL, NETWORK = ("linear", "deterministic", "probabilistic"), ("deterministic",)  # which draws all that data change
CASES = {
    "digits": (lambda: load_data("digits"), 2, ALL),
    "photographs, channels first": (lambda: image_set((3, 70, 50)), 2, ("linear", "deterministic")),
    "one channel": (lambda: image_set((1, 9, 12), labels=False), 1, NETWORK),
    "grey floats of any range": (lambda: image_set((28, 20), np.float64), 5, NETWORK),
    "table": (lambda: table_set(3, RNG.integers(0, 2, 60).astype(str)), 2, ALL),
    "wide table": (lambda: table_set(40, RNG.standard_normal(60)), 3, NETWORK),
    "one feature": (lambda: table_set(1), 1, NETWORK),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_data_has_a_report_that_stands_alone(name, tmp_path):
    make, n_components, kinds = CASES[name]
    data = make()
    models = fitted(data, n_components, kinds)
    page = write_report(tmp_path, models, data, {model: measured(3.0 + i) for i, model in enumerate(models)})
    text = page.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    parsed = Page(text)
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in parsed.all("img"))
    assert all(source["srcset"].startswith("data:image/") for source in parsed.all("source"))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in parsed.elements}
    outside = [v for _, attributes in parsed.elements for k, v in attributes.items() if k in ("src", "href", "srcset")]
    assert all(address.startswith(("data:", "#")) for address in outside)
    assert "url(" not in text
    assert "@import" not in text
    files = sorted((tmp_path / "plots").iterdir())
    assert len(files) >= 6
    for file in files:
        with Image.open(file) as image:
            image.verify()


def test_one_model_alone_has_a_report(tmp_path):
    data = load_data("digits")
    for kind in ("linear", "deterministic", "probabilistic"):
        text = write_report(tmp_path / kind, fitted(data, 3, (kind,)), data).read_text(encoding="utf-8")
        assert f"{kind.capitalize()} on digits" in text
        assert ("A plain autoencoder" in text) == (kind == "deterministic")
        assert ("A variational autoencoder" in text) == (kind == "probabilistic")


def test_same_models_and_seed_give_the_same_bytes(tmp_path):
    data = image_set((9, 9))
    for folder in ("a", "b"):
        write_report(tmp_path / folder, fitted(data, 2, ("probabilistic",)), data, seed=3)
    for file in (tmp_path / "a").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_a_report_without_test_examples_says_so(tmp_path):
    data = load_data("digits", seed=None)
    text = write_report(tmp_path, fitted(data, 2, ("linear",)), data).read_text(encoding="utf-8")
    assert "training examples" in text
    assert "test examples" not in text


def test_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one fitted estimator"):
        write_report(tmp_path, {}, load_data("digits"))


def test_a_real_vae_autoencoder_and_pca_are_told_apart():
    from isthmus import PCA, VAE, Autoencoder

    data = load_data("digits")
    view = DataView.of(data)
    for kind, estimator in {
        "linear": PCA(n_components=2),
        "deterministic": Autoencoder(n_components=2, hidden=(8,), max_epochs=1, random_state=0),
        "probabilistic": VAE(n_components=2, hidden=(8,), max_epochs=1, random_state=0),
    }.items():
        model = ModelView(kind, estimator.fit(data.x_train), view)
        assert model.kind == kind
        np.testing.assert_allclose(model.errors, estimator.squared_error(view.x), rtol=1e-5)
        for prior in ("normal", "gaussian", "mixture"):
            assert model.samples(3, prior).shape == (3, 8, 8)
        if kind != "deterministic":
            assert model.samples(3).shape == (3, 8, 8)


# --- the page -------------------------------------------------------------------------------

EVIL = "</style><script>alert('&\"')</script>"


def test_all_text_is_escaped():
    picture = Picture(b"\x89PNG", b"\xff\xd8", EVIL, EVIL, EVIL)
    table = Table((EVIL,), ((EVIL, EVIL, EVIL, (Cell(EVIL, EVIL, best=True),)),), EVIL)
    section = Section(EVIL, (EVIL,), (Figures((picture,)), Strips((picture,), EVIL), table))
    page = render(Report(EVIL, EVIL, (EVIL,), (), (section,), ((EVIL, ((EVIL, EVIL),)),), EVIL))
    parsed = Page(page)
    assert "<script" not in page
    assert parsed.all("img")[0]["alt"] == EVIL
    assert len(re.findall("&lt;script", page)) > 15


def test_every_field_of_a_report_is_shown():
    fields = {f.name: f"text of {f.name}" for f in dataclasses.fields(Report)}
    report = Report(
        fields["title"], fields["subtitle"], (fields["summary"],), (), (Section(fields["sections"], ("x",)),),
        ((fields["settings"], (("a", "b"),)),), fields["command"],
    )  # fmt: skip
    page = render(report)
    assert [name for name, text in fields.items() if name != "highlights" and text not in page] == []


def test_images_have_a_dark_version_only_where_given():
    page = Page(render(Report("t", sections=(Section("s", (), (Figures((Picture(b"\x89PNG", None, "a"),)),)),))))
    assert page.all("source") == []


# --- words ----------------------------------------------------------------------------------


def test_measures_of_different_meaning_do_not_share_a_row():
    first = Evaluation((Measure("log_likelihood", 1.0, 0.1, "nats", "exact"),))
    second = Evaluation((Measure("log_likelihood", 2.0, 0.1, "nats", "estimated"),))
    rows = measure_table({"A": first, "B": second}).rows
    assert [[cell.value for cell in cells] for *_, cells in rows] == [["1.00", "–"], ["–", "2.00"]]
    assert not any(cell.best for *_, cells in rows for cell in cells)


@pytest.mark.parametrize(
    ("name", "values", "error", "best"),
    [
        ("squared_error", (3.0, 2.0, 5.0), 0.1, [False, True, False]),
        ("bound", (-3.0, -2.0, -5.0), 0.1, [False, True, False]),
        ("bound", (-2.1, -2.0, -5.0), 0.1, [True, True, False]),
        ("rate", (3.0, 2.0, 5.0), 0.1, [False, False, False]),
        ("squared_error", (3.0, float("nan"), 5.0), 0.1, [True, False, False]),
    ],
)
def test_bold_is_what_is_best_beyond_noise(name, values, error, best):
    found = {str(i): Evaluation((Measure(name, v, error, "nats", "d"),)) for i, v in enumerate(values)}
    ((*_, cells),) = measure_table(found).rows
    assert [cell.best for cell in cells] == best


def test_names_are_listed_as_people_do():
    assert [listed(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
